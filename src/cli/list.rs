//! `batchmap list`.

use futures::StreamExt;
use serde_json::json;

use super::config::TargetArgs;
use super::session::{Access, Session};
use super::status::{Form, word};
use super::{Exit, Failure, inspect};
use crate::run::launch::{self, LaunchError};

/// Executions read at once.
const READ_AHEAD: usize = 8;

/// Arguments of `batchmap list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// How many, at most.
    #[arg(long, short = 'n', default_value_t = 20, value_name = "COUNT")]
    count: usize,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t = Form::Text)]
    format: Form,
    #[command(flatten)]
    target: TargetArgs,
}

/// Prints the newest executions, one a line.
///
/// # Errors
/// When the bucket cannot be read. An execution that cannot be read by itself is shown as such.
pub async fn run(args: ListArgs) -> Result<Exit, Failure> {
    let session = Session::open(&args.target, Access::Read).await?;
    let ids = inspect::ids(&session).await?;
    let reads = ids.into_iter().map(|id| {
        let root = session.root(&id);
        let store = session.ports.store.clone();
        async move { (id, launch::read(&store, &root).await) }
    });
    let reads: Vec<_> = reads.collect();
    let mut reads = futures::stream::iter(reads).buffered(READ_AHEAD);
    let mut left = args.count;
    while left > 0
        && let Some((id, known)) = reads.next().await
    {
        // Staged, wholly or in part, and never begun: there is nothing to show.
        let idle = matches!(&known, Err(LaunchError::Unknown { .. }))
            || known.as_ref().is_ok_and(|known| known.names.is_none());
        if idle {
            continue;
        }
        left -= 1;
        match (known, args.format) {
            (Ok(known), Form::Json) => {
                let summary = known.execution.summary();
                out!("{}", json!({"id": id, "name": known.record.name, "summary": summary}));
            }
            (Ok(known), Form::Text) => {
                let summary = known.execution.summary();
                let counts = format!("{}/{}", summary.succeeded, summary.size);
                out!("{id}  {:<10}  {counts:>15}  {}", word(summary.phase), known.record.name);
            }
            // Of a newer version, or damaged: the others are still worth showing.
            (Err(error), Form::Text) => out!("{id}  {:<10}  {:>15}  {error}", "?", ""),
            (Err(error), Form::Json) => out!("{}", json!({"id": id, "error": error.to_string()})),
        }
    }
    session.close().await;
    Ok(Exit::Ok)
}
