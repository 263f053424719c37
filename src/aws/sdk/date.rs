//! The time by a service's own clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};

/// Keeps the Date header of a call's answer. Zero is none.
#[derive(Clone, Debug, Default)]
pub(super) struct Date(Arc<AtomicU64>);

impl Date {
    /// When the service answered, in milliseconds since 1970.
    pub(super) fn read(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|at| *at > 0)
    }
}

impl Intercept for Date {
    fn name(&self) -> &'static str {
        "Date"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let header = context.response().headers().get("date");
        if let Some(at) = header.and_then(|text| DateTime::from_str(text, DateTimeFormat::HttpDate).ok()) {
            self.0.store(millis(&at), Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Milliseconds since 1970; nothing is older.
pub(super) fn millis(at: &DateTime) -> u64 {
    at.to_millis().ok().and_then(|ms| u64::try_from(ms).ok()).unwrap_or_default()
}
