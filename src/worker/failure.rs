//! Why an attempt failed, and the error document that says so.

use std::borrow::Cow;
use std::time::SystemTime;

use nix::sys::signal::Signal;
use prost::Message;

use crate::aws::store::StoreError;
use crate::idl::core::container_error::Kind;
use crate::idl::core::execution_error::ErrorKind;
use crate::idl::core::{ContainerError, ErrorDocument};
use crate::map::exit::{
    EXIT_DOCUMENT, EXIT_NOT_EXECUTABLE, EXIT_OUTPUT, EXIT_RECOVERABLE, EXIT_SIGNAL, EXIT_SYSTEM, EXIT_TIMEOUT,
};

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// `USER:...` or `SYSTEM:...`, as flytekit names its own.
    pub code: Cow<'static, str>,
    /// Whose fault it is; by the code's first word when absent.
    pub origin: Option<ErrorKind>,
    /// For the user, with the fix.
    pub message: String,
    /// Whether another attempt may help.
    pub recoverable: bool,
    /// The worker's exit code.
    pub exit: i32,
}

impl Failure {
    fn user(code: &'static str, message: String, exit: i32) -> Self {
        Failure { code: code.into(), origin: None, message, recoverable: false, exit }
    }

    /// The worker itself could not do its part.
    pub(super) fn system(message: impl Into<String>) -> Self {
        Failure { recoverable: true, ..Failure::user("SYSTEM:Worker", message.into(), EXIT_SYSTEM) }
    }

    /// Someone told the worker to stop before the command was done. Not the command's fault: if Batch was asked to, its
    /// own reason says more than this; if the host is going away, another attempt helps.
    pub(super) fn terminated(signal: Signal, exit: i32) -> Self {
        let message = format!("stopped by {signal} from outside before the command had ended");
        Failure { recoverable: true, ..Failure::user("SYSTEM:Terminated", message, exit) }
    }

    /// As [`Failure::terminated`], where there was no command yet.
    pub(super) fn terminated_early(signal: Signal) -> Self {
        Failure::terminated(signal, EXIT_SIGNAL + signal as i32)
    }

    /// The command says that another attempt may help.
    pub(super) fn recoverable(message: String, exit: i32) -> Self {
        Failure { recoverable: true, ..Failure::user("USER:Recoverable", message, exit) }
    }

    /// The command ended with another code than 0, or by a signal.
    pub(super) fn command(message: String, exit: i32) -> Self {
        Failure::user("USER:ExitCode", message, exit)
    }

    /// The command, or something that it started, was killed for lack of memory.
    pub(super) fn memory(message: String, exit: i32) -> Self {
        Failure::user("USER:OutOfMemory", message, exit)
    }

    /// The command took too long; the task says whether that is worth another attempt.
    pub(super) fn timeout(message: String, recoverable: bool) -> Self {
        Failure { recoverable, ..Failure::user("USER:Timeout", message, EXIT_TIMEOUT) }
    }

    /// The command could not be started; `exit` is a shell's code for it.
    pub(super) fn start(message: String, exit: i32) -> Self {
        Failure::user("USER:Command", message, exit)
    }

    /// An input cannot be given to the command.
    pub(super) fn input(message: String) -> Self {
        Failure::user("USER:Input", message, EXIT_NOT_EXECUTABLE)
    }

    /// Outputs are missing or not of their types.
    pub(super) fn output(message: String) -> Self {
        Failure::user("USER:Output", message, EXIT_OUTPUT)
    }

    /// The command says itself why it failed, in Flyte's words.
    pub(super) fn told(error: ContainerError) -> Self {
        let recoverable = error.kind() == Kind::Recoverable;
        let origin = Some(error.origin()).filter(|origin| *origin != ErrorKind::Unknown);
        let exit = if recoverable { EXIT_RECOVERABLE } else { EXIT_DOCUMENT };
        Failure { code: error.code.into(), origin, message: error.message, recoverable, exit }
    }

    /// Whose fault it is.
    fn origin(&self) -> ErrorKind {
        let by_code = if self.code.starts_with("SYSTEM") { ErrorKind::System } else { ErrorKind::User };
        self.origin.unwrap_or(by_code)
    }

    /// The bytes of `error.pb`; `worker` names who says so.
    pub(super) fn document(&self, worker: &str, now: SystemTime) -> Vec<u8> {
        let kind = if self.recoverable { Kind::Recoverable } else { Kind::NonRecoverable };
        let error = ContainerError {
            code: self.code.clone().into_owned(),
            message: self.message.clone(),
            kind: kind.into(),
            origin: self.origin().into(),
            timestamp: Some(now.into()),
            worker: worker.to_owned(),
        };
        ErrorDocument { error: Some(error) }.encode_to_vec()
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Failure { code: "SYSTEM:Storage".into(), ..Failure::system(error.to_string()) }
    }
}
