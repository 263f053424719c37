//! `batchmap run`.

use std::collections::BTreeMap;
use std::path::Path;

use super::config::TargetArgs;
use super::definitions::Definitions;
use super::finish::{self, ShowArgs};
use super::session::{Access, Session};
use super::task_args::TaskArgs;
use super::{Exit, Failure, queues};
use crate::aws::batch::Definition;
use crate::aws::store::{LOCAL_FILE, StoreError};
use crate::idl::record::TaskRecord;
use crate::map::event::Source;
use crate::map::inject::TMP_DIR;
use crate::map::layout::Root;
use crate::map::ranges::Ranges;
use crate::map::spec::Faults;
use crate::map::task::{BatchOptions, MapTask, Resources};
use crate::run::begin::{self, Queues};
use crate::run::launch;
use crate::run::now_ms;
use crate::run::stage::{self, StageError, StageOptions, Staged};

/// Arguments of `batchmap run`.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    #[command(flatten)]
    input: RunInput,
    #[command(flatten)]
    show: ShowArgs,
}

/// The task and where it runs: shared with `plan`.
#[derive(Debug, clap::Args)]
pub struct RunInput {
    #[command(flatten)]
    task: TaskArgs,
    #[command(flatten)]
    target: TargetArgs,
}

/// A checked task and an open session.
pub struct Prepared {
    /// The task.
    pub task: MapTask,
    /// Where it runs.
    pub session: Session,
    /// Its keys.
    pub root: Root,
    /// Its job definition, checked against the platform.
    definition: Definition,
}

/// Runs a task to its end and prints its outputs.
///
/// # Errors
/// When the input is wrong, or AWS cannot be used.
pub async fn run(args: RunArgs) -> Result<Exit, Failure> {
    let prepared = prepare(&args.input, args.show.access()).await?;
    let ended = launch_and_drive(&prepared, &args.show).await;
    close(prepared.session, &args.show, ended).await
}

/// Ends the session of a command that has driven an execution.
///
/// # Errors
/// That with which it `ended`.
pub async fn close(session: Session, show: &ShowArgs, ended: Result<Exit, Failure>) -> Result<Exit, Failure> {
    session.print_stats(show.stats);
    match ended {
        // Whoever stops watching wants the children on this machine stopped, and not to wait for other commands.
        Ok(Exit::Detached) => session.close_now().await,
        _ => session.close().await,
    }
    ended
}

async fn launch_and_drive(prepared: &Prepared, show: &ShowArgs) -> Result<Exit, Failure> {
    let Prepared { session, root, .. } = prepared;
    if !prepared.task.is_empty() {
        queues::check(session, prepared.task.policy.interruptible).await?;
    }
    let staged = stage(prepared, false).await?;
    // Nothing will be submitted, so nothing is registered either.
    if staged.record.size == 0 {
        return finish::nothing(root, &staged.record, show);
    }
    begin_and_drive(session, root, staged.record, prepared.definition.clone(), BTreeMap::new(), show).await
}

/// Begins an execution whose record is written, taking what is `reused` and what the cache knows of the rest, and drives
/// it. The job definition is registered only if something is to run.
///
/// # Errors
/// When AWS cannot be used.
pub async fn begin_and_drive(
    session: &Session,
    root: &Root,
    record: TaskRecord,
    definition: Definition,
    reused: BTreeMap<Source, Ranges>,
    show: &ShowArgs,
) -> Result<Exit, Failure> {
    let target = &session.target;
    let queues = Queues { default: target.queue.clone(), interruptible: target.interruptible_queue.clone() };
    let begun = begin::begin(&session.ports, root, record, || Ok(definition), &queues, session.patience, reused);
    let mut driver = begun.await?;
    finish::drive(session, root, &mut driver, show).await
}

