//! What the SDK does not know to be worth another try.

use aws_sdk_s3::config::interceptors::InterceptorContext;
use aws_sdk_s3::config::retry::{ClassifyRetry, RetryAction};

/// Status 429 is "too many requests", whatever code comes with it. The SDK goes by the codes it knows, and the services'
/// models name none of them.
#[derive(Debug)]
pub(super) struct Status429;

impl ClassifyRetry for Status429 {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        match context.response() {
            Some(response) if response.status().as_u16() == 429 => RetryAction::throttling_error(),
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "Status429"
    }
}
