//! `batchmap run`.

use super::config::TargetArgs;
use super::finish::{self, ShowArgs};
use super::session::{Access, NO_IMAGE, Session};
use super::task_args::TaskArgs;
use super::{Exit, Failure};
use crate::aws::batch::Definition;
use crate::aws::store::{LOCAL_FILE, StoreError};
use crate::map::layout::Root;
use crate::map::resources;
use crate::map::spec::Faults;
use crate::map::task::MapTask;
use crate::run::launch::{self, Names};
use crate::run::stage::{self, StageError, StageOptions, Staged};
use crate::run::{definition, now_ms};

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
    prepared.session.print_stats(args.show.stats);
    match ended {
        // Whoever stops watching wants the children on this machine stopped, and not to wait for other commands.
        Ok(Exit::Detached) => prepared.session.close_now().await,
        _ => prepared.session.close().await,
    }
    ended
}

async fn launch_and_drive(prepared: &Prepared, show: &ShowArgs) -> Result<Exit, Failure> {
    let Prepared { session, root, .. } = prepared;
    let staged = stage(prepared, false).await?;
    let definition = if staged.record.size == 0 {
        // Nothing will be submitted, so nothing is registered either.
        String::new()
    } else {
        definition::ensure(session.ports.batch.as_ref(), prepared.definition.clone()).await?
    };
    let names = Names {
        definition,
        queue: session.target.queue.clone(),
        interruptible_queue: session.target.interruptible_queue.clone(),
    };
    if staged.record.size == 0 {
        return finish::nothing(root, &staged.record, show);
    }
    let mut driver = launch::begin(&session.ports, root, staged.record, names, session.patience).await?;
    finish::drive(session, root, &mut driver, show).await
}

/// Checks the task and opens the session.
///
/// # Errors
/// When the task or the configuration is wrong.
pub async fn prepare(input: &RunInput, access: Access) -> Result<Prepared, Failure> {
    // Both are looked at before either is complained about.
    let (task, target) = match (input.task.task(), input.target.target()) {
        (Ok(task), Ok(target)) => (task, target),
        (task, target) => {
            let faults = [task.err(), target.err()].into_iter().flatten().flat_map(|faults| faults.0).collect();
            return Err(Failure::input(Faults(faults).to_string()));
        }
    };
    let session = Session::open_target(target, access).await?;
    if task.policy.interruptible && session.target.interruptible_queue.is_none() {
        let queue = &session.target.queue;
        note!("note: no interruptible_queue is configured: interruptible subtasks run on {queue} like all others");
    }
    let root = session.root(&launch::new_id(now_ms()));
    let definition = own_directories(&task, &session).and_then(|()| job_definition(&task, &session));
    let definition = definition.and_then(|definition| {
        let bucket = session.ports.store.bucket();
        launch::check_limits(bucket, &root, &task.command, task.mapped().len())
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
    match given.into_iter().find_map(|(name, folder)| Some((name, folder.as_ref()?))) {
        Some((name, folder)) if session.is_embedded() => Err(Failure::input(format!(
            "{name} is {folder:?}: children that are processes of this machine would share it; leave it out, and use \
             $BATCHMAP_INPUT_DIR and $BATCHMAP_OUTPUT_DIR, which are each child's own"
        ))),
        _ => Ok(()),
    }
}

fn job_definition(task: &MapTask, session: &Session) -> Result<Definition, Failure> {
    let target = &session.target;
    let requirements = resources::requirements(&task.resources, session.platform())
        .map_err(|error| Failure::input(error.to_string()))?;
    if let Some(note) = &requirements.note {
        note!("note: {note}");
    }
    let image = match (task.image.as_ref().or(target.image.as_ref()), session.is_embedded()) {
        (Some(image), true) => {
            note!("note: image {image} is not used: the embedded endpoint runs children as processes of this machine");
            image.clone()
        }
        (Some(image), false) => image.clone(),
        (None, true) => NO_IMAGE.to_owned(),
        // An endpoint named by hand is an emulator: whether it needs an image is its affair.
        (None, false) if target.is_emulated() => NO_IMAGE.to_owned(),
        (None, false) => {
            return Err(Failure::input(
                "image is missing: on AWS children run in containers; give --image, BATCHMAP_IMAGE, `image` in \
                 batchmap.toml or in the specification, with batchmap in it",
            ));
        }
    };
    Ok(Definition {
        name: String::new(),
        image,
        platform: session.platform().to_string(),
        vcpus: requirements.vcpus,
        memory_mib: requirements.memory_mib,
        gpus: requirements.gpus,
        job_role: target.job_role.clone(),
        execution_role: target.execution_role.clone(),
        log_group: target.log_group.clone(),
        assign_public_ip: target.assign_public_ip,
    })
}
