//! `batchmap outputs`.

use super::config::TargetArgs;
use super::finish::{FormatArg, print};
use super::session::{Access, Session};
use super::{Exit, Failure, inspect, report};
use crate::map::status::Phase;
use crate::run::result;

/// Arguments of `batchmap outputs`.
#[derive(Debug, clap::Args)]
pub struct OutputsArgs {
    /// The execution; an unambiguous beginning will do. The newest one when absent.
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// How the outputs are printed.
    #[arg(long, value_enum, default_value_t = FormatArg::Json)]
    format: FormatArg,
    #[command(flatten)]
    target: TargetArgs,
}

/// Prints the outputs of an execution, `null` for every element that has none: also of one that failed, with exit
/// code 1, for what succeeded in it has been paid for.
///
/// # Errors
/// When there is no such execution, or its outputs cannot be read.
pub async fn run(args: OutputsArgs) -> Result<Exit, Failure> {
    let session = Session::open(&args.target, Access::Read).await?;
    let root = inspect::find(&session, args.id.as_deref()).await?;
    let known = inspect::read(&session, &root).await?;
    let spool = result::collect(session.ports.store.as_ref(), &root, &known.record, &known.execution).await?;
    print(&spool, args.format)?;
    session.close().await;
    let summary = known.execution.summary();
    if !matches!(summary.phase, Phase::Succeeding | Phase::Succeeded) {
        note!("{}", report::report(root.id(), &summary));
    }
    Ok(match summary.phase {
        // What is decided stays so, while the last children end.
        Phase::Succeeding | Phase::Succeeded => Exit::Ok,
        Phase::Failing | Phase::Failed => Exit::MapFailed,
        Phase::Aborting | Phase::Aborted => Exit::Aborted,
        Phase::Queued | Phase::Running => Exit::Detached,
    })
}
