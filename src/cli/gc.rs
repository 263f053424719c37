//! `batchmap gc`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::config::TargetArgs;
use super::session::{Access, Session};
use super::status::Form;
use super::words::{self, count};
use super::{Exit, Failure};
use crate::run::gc::{self, Amount, Options, Removed, Report, State, Why};

/// Executions named for one reason to stay; the rest is counted.
const SHOWN: usize = 3;

/// Arguments of `batchmap gc`.
#[derive(Debug, clap::Args)]
pub struct GcArgs {
    /// Remove executions whose last record is at least this old: `30d`, `12h`; by S3's dates.
    #[arg(long, value_name = "DURATION", value_parser = words::duration)]
    older_than: Duration,
    /// Only those that ended so; several with commas. `unbegun` were staged and never ran [default: all of them]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "STATE")]
    state: Vec<StateArg>,
    /// Remove cached outputs that are at least this old, too [default: keep them all]
    #[arg(long, value_name = "DURATION", value_parser = words::duration)]
    cache_older_than: Option<Duration>,
    /// Remove executions of that age that cannot be read, too: damaged ones, and those of a newer batchmap
    #[arg(long)]
    damaged: bool,
    /// Only show what would be removed.
    #[arg(long)]
    dry_run: bool,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t = Form::Text)]
    format: Form,
    #[command(flatten)]
    target: TargetArgs,
}

/// How an execution ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum StateArg {
    /// Enough subtasks succeeded.
    Succeeded,
    /// Too few did.
    Failed,
    /// It was aborted.
    Aborted,
    /// It was staged and never begun.
    Unbegun,
}

impl From<StateArg> for State {
    fn from(state: StateArg) -> Self {
        match state {
            StateArg::Succeeded => State::Succeeded,
            StateArg::Failed => State::Failed,
            StateArg::Aborted => State::Aborted,
            StateArg::Unbegun => State::Unbegun,
        }
    }
}

/// Removes old executions, their files and, if asked, old cached outputs. Never one that is not over, and nothing that
/// one which stays, or the cache, needs.
///
/// # Errors
/// When S3 cannot be used; running it again finishes what was begun.
pub async fn run(args: GcArgs) -> Result<Exit, Failure> {
    // To look is enough for a dry run, and leaves a folder in which nothing has run as it is.
    let access = if args.dry_run { Access::Read } else { Access::Drive { slots: None } };
    let session = Session::open(&args.target, access).await?;
    let all = [StateArg::Succeeded, StateArg::Failed, StateArg::Aborted, StateArg::Unbegun];
    let states = if args.state.is_empty() { all.to_vec() } else { args.state };
    let options = Options {
        older_than: args.older_than,
        states: states.into_iter().map(State::from).collect(),
        cache_older_than: args.cache_older_than,
        damaged: args.damaged,
        dry_run: args.dry_run,
    };
    let report = gc::run(&session.ports.store, &session.prefix, &options).await;
    session.close().await;
    let report = report
        .map_err(|error| Failure::aws(format!("{error}; what was begun is finished by running the same again")))?;
    match args.format {
        Form::Json => out!("{:#}", serde_json::json!({"dry_run": options.dry_run, "report": report})),
        Form::Text => print(&report, options.dry_run),
    }
    Ok(Exit::Ok)
}

fn print(report: &Report, dry_run: bool) {
    for removed in &report.removed {
        out!("{}", line(removed, dry_run));
    }
    for removed in &report.workflows {
        out!("{}", line(removed, dry_run));
    }
    if report.uploads.objects > 0 {
        let verb = if dry_run { "would remove" } else { "removed" };
        out!("{verb} {}, {}", count(report.uploads.objects, "upload"), size(report.uploads.bytes));
    }
    if report.cache.objects > 0 {
        let verb = if dry_run { "would remove" } else { "removed" };
        out!("{verb} {}, {}", count(report.cache.objects, "cached output"), size(report.cache.bytes));
    }
    if report.leases.objects > 0 {
        let verb = if dry_run { "would remove" } else { "removed" };
        out!("{verb} {} leases of cached outputs", report.leases.objects);
    }
    out!("{}", total(report, dry_run));
    for kept in kept(report) {
        out!("{kept}");
    }
}

