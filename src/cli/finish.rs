//! The end of `run` and `resume`: driving to the end under Ctrl-C, collecting, printing.

use std::io::Write;
use std::time::Duration;

use tokio::sync::mpsc;

use super::progress::{self, Show};
use super::report;
use super::session::{Access, Session};
use super::signals::{Pressed, Signals};
use super::words::count;
use super::{Exit, Failure, wait};
use crate::idl::record::TaskRecord;
use crate::map::event::Decision;
use crate::map::layout::Root;
use crate::run::driver::{Control, DriveError, Driver, Ended};
use crate::run::journal::JournalError;
use crate::run::launch;
use crate::run::result::{self, Format, Spool};

/// How results and progress are shown.
#[derive(Clone, Debug, clap::Args)]
pub struct ShowArgs {
    /// How the outputs are printed: a JSON document, or a line for each subtask.
    #[arg(long, value_enum, default_value_t = FormatArg::Json)]
    pub format: FormatArg,
    /// How progress is shown on standard error.
    #[arg(long, value_enum, default_value_t = Show::Auto)]
    pub progress: Show,
    /// Children at once on this machine, when no AWS target is configured; its cores when absent.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub slots: Option<u32>,
    /// Print how many requests of each AWS operation were sent, as JSON on standard error.
    #[arg(long)]
    pub stats: bool,
}

impl ShowArgs {
    /// What the command means to do with a session.
    pub fn access(&self) -> Access {
        Access::Drive { slots: self.slots.map(|slots| slots as usize) }
    }
}

/// The spelling of [`Format`] on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum FormatArg {
    /// One document: a list, or an object of lists when there are several outputs.
    Json,
    /// One line for each subtask.
    Jsonl,
}

impl From<FormatArg> for Format {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Json => Format::Json,
            FormatArg::Jsonl => Format::Jsonl,
        }
    }
}

/// Drives an execution until it is over or the user has had enough, and prints what came of it.
///
/// # Errors
/// When the driver cannot go on, or the outputs cannot be collected or printed.
pub async fn drive(session: &Session, root: &Root, driver: &mut Driver, show: &ShowArgs) -> Result<Exit, Failure> {
    let (control, mut requests) = mpsc::channel(4);
    // Before anything is said: whoever reads that it runs may want to stop it.
    let signals = Signals::new().map_err(|error| Failure::internal(format!("cannot listen to signals: {error}")))?;
    let interrupts = tokio::spawn(listen(signals, control, session.is_embedded()));
    let record = driver.record();
    note!("{}: {}, execution {}", record.name, count(record.size, "subtask"), root.id());
    let shown = tokio::spawn(progress::show(show.progress, driver.progress()));
    let ended = driver.run(&mut requests).await;
    interrupts.abort();
    session.note_polls(driver.polls());
    shown.abort();
    let _ = shown.await;
    let id = root.id();
    let ended = match ended {
        Err(error) if is_overtaken(&error) => {
            if matches!(error, DriveError::Left { .. }) {
                note!("{id}: {error}");
            }
            note!("{id}: another batchmap has taken this execution over; following it");
            return tokio::select! {
                followed = follow(session, root, show) => followed,
                () = given_up() => Ok(Exit::Detached),
            };
        }
        Err(error) => {
            let Failure { message, exit } = error.into();
            let left = session.left_behind(driver.may_hold());
            let message =
                format!("{message}; the execution is not over, and {left}: take it up with: batchmap resume {id}");
            return Err(Failure { message, exit });
        }
        Ok(ended) => ended,
    };
    match ended {
        Ended::Detached => {
            note!(
                "{id}: stopped watching; {}. Take it up with: batchmap resume {id}",
                session.left_behind(driver.may_hold())
            );
            Ok(Exit::Detached)
        }
        Ended::Finished(decision) => {
            if decision == Decision::Succeeded {
                tokio::select! {
                    delivered = deliver(session, root, driver, show) => delivered?,
                    () = given_up() => {
                        note!("\n{id} has succeeded; print its outputs with: batchmap outputs {id}");
                        return Ok(Exit::Detached);
                    }
                }
            }
            let summary = driver.execution().summary();
            note!("{}", report::report(id, &summary));
            Ok(exit_of(&decision))
        }
    }
}

