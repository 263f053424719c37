//! `batchmap recover`.

use super::config::TargetArgs;
use super::finish::ShowArgs;
use super::session::Session;
use super::{Exit, Failure, inspect, run};
use crate::map::layout::Root;
use crate::map::task::Resources;
use crate::run::launch::{self, Known};
use crate::run::now_ms;
use crate::run::recover::{self, Recovered};

/// Arguments of `batchmap recover`.
#[derive(Debug, clap::Args)]
pub struct RecoverArgs {
    /// The execution, which must be over; an unambiguous beginning will do. The newest one when absent.
    #[arg(value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    show: ShowArgs,
    #[command(flatten)]
    target: TargetArgs,
}

/// Starts a new execution that takes every success of an old one and runs the rest, with the inputs as they were staged
/// then.
///
/// # Errors
/// When there is no such execution, it is not over, or AWS cannot be used.
pub async fn run(args: RecoverArgs) -> Result<Exit, Failure> {
    let session = Session::open(&args.target, args.show.access()).await?;
    let ended = recover_and_drive(&session, &args).await;
    run::close(session, &args.show, ended).await
}

async fn recover_and_drive(session: &Session, args: &RecoverArgs) -> Result<Exit, Failure> {
    let old = inspect::find(session, args.id.as_deref()).await?;
    let known = launch::read(&session.ports.store, &old).await?;
    let recovered = recover::recover(session.ports.store.as_ref(), &old, &known).await?;
    let root = session.root(&launch::new_id(now_ms()));
    let Recovered { record, reused, .. } = &recovered;
    let bucket = session.ports.store.bucket();
    launch::check_limits(bucket, &root, &record.command, record.mapped.len())
        .map_err(|error| Failure::input(error.to_string()))?;
    let image = Some(record.image.as_str()).filter(|image| !image.is_empty());
    let definition = run::job_definition(image, &resources(&known), session)?;
    tell(&old, &recovered);
    recover::write(&session.ports.store, &root, record).await?;
    run::begin_and_drive(session, &root, record.clone(), definition, reused.clone(), &args.show).await
}

/// Says what is taken over.
fn tell(old: &Root, recovered: &Recovered) {
    let (id, size) = (old.id(), recovered.record.size);
    let taken: u64 = recovered.reused.values().map(crate::map::ranges::Ranges::len).sum();
    let late = match recovered.late {
        0 => String::new(),
        late => format!(" ({late} of them had come too late for it)"),
    };
    note!("{id}: {taken} of {size} subtasks have succeeded{late}; running the other {}", size - taken);
}

/// What each subtask's container gets, as it was asked for.
fn resources(known: &Known) -> Resources {
    let stored = known.record.resources.unwrap_or_default();
    Resources { cpu_milli: stored.cpu_milli, memory_mib: stored.memory_mib, gpus: stored.gpus }
}
