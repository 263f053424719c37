//! `batchmap abort`.

use tokio::sync::mpsc;

use super::config::TargetArgs;
use super::session::{Access, Session};
use super::{Exit, Failure, inspect, report};
use crate::run::launch;

/// Arguments of `batchmap abort`.
#[derive(Debug, clap::Args)]
pub struct AbortArgs {
    /// The execution; an unambiguous beginning will do.
    #[arg(value_name = "ID")]
    id: String,
    /// Why: shown to whoever looks at the execution later.
    #[arg(long, default_value = "aborted on request", value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    target: TargetArgs,
}

/// Takes the execution over from its driver, terminates every array and waits until nothing of it is left with Batch.
/// The driver that is overtaken notices at its next record and stops.
///
/// # Errors
/// When there is no such execution, or AWS cannot be reached.
pub async fn run(args: AbortArgs) -> Result<Exit, Failure> {
    let session = Session::open(&args.target, Access::Drive { slots: None }).await?;
    let root = inspect::find(&session, Some(&args.id)).await?;
    let mut driver = launch::take_over(&session.ports, &root, session.patience).await?;
    if driver.execution().decision().is_some() && driver.execution().running().next().is_none() {
        note!("{} is over already", root.id());
        note!("{}", report::report(root.id(), &driver.execution().summary()));
        session.close().await;
        return Ok(Exit::Ok);
    }
    let (control, mut requests) = mpsc::channel(1);
    driver.abort_first(&args.reason)?;
    let ended = driver.run(&mut requests).await;
    drop(control);
    let summary = driver.execution().summary();
    session.close().await;
    ended?;
    note!("{}", report::report(root.id(), &summary));
    Ok(Exit::Ok)
}
