//! A map of one element: from its staging to its output and its log, by the same way as any other.

use std::collections::BTreeMap;

use tokio::sync::mpsc;

use super::Report;
use crate::aws::batch::{BatchError, Definition};
use crate::aws::store::StoreError;
use crate::cli::definitions::Definitions;
use crate::cli::logs::{self, DEFAULT_GROUP};
use crate::cli::session::Session;
use crate::cli::signals::Signals;
use crate::cli::{Exit, Failure, finish, report};
use crate::map::event::Decision;
use crate::map::index::OriginalIndex;
use crate::map::layout::Root;
use crate::map::task::MapTask;
use crate::run::begin::{self, Queues};
use crate::run::driver::{Control, Driver, Ended};
use crate::run::result::{self, Format};
use crate::run::stage::{self, StageError, StageOptions};
use crate::run::{definition as registered, launch, now_ms};

/// The element that is mapped.
pub(super) const ELEMENT: &str = "one";
/// The value that is bound.
pub(super) const BOUND: &str = "two";

/// The job definition, registered where there is none like it; nothing where it cannot be.
pub(super) async fn definition(session: &Session, task: &MapTask, report: &mut Report) -> Option<Definition> {
    let made = Definitions::of(session).make(task.image.as_deref(), &task.resources, &task.batch);
    let (definition, notes) = match made {
        Ok(made) => made,
        Err(problem) => {
            report.fail("job definition", Exit::BadInput, problem, "correct what it names");
            return None;
        }
    };
    match registered::ensure(session.ports.batch.as_ref(), definition.clone()).await {
        Ok(arn) => {
            let name = arn.rsplit('/').next().unwrap_or(&arn);
            let notes: String = notes.iter().map(|note| format!("; {note}")).collect();
            report.ok("job definition", format!("{name} with image {}{notes}", definition.image));
            Some(definition)
        }
        Err(error) => {
            let fix = match &error {
                error if error.is_denied() => {
                    "allow batch:RegisterJobDefinition and batch:DescribeJobDefinitions, and iam:PassRole on job_role and \
                     execution_role to ecs-tasks.amazonaws.com"
                }
                BatchError::Refused { .. } => "correct what AWS names: the image, the roles, or the size",
                _ => "see that the address, the network and the credentials are right",
            };
            report.fail("job definition", Exit::Aws, error.to_string(), fix);
            None
        }
    }
}

/// Runs the map, looks at what came of it and removes it.
pub(super) async fn run(session: &Session, task: &MapTask, definition: Definition, report: &mut Report) {
    let root = session.root(&launch::new_id(now_ms()));
    match attempt(session, &root, task, definition, report).await {
        Ok(true) => removal(session, &root, report).await,
        // What it left says why.
        Ok(false) => {}
        Err(failure) => {
            let fix = "see what it names; `batchmap status` shows what is left of it, `batchmap abort` ends that";
            report.fail("job", failure.exit, format!("execution {}: {}", root.id(), failure.message), fix);
        }
    }
}

/// Whether it came to what it must.
async fn attempt(
    session: &Session,
    root: &Root,
    task: &MapTask,
    definition: Definition,
    report: &mut Report,
) -> Result<bool, Failure> {
    let options = StageOptions { dry_run: false, stores: session.stores(), results: session.results(), stdin: None };
    let staged = stage::stage(task, &session.ports.store, root, options).await.map_err(|error| match error {
        StageError::Store(error) => error.into(),
        error @ StageError::Faults(_) => Failure::internal(error.to_string()),
    })?;
    let target = &session.target;
    let queues = Queues { default: target.queue.clone(), interruptible: target.interruptible_queue.clone() };
    let make = || Ok(definition);
    let begun = begin::begin(&session.ports, root, staged.record, make, &queues, session.patience, BTreeMap::new());
    let mut driver = begun.await?;
    note!("running a map of one element, execution {}: the first job of a queue may wait for its machine", root.id());
    let ended = drive(&mut driver).await?;
    let Ended::Finished(decision) = ended else {
        return Err(Failure { message: "it was left before its end".to_owned(), exit: Exit::Detached });
    };
    if decision != Decision::Succeeded {
        let why = report::report(root.id(), &driver.execution().summary());
        let fix = format!(
            "see the reason, and `batchmap logs {} 0`; an image must hold batchmap, and its job role read and write the bucket",
            root.id()
        );
        report.fail("job", finish::exit_of(&decision), why, fix);
        return Ok(false);
    }
    let well = output(session, root, &driver, report).await?;
    log(session, &driver, report).await;
    Ok(well)
}

