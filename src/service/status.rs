//! What goes wrong, as gRPC says it.
//!
//! flytekit takes UNKNOWN and UNAUTHENTICATED for a reason to sign in, and then shows that attempt's error in place of
//! ours: neither is ever sent where nobody has to sign in. It repeats every failed call three times at once.

use tonic::{Code, Status};

use crate::aws::store::StoreError;
use crate::map::spec::Faults;

/// Bytes of a message: a client takes 32 KiB of trailers, and a byte may be written as three.
const LONGEST: usize = 9 << 10;

/// A status with a message that fits into the trailers.
pub(super) fn status(code: Code, message: impl Into<String>) -> Status {
    let mut message: String = message.into();
    if message.len() > LONGEST {
        message.truncate(message.floor_char_boundary(LONGEST));
        message.push_str(" ...");
    }
    Status::new(code, message)
}

/// The caller's mistake.
pub(super) fn invalid(message: impl Into<String>) -> Status {
    status(Code::InvalidArgument, message)
}

/// Something that does not exist.
pub(super) fn not_found(message: impl Into<String>) -> Status {
    status(Code::NotFound, message)
}

/// Something that nobody can do here.
pub(super) fn unimplemented(message: impl Into<String>) -> Status {
    status(Code::Unimplemented, message)
}

/// Faults of a registration or a launch, one a line.
pub(super) fn faults(faults: &Faults) -> Status {
    invalid(faults.to_string())
}

/// A store that could not be used.
pub(super) fn store(error: StoreError) -> Status {
    match &error {
        StoreError::Unreachable { .. } => status(Code::Unavailable, error.to_string()),
        StoreError::Refused { .. } => status(Code::FailedPrecondition, error.to_string()),
        StoreError::NotFound { .. } | StoreError::AlreadyExists { .. } => status(Code::Internal, error.to_string()),
    }
}

/// A stored record that cannot be read.
pub(super) fn damaged(what: &str, problem: impl std::fmt::Display) -> Status {
    status(Code::DataLoss, format!("{what} cannot be read: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_between_letters() {
        let status = invalid("\u{e9}".repeat(20_000));
        assert!(status.message().len() <= LONGEST + 4 && status.message().ends_with("\u{e9} ..."));
        assert_eq!(invalid("short").message(), "short");
    }
}
