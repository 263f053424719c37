//! `batchmap wait`.

use std::time::Duration;

use super::config::TargetArgs;
use super::session::{Access, Session};
use super::{Exit, Failure, finish, inspect, report, words};
use crate::map::cadence::Cadence;
use crate::map::layout::Root;
use crate::run::{journal, launch};

/// Arguments of `batchmap wait`.
#[derive(Debug, clap::Args)]
pub struct WaitArgs {
    /// The execution; an unambiguous beginning will do. The newest one when absent.
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// Give up after this long, with exit code 6: `90s`, `5m`.
    #[arg(long, value_name = "DURATION", value_parser = words::duration)]
    timeout: Option<Duration>,
    #[command(flatten)]
    target: TargetArgs,
}

/// Follows an execution's journal until it is over, and exits as its driver does.
///
/// # Errors
/// When there is no such execution, or its journal cannot be read.
pub async fn run(args: WaitArgs) -> Result<Exit, Failure> {
    let session = Session::open(&args.target, Access::Read).await?;
    let root = inspect::find(&session, args.id.as_deref()).await?;
    let deadline = args.timeout.map(|timeout| tokio::time::Instant::now() + timeout);
    let exit = follow(&session, &root, deadline).await?;
    session.close().await;
    Ok(exit)
}

/// Follows an execution's journal to its end or the deadline, and reports how it stands then. While it waits it says for
/// what: once in the beginning, and once when only the children's ends are missing.
///
/// # Errors
/// When it cannot be read, or nothing drives it.
pub async fn follow(session: &Session, root: &Root, deadline: Option<tokio::time::Instant>) -> Result<Exit, Failure> {
    let mut known = inspect::read(session, root).await?;
    let mut cadence = Cadence::new(session.patience.pace);
    let mut records = known.records;
    let mut last = known.times.map(|(_, last)| last);
    let mut said = None;
    loop {
        // Asked before the reading: whoever drives it may write the end and leave between the two.
        let driven = last.is_some_and(|last| session.may_be_driven(last, known.record.flyte.is_some()));
        let news =
            journal::read_from(&session.ports.store, root, records + 1).await.map_err(launch::LaunchError::from)?;
        cadence.polled(!news.is_empty());
        records += news.len() as u64;
        for record in &news {
            last = Some(record.now_ms);
            known.take_in(record)?;
        }
        if let Some(decision) = known.execution.finished() {
            let summary = known.execution.summary();
            note!("{}", report::report(root.id(), &summary));
            return Ok(finish::exit_of(decision));
        }
        let phase = known.execution.counts().phase;
        if driven && said != Some(phase) {
            said = Some(phase);
            note!("{}", report::awaited(root.id(), &known.execution.counts()));
        }
        if !driven && news.is_empty() {
            let id = root.id();
            let message = format!("{id} is not over, and nothing drives it: take it up with `batchmap resume {id}`");
            return Err(Failure { message, exit: Exit::Detached });
        }
        if deadline.is_some_and(|deadline| tokio::time::Instant::now() >= deadline) {
            note!("{}", report::report(root.id(), &known.execution.summary()));
            return Ok(Exit::Detached);
        }
        tokio::time::sleep(cadence.interval()).await;
    }
}
