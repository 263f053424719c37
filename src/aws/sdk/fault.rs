//! What an error of the SDK means: one reading for all three services.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use super::counts::Call;
use crate::aws::about::is_denial;
use crate::aws::batch::BatchError;

/// Codes by which AWS services say "too many requests". Some come with status 400, some with 429 or 503.
const THROTTLING: [&str; 12] = [
    "BandwidthLimitExceeded",
    "LimitExceededException",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "Throttling",
    "ThrottledException",
    "ThrottlingException",
    "TooManyRequestsException",
];

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// AWS answered with an error.
    Answer {
        /// The HTTP status.
        status: u16,
        /// AWS's error code.
        code: String,
        /// AWS's message.
        message: String,
    },
    /// The request never left: AWS cannot have done anything.
    NotSent(String),
    /// It was sent, and no answer that means anything came.
    NoAnswer(String),
}

impl Fault {
    /// Reads the SDK's error of the call that `call` watched.
    pub(super) fn read<E>(error: &SdkError<E>, call: &Call) -> Fault
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        match error {
            SdkError::ServiceError(context) => {
                let status = context.raw().status().as_u16();
                let meta = context.err().meta();
                let code = meta.code().map_or_else(|| format!("HTTP {status}"), str::to_owned);
                // Without either, the answer could not be read: the chain of causes says why.
                let message = meta.message().map_or_else(|| chain(error), str::to_owned);
                Fault::Answer { status, code, message }
            }
            _ if !call.was_sent() => Fault::NotSent(chain(error)),
            _ => Fault::NoAnswer(chain(error)),
        }
    }

    /// AWS's error code, when it answered.
    pub(super) fn code(&self) -> Option<&str> {
        match self {
            Fault::Answer { code, .. } => Some(code),
            _ => None,
        }
    }

    /// As an error of the Batch port. `resource` is what the request was about.
    pub(super) fn into_batch(self, operation: &'static str, resource: &str) -> BatchError {
        match self {
            Fault::Answer { status, code, message } => {
                let told = format!("{message} [{resource}]");
                if is_throttle(status, &code) {
                    BatchError::Throttled { operation, message: format!("{code}: {told}") }
                } else if is_credentials(&code) {
                    BatchError::Unauthenticated { operation, message: format!("{code}: {told}") }
                } else if !(400..500).contains(&status) || is_passing(&code) {
                    BatchError::Unknown { operation, message: format!("{code}: {told}") }
                } else {
                    let hint = hint(&code, &message, &format!("batch:{operation}"));
                    let message = told + &hint;
                    BatchError::Refused { operation, code, message }
                }
            }
            Fault::NotSent(message) => BatchError::Unauthenticated { operation, message },
            Fault::NoAnswer(message) => BatchError::Unknown { operation, message: format!("{message} [{resource}]") },
        }
    }
}

/// Whether an answer with this code speaks of the credentials and not of the request: they have expired, most often.
pub(super) fn is_credentials(code: &str) -> bool {
    const CODES: [&str; 8] = [
        "ExpiredToken",
        "ExpiredTokenException",
        "RequestExpired",
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "InvalidAccessKeyId",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
    ];
    CODES.contains(&code)
}

/// Codes by which AWS says that the request was fine and its time was not: with status 400 or 409, unlike most such.
pub(super) fn is_passing(code: &str) -> bool {
    ["RequestTimeout", "RequestTimeoutException", "ConditionalRequestConflict", "OperationAborted"].contains(&code)
}

/// Whether an answer says "too many requests".
pub(super) fn is_throttle(status: u16, code: &str) -> bool {
    status == 429 || THROTTLING.contains(&code)
}

/// What to add to AWS's message when it denies access: the IAM action that the caller lacks. Where the message names one
/// itself, that is it: it may be another than the operation's own, for a key's encryption, say.
pub(super) fn hint(code: &str, message: &str, action: &str) -> String {
    if !is_denial(code) {
        return String::new();
    }
    let named = message.split_once("not authorized to perform: ").and_then(|(_, rest)| rest.split_whitespace().next());
    let action = named.filter(|named| named.contains(':')).unwrap_or(action);
    format!(" (the caller's IAM policy must allow {action})")
}

/// An error and its causes in one line, a cause that repeats what was said before left out.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, code: &str) -> BatchError {
        let fault = Fault::Answer { status, code: code.to_owned(), message: "why".to_owned() };
        fault.into_batch("SubmitJob", "job x")
    }

    #[test]
    fn an_answer_is_read_by_what_the_caller_can_do() {
        assert!(matches!(answer(400, "ClientException"), BatchError::Refused { .. }));
        assert!(matches!(answer(403, "AccessDeniedException"), BatchError::Refused { .. }));
        assert!(matches!(answer(429, "HTTP 429"), BatchError::Throttled { .. }));
        assert!(matches!(answer(429, "TooManyRequestsException"), BatchError::Throttled { .. }));
        assert!(matches!(answer(400, "ThrottlingException"), BatchError::Throttled { .. }));
        assert!(matches!(answer(503, "ThrottlingException"), BatchError::Throttled { .. }));
        assert!(matches!(answer(403, "ExpiredTokenException"), BatchError::Unauthenticated { .. }));
        assert!(matches!(answer(500, "ServerException"), BatchError::Unknown { .. }));
        assert!(matches!(answer(502, "HTTP 502"), BatchError::Unknown { .. }));
        // An answer that could not be read: the request was carried out.
        assert!(matches!(answer(200, "HTTP 200"), BatchError::Unknown { .. }));
    }

    #[test]
    fn a_moments_trouble_is_no_refusal() {
        assert!(matches!(answer(400, "RequestTimeoutException"), BatchError::Unknown { .. }));
    }

    #[test]
    fn a_denial_names_the_action_that_aws_names() {
        let message =
            "User: arn:aws:sts::000000000000:assumed-role/r/s is not authorized to perform: kms:Decrypt on resource: k";
        assert_eq!(hint("AccessDenied", message, "s3:GetObject"), " (the caller's IAM policy must allow kms:Decrypt)");
        assert_eq!(hint("HTTP 403", "", "s3:GetObject"), " (the caller's IAM policy must allow s3:GetObject)");
        assert_eq!(hint("NoSuchBucket", message, "s3:GetObject"), "");
    }

    #[test]
    fn a_denial_names_the_action_and_the_resource() {
        let text = answer(403, "AccessDeniedException").to_string();
        assert!(text.contains("batch:SubmitJob") && text.contains("job x") && text.contains("why"), "{text}");
    }
}