/// Checks the task and opens the session.
///
/// # Errors
/// When the task or the configuration is wrong.
pub async fn prepare(input: &RunInput, access: Access) -> Result<Prepared, Failure> {
    // Both are looked at before either is complained about.
    let (mut task, target) = match (input.task.task(), input.target.target()) {
        (Ok(task), Ok(target)) => (task, target),
        (task, target) => {
            let faults = [task.err(), target.err()].into_iter().flatten().flat_map(|faults| faults.0).collect();
            return Err(Failure::input(Faults(faults).to_string()));
        }
    };
    let session = Session::open_target(target, access).await?;
    task.batch.injection = session.target.injection();
    if task.policy.interruptible && session.target.interruptible_queue.is_none() {
        let queue = &session.target.queue;
        note!("note: no interruptible_queue is configured: interruptible subtasks run on {queue} like all others");
    }
    let root = session.root(&launch::new_id(now_ms()));
    let definition = own_directories(&task, &session)
        .and_then(|()| job_definition(task.image.as_deref(), &task.resources, &task.batch, &session));
    let definition = definition.and_then(|definition| {
        let bucket = session.ports.store.bucket();
        let injected = task.batch.injection.is_some();
        launch::check_limits(bucket, &root, &task.command, task.mapped().len(), injected)
            .map_err(|error| Failure::input(error.to_string()))?;
        Ok(definition)
    });
    let definition = match definition {
        Ok(definition) => definition,
        Err(failure) => {
            session.close().await;
            return Err(failure);
        }
    };
    Ok(Prepared { task, session, root, definition })
}

/// Stages the inputs, or only reads and counts them.
///
/// # Errors
/// When they are wrong, or S3 cannot be used.
pub async fn stage(prepared: &Prepared, dry_run: bool) -> Result<Staged, Failure> {
    let Prepared { task, session, root, .. } = prepared;
    let options = StageOptions { dry_run, stores: session.stores(), results: session.results(), stdin: None };
    stage::stage(task, &session.ports.store, root, options).await.map_err(|error| match error {
        StageError::Store(StoreError::Refused { code, message, .. }) if code == LOCAL_FILE => Failure::input(message),
        StageError::Store(error) => error.into(),
        error => Failure::input(error.to_string()),
    })
}

/// Fixed directories are each child's own inside a container; processes of one machine would share them, and read and
/// write one another's files.
fn own_directories(task: &MapTask, session: &Session) -> Result<(), Failure> {
    let given = [("input_dir", &task.input_dir), ("output_dir", &task.output_dir)];
    let readonly = task.batch.injection.as_ref().is_some_and(|injection| injection.readonly_root);
    let beyond = |folder: &str| session.is_embedded() || readonly && !Path::new(folder).starts_with(TMP_DIR);
    let found = given.into_iter().find_map(|(name, folder)| Some((name, folder.as_deref().filter(|it| beyond(it))?)));
    match found {
        Some((name, folder)) if session.is_embedded() => Err(Failure::input(format!(
            "{name} is {folder:?}: children that are processes of this machine would share it; leave it out, and use \
             $BATCHMAP_INPUT_DIR and $BATCHMAP_OUTPUT_DIR, which are each child's own"
        ))),
        Some((name, folder)) => Err(Failure::input(format!(
            "{name} is {folder:?}: with readonly_root children can write below {TMP_DIR} alone; give a folder there, or leave \
             it out, and use $BATCHMAP_INPUT_DIR and $BATCHMAP_OUTPUT_DIR"
        ))),
        None => Ok(()),
    }
}

/// The job definition of a task with this image (the configured one when absent) and these resources, checked against
/// the platform.
///
/// # Errors
/// When the platform has no such size, or there is no image where one is needed.
pub fn job_definition(
    image: Option<&str>,
    given: &Resources,
    options: &BatchOptions,
    session: &Session,
) -> Result<Definition, Failure> {
    let (definition, notes) = Definitions::of(session).make(image, given, options).map_err(Failure::input)?;
    for said in notes {
        note!("note: {said}");
    }
    Ok(definition)
}
