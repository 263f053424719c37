//! `batchmap status`.

use std::time::Duration;

use serde_json::json;

use super::config::TargetArgs;
use super::session::{Access, Session};
use super::{Exit, Failure, inspect, report};
use crate::map::status::Phase;
use crate::run::{launch, observe};

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
    let mut known = launch::read(&session.ports.store, &root).await?;
    let jobs: Vec<(u32, String)> = known.execution.running().map(|(number, _, job)| (number, job.to_owned())).collect();
    let mut live = true;
    let driven = known.times.is_some_and(|(_, last)| session.may_be_driven(last));
    if !jobs.is_empty() && driven {
        let ids: Vec<String> = jobs.iter().map(|(_, job)| job.clone()).collect();
        let seen = observe::poll(session.ports.batch.as_ref(), &ids).await?;
        for (number, job) in &jobs {
            if let Some(detail) = seen.get(job) {
                known.execution.observe(*number, &observe::seen(detail));
            }
        }
    } else {
        live = jobs.is_empty();
    }
    let summary = known.execution.summary();
    let arrays: Vec<_> = known.execution.arrays().iter().filter_map(|array| array.job_id()).collect();
    match args.format {
        Form::Json => {
            let times = known.times.map(|(first, last)| json!({"started_ms": first, "changed_ms": last}));
            out!(
                "{:#}",
                json!({"id": root.id(), "name": known.record.name, "summary": summary, "times": times, "jobs": arrays})
            );
        }
        Form::Text => {
            out!("{}  {}  {}", root.id(), known.record.name, word(summary.phase));
            out!("{}", report::counts(&summary));
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

/// A phase in one word.
pub fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Queued => "queued",
        Phase::Running => "running",
        Phase::Succeeded => "succeeded",
        Phase::Failed => "failed",
        Phase::Aborted => "aborted",
    }
}

/// A duration in milliseconds, to the second.
pub fn seconds(ms: u64) -> String {
    humantime::format_duration(Duration::from_secs(ms.div_ceil(1000))).to_string()
}
