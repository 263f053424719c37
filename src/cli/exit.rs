//! Exit codes: what a script can rely on.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It did what it was asked; of an execution: it succeeded.
    Ok = 0,
    /// The map failed: too few subtasks succeeded.
    MapFailed = 1,
    /// The input is wrong: arguments, specification, data, or the id of an execution that does not exist.
    BadInput = 2,
    /// The execution was aborted.
    Aborted = 3,
    /// AWS refused a request or could not be reached.
    Aws = 4,
    /// A fault of batchmap itself, or of the machine it runs on.
    Internal = 5,
    /// The command stopped before the execution did: it goes on, or can be taken up with `batchmap resume`.
    Detached = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Printed below `batchmap --help`.
pub const HELP: &str = "\
Exit codes:
  0  succeeded
  1  the map failed: too few subtasks succeeded
  2  bad input: arguments, specification, data, unknown execution
  3  aborted
  4  AWS refused a request or could not be reached; what was begun can be resumed where the message says so
  5  internal error, or the local machine failed
  6  stopped watching before the end; `batchmap resume ID` takes the execution up";

/// A message for standard error and the exit code that goes with it.
#[derive(Debug)]
pub struct Failure {
    /// What happened and what to do.
    pub message: String,
    /// The code.
    pub exit: Exit,
}

impl Failure {
    /// Wrong input.
    pub fn input(message: impl Into<String>) -> Self {
        Failure { message: message.into(), exit: Exit::BadInput }
    }

    /// AWS, or the endpoint in its place.
    pub fn aws(message: impl Into<String>) -> Self {
        Failure { message: message.into(), exit: Exit::Aws }
    }

    /// This machine, or this program.
    pub fn internal(message: impl Into<String>) -> Self {
        Failure { message: message.into(), exit: Exit::Internal }
    }
}

impl From<crate::run::launch::LaunchError> for Failure {
    fn from(error: crate::run::launch::LaunchError) -> Self {
        use crate::run::launch::LaunchError as E;
        let exit = match &error {
            E::Unknown { .. } | E::NeverBegun { .. } => Exit::BadInput,
            E::Unreadable { .. } | E::Illegal(_) => Exit::Internal,
            E::Journal(error) => journal(error),
            E::Store(_) => Exit::Aws,
        };
        Failure { message: error.to_string(), exit }
    }
}

impl From<crate::run::recover::RecoverError> for Failure {
    fn from(error: crate::run::recover::RecoverError) -> Self {
        use crate::run::recover::RecoverError as E;
        let exit = match &error {
            E::NotOver { .. } | E::NeverBegun { .. } | E::Removed { .. } => Exit::BadInput,
            E::Store(_) => Exit::Aws,
        };
        Failure { message: error.to_string(), exit }
    }
}

impl From<crate::run::driver::DriveError> for Failure {
    fn from(error: crate::run::driver::DriveError) -> Self {
        use crate::run::driver::DriveError as E;
        let exit = match &error {
            E::Journal(error) => journal(error),
            E::Batch(_) | E::Store(_) | E::Left { .. } => Exit::Aws,
            E::Illegal(_) => Exit::Internal,
        };
        Failure { message: error.to_string(), exit }
    }
}

fn journal(error: &crate::run::journal::JournalError) -> Exit {
    use crate::run::journal::JournalError as E;
    match error {
        E::Overtaken { .. } => Exit::Detached,
        E::Removed { .. } => Exit::BadInput,
        E::Unreadable { .. } | E::Gap { .. } => Exit::Internal,
        E::Store(_) => Exit::Aws,
    }
}

impl From<crate::run::result::ResultError> for Failure {
    fn from(error: crate::run::result::ResultError) -> Self {
        use crate::run::result::ResultError as E;
        let exit = match &error {
            E::Store(_) => Exit::Aws,
            E::Spool { .. } | E::Damaged { .. } => Exit::Internal,
        };
        Failure { message: error.to_string(), exit }
    }
}

impl From<crate::run::begin::BeginError> for Failure {
    fn from(error: crate::run::begin::BeginError) -> Self {
        use crate::run::begin::BeginError as E;
        match error {
            E::Definition(problem) => Failure::input(problem),
            E::Batch(error) => error.into(),
            E::Store(error) => error.into(),
            E::Launch(error) => error.into(),
        }
    }
}

impl From<crate::aws::store::StoreError> for Failure {
    fn from(error: crate::aws::store::StoreError) -> Self {
        Failure::aws(error.to_string())
    }
}

impl From<crate::aws::batch::BatchError> for Failure {
    fn from(error: crate::aws::batch::BatchError) -> Self {
        Failure::aws(error.to_string())
    }
}
