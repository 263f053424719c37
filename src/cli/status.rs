//! `batchmap status`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::config::TargetArgs;
use super::session::{Access, Session};
use super::{Exit, Failure, inspect, report};
use crate::aws::batch::JobDetail;
use crate::map::event::Queue;
use crate::map::status::Phase;
use crate::map::stuck::{Shape, Stuck};
use crate::map::summary::Summary;
use crate::run::launch::Known;
use crate::run::{observe, stuck};

/// Arguments of `batchmap status`.
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// The execution; an unambiguous beginning will do. The newest one when absent.
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t = Form::Text)]
    format: Form,
    #[command(flatten)]
    target: TargetArgs,
}

/// Text for people or JSON for machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Prints where an execution stands: settled subtasks from its journal, running ones from AWS Batch.
///
/// # Errors
/// When there is no such execution or it cannot be read.
pub async fn run(args: StatusArgs) -> Result<Exit, Failure> {
    let session = Session::open(&args.target, Access::Read).await?;
    let root = inspect::find(&session, args.id.as_deref()).await?;
    let mut known = inspect::read(&session, &root).await?;
    let jobs: Vec<(u32, String)> = known.execution.running().map(|(number, _, job)| (number, job.to_owned())).collect();
    let (mut live, mut why, mut unasked) = (true, None, None);
    let driven = known.times.is_some_and(|(_, last)| session.may_be_driven(last, known.record.flyte.is_some()));
    if !jobs.is_empty() && driven {
        let ids: Vec<String> = jobs.iter().map(|(_, job)| job.clone()).collect();
        let seen = match observe::poll(session.ports.batch.as_ref(), &ids).await {
            // The journal alone is worth showing, if that is said.
            Err(error) if error.is_denied() => {
                unasked = Some(error.to_string());
                BTreeMap::new()
            }
            seen => seen?,
        };
        why = waiting(&session, &known, &jobs, &seen).await;
        for (number, job) in &jobs {
            if let Some(detail) = seen.get(job) {
                known.execution.observe(*number, &observe::seen(detail));
            }
        }
    } else {
        live = jobs.is_empty();
    }
    let summary = Summary { stuck: why, ..known.execution.summary() };
    let arrays: Vec<_> = known.execution.arrays().iter().filter_map(|array| array.job_id()).collect();
    match args.format {
        Form::Json => {
            let times = known.times.map(|(first, last)| json!({"started_ms": first, "changed_ms": last}));
            out!(
                "{:#}",
                json!({"id": root.id(), "name": known.record.name, "summary": summary, "times": times, "jobs": arrays, "unasked": unasked})
            );
        }
        Form::Text => {
            out!("{}  {}  {}", root.id(), known.record.name, word(summary.phase));
            out!("{}", report::counts(&summary));
            if let Some(stuck) = &summary.stuck {
                out!("nothing starts: {stuck}");
            }
            if let Some(error) = &unasked {
                out!("from the journal alone, for AWS Batch may not be asked what runs: {error}");
            }
            if let Some((first, last)) = known.times {
                out!("first record to last: {}", seconds(last.saturating_sub(first)));
            }
            if !live {
                out!("no driver is at work here; take it up with: batchmap resume {}", root.id());
            }
            if !summary.failures.is_empty() {
                out!("{}", report::report(root.id(), &summary));
            }
        }
    }
    session.close().await;
    Ok(Exit::Ok)
}

/// Why children wait, when Batch says so of any of them or when something is wrong with a queue in which nothing runs.
async fn waiting(
    session: &Session,
    known: &Known,
    jobs: &[(u32, String)],
    seen: &BTreeMap<String, JobDetail>,
) -> Option<Stuck> {
    let mut queues: BTreeMap<&str, (u32, u32, Option<&str>)> = BTreeMap::new();
    let open: BTreeMap<u32, Queue> = known.execution.open().map(|(number, array)| (number, array.queue)).collect();
    for (number, job) in jobs {
        let (Some(detail), Some(names), Some(queue)) = (seen.get(job), &known.names, open.get(number)) else {
            continue;
        };
        if let Some(stuck) = stuck::told(detail) {
            return Some(stuck);
        }
        let name = match queue {
            Queue::Default => &names.queue,
            Queue::Interruptible => names.interruptible_queue.as_ref().unwrap_or(&names.queue),
        };
        let (runnable, going, _) = stuck::tally(detail);
        let sums = queues.entry(name).or_default();
        (sums.0, sums.1) = (sums.0 + runnable, sums.1 + going);
        sums.2 = sums.2.or((runnable > 0 && !detail.summary.is_empty()).then_some(job));
    }
    // An emulator says itself what can never start, and its own environments take children of any size.
    let shape = if session.patience.lag.is_zero() { Shape::default() } else { stuck::shape(&known.record) };
    let quiet = queues.into_iter().filter(|(_, (runnable, going, _))| *runnable > 0 && *going == 0);
    for (queue, (_, _, array)) in quiet {
        // That nobody may look, or AWS does not answer, is no reason not to show the rest.
        if let Ok(Some(stuck)) = stuck::inquire(session.ports.batch.as_ref(), queue, array, shape).await {
            return Some(stuck);
        }
    }
    None
}

/// A phase in one word.
pub fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Queued => "queued",
        Phase::Running => "running",
        Phase::Succeeding => "succeeding",
        Phase::Succeeded => "succeeded",
        Phase::Failing => "failing",
        Phase::Failed => "failed",
        Phase::Aborting => "aborting",
        Phase::Aborted => "aborted",
    }
}

/// A duration in milliseconds, to the second.
pub fn seconds(ms: u64) -> String {
    humantime::format_duration(Duration::from_secs(ms.div_ceil(1000))).to_string()
}