/// Whether another driver goes on with the execution.
fn is_overtaken(error: &DriveError) -> bool {
    match error {
        DriveError::Journal(error) => matches!(error, JournalError::Overtaken { .. }),
        DriveError::Left { overtaken, .. } => matches!(**overtaken, JournalError::Overtaken { .. }),
        _ => false,
    }
}

/// Waits for the driver that has taken over, and prints what it has brought: whoever started this one wants the list.
async fn follow(session: &Session, root: &Root, show: &ShowArgs) -> Result<Exit, Failure> {
    let exit = wait::follow(session, root, None).await?;
    if exit == Exit::Ok {
        let known = launch::read(&session.ports.store, root).await?;
        let store = session.ports.store.as_ref();
        print(&result::collect(store, root, &known.record, &known.execution).await?, show.format)?;
    }
    Ok(exit)
}

/// Collects, stores and prints the outputs.
async fn deliver(session: &Session, root: &Root, driver: &Driver, show: &ShowArgs) -> Result<(), Failure> {
    let store = session.ports.store.as_ref();
    let spool = result::collect(store, root, driver.record(), driver.execution()).await?;
    result::write(store, root, &spool, result::PART_LIMIT).await?;
    print(&spool, show.format)
}

/// Returns when somebody does not want to wait for the outputs.
async fn given_up() {
    match Signals::new() {
        Ok(mut signals) => drop(signals.next().await),
        Err(_) => std::future::pending().await,
    }
}

/// The end of an execution over empty lists: it has succeeded, and nothing was sent to AWS for it.
///
/// # Errors
/// When standard output cannot be written.
pub fn nothing(root: &Root, record: &TaskRecord, show: &ShowArgs) -> Result<Exit, Failure> {
    let names = result::declared(record).into_keys().collect();
    let mut spool = Spool::create(names)?;
    spool.rewind()?;
    print(&spool, show.format)?;
    note!("{} succeeded: its lists are empty, so nothing was submitted", root.id());
    Ok(Exit::Ok)
}

/// Prints a result on standard output. A reader that closes early (`| head`) is no failure.
///
/// # Errors
/// When standard output cannot be written, or the spool not be read.
pub fn print(spool: &Spool, format: FormatArg) -> Result<(), Failure> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let printed = result::print(spool, format.into(), &mut out).and_then(|()| Ok(out.flush()?));
    match printed {
        Err(result::PrintError::Write(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(result::PrintError::Result(error)) => Err(error.into()),
        Err(error) => Err(Failure::internal(error.to_string())),
        Ok(()) => Ok(()),
    }
}

/// The exit code of an execution that ended like this.
pub fn exit_of(decision: &Decision) -> Exit {
    match decision {
        Decision::Succeeded => Exit::Ok,
        Decision::Failed { .. } => Exit::MapFailed,
        Decision::Aborted { .. } => Exit::Aborted,
        Decision::Refused { .. } => Exit::Aws,
    }
}

/// How long after the first Ctrl-C a second one still means abort. Long enough for a finger, short enough to wait for.
const SECOND_PRESS: Duration = Duration::from_secs(2);

/// Turns Ctrl-C into requests: once stops watching, twice aborts, once more leaves at once. SIGTERM stops watching
/// without waiting for a second press: what sends it has no finger.
async fn listen(mut signals: Signals, control: mpsc::Sender<Control>, embedded: bool) {
    if signals.next().await == Pressed::Interrupt {
        let what = if embedded { "stopping the children" } else { "stopping to watch" };
        note!("\n{what}; press Ctrl-C again within {} s to abort the execution", SECOND_PRESS.as_secs());
        if tokio::time::timeout(SECOND_PRESS, signals.next()).await.is_ok() {
            note!("\naborting: terminating every child; press Ctrl-C again to leave without waiting for it");
            let _ = control.send(Control::Abort { reason: "aborted by Ctrl-C".to_owned() }).await;
            signals.next().await;
            std::process::exit(Exit::Detached as i32);
        }
    }
    let _ = control.send(Control::Detach).await;
    signals.next().await;
    std::process::exit(Exit::Detached as i32);
}