/// Drives to the end; Ctrl-C ends the job first.
async fn drive(driver: &mut Driver) -> Result<Ended, Failure> {
    let (control, mut requests) = mpsc::channel(1);
    let mut signals =
        Signals::new().map_err(|error| Failure::internal(format!("cannot listen to signals: {error}")))?;
    let interrupts = tokio::spawn(async move {
        signals.next().await;
        let _ = control.send(Control::Abort { reason: "batchmap doctor was interrupted".to_owned() }).await;
        signals.next().await;
        std::process::exit(Exit::Detached as i32);
    });
    let ended = driver.run(&mut requests).await;
    interrupts.abort();
    Ok(ended?)
}

async fn output(session: &Session, root: &Root, driver: &Driver, report: &mut Report) -> Result<bool, Failure> {
    let spool = result::collect(session.ports.store.as_ref(), root, driver.record(), driver.execution()).await?;
    let mut printed = Vec::new();
    result::print(&spool, Format::Json, &mut printed).map_err(|error| Failure::internal(error.to_string()))?;
    let expected = format!("[\"{ELEMENT} {BOUND}\"]");
    let printed = String::from_utf8_lossy(&printed).trim().to_owned();
    if printed != expected {
        let fix = "see that the image's batchmap is of this version";
        report.fail("job", Exit::MapFailed, format!("its output is {printed}, and must be {expected}"), fix);
        return Ok(false);
    }
    report
        .ok("job", format!("execution {}: a map of one element gave back its element and its bound value", root.id()));
    Ok(true)
}

/// Looks for the events of the one child; there may be none for a while, and it prints one line.
async fn log(session: &Session, driver: &Driver, report: &mut Report) {
    let group = session.log_group().unwrap_or(DEFAULT_GROUP);
    let streams = match logs::streams(session, driver.execution(), OriginalIndex(0)).await {
        Ok(streams) => streams,
        Err(failure) => return report.unseen("log", failure.message),
    };
    let Some(stream) = streams.last() else {
        return report.unseen("log", "AWS Batch names no stream of the job");
    };
    match session.ports.logs.page(group, stream, None).await {
        Ok(page) if page.events.is_empty() => report.unseen("log", format!("{group}/{stream} holds nothing yet")),
        Ok(page) => report.ok("log", format!("{group}/{stream} can be read, {} so far", lines(page.events.len()))),
        Err(error) => {
            let fix = "allow logs:GetLogEvents on the log group's streams; `batchmap logs` needs it, executions do not";
            report.warn("log", error.to_string(), fix);
        }
    }
}

fn lines(count: usize) -> String {
    crate::cli::words::count(count as u64, "event")
}

/// Removes the execution: its record first, for without it nothing takes it for one; the journal last, for it keeps a
/// driver that slept from going on.
async fn removal(session: &Session, root: &Root, report: &mut Report) {
    let store = session.ports.store.as_ref();
    let removed = async {
        store.delete_many(&[root.task()]).await?;
        for prefix in [root.raw(), root.everything()] {
            loop {
                let page = store.list(&prefix, None).await?;
                let (journal, others): (Vec<String>, Vec<String>) =
                    page.objects.into_iter().map(|object| object.key).partition(|key| key.starts_with(&root.journal()));
                if journal.is_empty() && others.is_empty() {
                    break;
                }
                store.delete_many(&others).await?;
                if !page.more || others.is_empty() {
                    store.delete_many(&journal).await?;
                }
            }
        }
        Ok::<(), StoreError>(())
    };
    match removed.await {
        Ok(()) => report.ok("removal", format!("nothing is left of execution {}", root.id())),
        Err(error) => {
            let fix = "allow s3:DeleteObject on the bucket's keys under the prefix: `batchmap gc` needs it, executions do not";
            report.warn("removal", error.to_string(), fix);
        }
    }
}