fn line(removed: &Removed, dry_run: bool) -> String {
    let verb = if dry_run { "would remove" } else { "removed" };
    let state = match removed.state {
        Some(State::Succeeded) => "succeeded",
        Some(State::Failed) => "failed",
        Some(State::Aborted) => "aborted",
        Some(State::Unbegun) => "never begun",
        Some(State::Removed) => "left over",
        Some(State::Damaged) => "damaged",
        None => "half removed",
    };
    let Amount { objects, bytes } = removed.amount;
    let named = match removed.named.objects {
        0 => String::new(),
        1 => "; 1 of its files stays, for others name it".to_owned(),
        files => format!("; {files} of its files stay, for others name them"),
    };
    format!("{verb} {} ({state}): {}, {}{named}", removed.id, count(objects, "object"), size(bytes))
}

fn total(report: &Report, dry_run: bool) -> String {
    let verb = if dry_run { "would be removed" } else { "removed" };
    let amounts = || {
        report.removed.iter().chain(&report.workflows).map(|removed| removed.amount).chain([
            report.cache,
            report.leases,
            report.uploads,
        ])
    };
    let (objects, bytes) = amounts().fold((0, 0), |sum, amount| (sum.0 + amount.objects, sum.1 + amount.bytes));
    let removed = count((report.removed.len() + report.workflows.len()) as u64, "execution");
    format!("{removed} {verb}: {}, {}; {} kept", count(objects, "object"), size(bytes), report.kept.len())
}

/// What stays and why, a line for each reason.
fn kept(report: &Report) -> Vec<String> {
    let mut by_reason: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for kept in &report.kept {
        by_reason.entry(reason(&kept.why)).or_default().push(&kept.id);
    }
    let lines = by_reason.into_iter().map(|(reason, ids)| {
        let more = ids.len().saturating_sub(SHOWN);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        format!("kept, {reason}: {}{more}", ids[..ids.len().min(SHOWN)].join(", "))
    });
    lines.collect()
}

fn reason(why: &Why) -> String {
    match why {
        Why::NotOver => "not over (resume or abort it first)".to_owned(),
        Why::Young => "not old enough".to_owned(),
        Why::State(state) => format!("{} (not asked for by --state)", format!("{state:?}").to_lowercase()),
        Why::UsedBy(id) => format!("its inputs or outputs are used by {id}"),
        Why::Named => "all that is left of it are files that others name".to_owned(),
        Why::Unreadable(problem) => format!("it cannot be read (--damaged removes such): {problem}"),
        Why::OfWorkflow => "a node of a Flyte workflow's execution that stays".to_owned(),
        Why::Changed => "it changed meanwhile".to_owned(),
    }
}

/// A number of bytes for people.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return count(bytes, "byte");
    }
    let (mut value, mut unit) = (bytes as f64 / 1024.0, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1024.0, unit + 1);
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::gc::Kept;

    #[test]
    fn what_goes_and_what_stays_is_told() {
        let removed = Removed {
            id: "b".to_owned(),
            state: Some(State::Failed),
            amount: Amount { objects: 3, bytes: 3 << 20 },
            named: Amount { objects: 1, bytes: 10 },
        };
        let keep = |id: &str, why: Why| Kept { id: id.to_owned(), why };
        let kept_ones = ["c", "d", "e", "f"].map(|id| keep(id, Why::Young));
        let report = Report {
            removed: vec![removed],
            cache: Amount { objects: 2, bytes: 100 },
            leases: Amount::default(),
            workflows: Vec::new(),
            uploads: Amount::default(),
            kept: kept_ones.into_iter().chain([keep("a", Why::UsedBy("c".to_owned()))]).collect(),
        };
        assert_eq!(
            line(&report.removed[0], true),
            "would remove b (failed): 3 objects, 3.0 MiB; 1 of its files stays, for others name it"
        );
        assert_eq!(total(&report, false), "1 execution removed: 5 objects, 3.0 MiB; 5 kept");
        assert_eq!(
            kept(&report),
            ["kept, its inputs or outputs are used by c: a", "kept, not old enough: c, d, e and 1 more"]
        );
        assert_eq!((size(1023), size(1 << 40)), ("1023 bytes".to_owned(), "1.0 TiB".to_owned()));
    }
}
