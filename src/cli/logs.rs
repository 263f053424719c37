//! `batchmap logs`.

use std::io::Write;

use super::config::TargetArgs;
use super::session::{Access, Session};
use super::{Exit, Failure, inspect};
use crate::aws::logs::LogsError;
use crate::map::event::Source;
use crate::map::execution::{ArrayRef, Execution};
use crate::map::index::{ChildIndex, OriginalIndex};

/// Where AWS Batch sends output when a job definition names no group.
pub(super) const DEFAULT_GROUP: &str = "/aws/batch/job";

/// Arguments of `batchmap logs`.
#[derive(Debug, clap::Args)]
pub struct LogsArgs {
    /// The execution; an unambiguous beginning will do.
    #[arg(value_name = "ID")]
    id: String,
    /// The subtask's place in the caller's list, from 0.
    #[arg(value_name = "INDEX")]
    index: u64,
    /// The attempt, from 1; the last one when absent.
    #[arg(long, value_name = "NUMBER")]
    attempt: Option<usize>,
    #[command(flatten)]
    target: TargetArgs,
}

/// Prints what a subtask's child wrote to its standard output and error.
///
/// # Errors
/// When there is no such execution, subtask or attempt, or the stream cannot be read.
pub async fn run(args: LogsArgs) -> Result<Exit, Failure> {
    let session = Session::open(&args.target, Access::Read).await?;
    let root = inspect::find(&session, Some(&args.id)).await?;
    let known = inspect::read(&session, &root).await?;
    let size = known.record.size;
    if args.index >= size {
        return Err(Failure::input(format!(
            "INDEX is {}: {} has subtasks 0 to {}",
            args.index,
            root.id(),
            size.saturating_sub(1)
        )));
    }
    if let Some((source, _)) = known.execution.reused().iter().find(|(_, r)| r.contains(OriginalIndex(args.index))) {
        let (id, index) = (root.id(), args.index);
        return Err(Failure::input(match source {
            Source::Cache => format!("subtask {index} of {id} has not run: its outputs came from the cache"),
            Source::Execution(earlier) => {
                format!(
                    "subtask {index} of {id} has not run: its outputs are those of `batchmap logs {earlier} {index}`"
                )
            }
        }));
    }
    let streams = streams(&session, &known.execution, OriginalIndex(args.index)).await?;
    let chosen = match args.attempt {
        None => streams.last(),
        Some(number) => number.checked_sub(1).and_then(|at| streams.get(at)),
    };
    let Some(stream) = chosen else {
        return Err(Failure::input(match args.attempt {
            Some(number) => format!("--attempt is {number}: subtask {} has {} attempts", args.index, streams.len()),
            None => format!("subtask {} of {} has not run yet: there is no log", args.index, root.id()),
        }));
    };
    let group = session.log_group().unwrap_or(DEFAULT_GROUP);
    print_stream(&session, group, stream).await?;
    session.close().await;
    Ok(Exit::Ok)
}

/// The log streams of a subtask's attempts, oldest first.
pub(super) async fn streams(
    session: &Session,
    execution: &Execution,
    index: OriginalIndex,
) -> Result<Vec<String>, Failure> {
    let mut streams = Vec::new();
    for (array, child) in execution.arrays().holding(index) {
        let Some(job) = job_of(array, child) else { continue };
        for detail in session.ports.batch.describe(&[job]).await? {
            let ended = detail.attempts.into_iter().filter_map(|attempt| attempt.log_stream);
            for stream in ended.chain(detail.log_stream) {
                if !streams.contains(&stream) {
                    streams.push(stream);
                }
            }
        }
    }
    Ok(streams)
}

/// Batch's id of child `child` of `array`.
fn job_of(array: ArrayRef<'_>, child: ChildIndex) -> Option<String> {
    let job = array.job_id()?;
    Some(if array.size() == 1 { job.into_owned() } else { format!("{job}:{child}") })
}

async fn print_stream(session: &Session, group: &str, stream: &str) -> Result<(), Failure> {
    let mut token: Option<String> = None;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    loop {
        let page = session.ports.logs.page(group, stream, token.as_deref()).await.map_err(|error| match error {
            LogsError::NotFound { .. } => Failure::input(error.to_string()),
            LogsError::Failed { .. } => Failure::aws(error.to_string()),
        })?;
        for event in &page.events {
            if writeln!(out, "{}", event.message).is_err() {
                return Ok(());
            }
        }
        if page.next.is_none() || page.next == token {
            return out.flush().map_err(|error| Failure::internal(format!("cannot write: {error}")));
        }
        token = page.next;
    }
}
