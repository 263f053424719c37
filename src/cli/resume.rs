//! `batchmap resume`.

use super::config::TargetArgs;
use super::finish::{self, ShowArgs};
use super::session::Session;
use super::{Exit, Failure, inspect, run};
use crate::run::launch;

/// Arguments of `batchmap resume`.
#[derive(Debug, clap::Args)]
pub struct ResumeArgs {
    /// The execution; an unambiguous beginning will do. The newest one that is not over when absent.
    #[arg(value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    show: ShowArgs,
    #[command(flatten)]
    target: TargetArgs,
}

/// Takes an execution up where its journal ends. A driver that still runs notices at its next record and stops.
///
/// # Errors
/// When there is no such execution, or AWS cannot be reached.
pub async fn run(args: ResumeArgs) -> Result<Exit, Failure> {
    let session = Session::open(&args.target, args.show.access()).await?;
    let root = inspect::find_unfinished(&session, args.id.as_deref()).await?;
    let taken = launch::take_over(&session.ports, &root, session.patience).await;
    let mut driver = taken.map_err(|error| inspect::damaged(&session, &root, error))?;
    let ended = finish::drive(&session, &root, &mut driver, &args.show).await;
    run::close(session, &args.show, ended).await
}
