//! How many requests were sent.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_s3::config::interceptors::{BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef};
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;

use super::reach;

/// Requests sent so far, by API operation, retries included. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Counts(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl Counts {
    /// The counts now, by the operation's AWS name (`SubmitJob`, `PutObject`, ...); operations never sent are absent.
    pub fn snapshot(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Requests of one operation.
    pub fn of(&self, operation: &str) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(operation).copied().unwrap_or(0)
    }

    /// What counts the tries of one call of `operation`.
    pub(super) fn call(&self, operation: &'static str) -> Call {
        Call { operation, counts: self.clone(), sent: Arc::default() }
    }
}

/// Watches one call: counts its tries, and remembers whether there was any.
#[derive(Clone, Debug)]
pub(super) struct Call {
    operation: &'static str,
    counts: Counts,
    sent: Arc<AtomicBool>,
}

impl Call {
    /// Whether anything was sent. When not (no credentials, say), AWS certainly did nothing.
    pub(super) fn was_sent(&self) -> bool {
        self.sent.load(Ordering::Relaxed)
    }
}

impl Intercept for Call {
    fn name(&self) -> &'static str {
        "Counts"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        reach::begins(context);
        self.sent.store(true, Ordering::Relaxed);
        *self.counts.0.lock().unwrap_or_else(PoisonError::into_inner).entry(self.operation).or_default() += 1;
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        reach::ended(context);
        Ok(())
    }
}
