//! How many requests were sent.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_sdk_s3::config::interceptors::{BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef};
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;

use super::reach;

/// Requests sent so far, by API operation, retries included. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    all: Arc<Mutex<All>>,
    service: &'static str,
}

#[derive(Debug, Default)]
struct All {
    sent: BTreeMap<&'static str, u64>,
    answered: BTreeMap<Answered, u64>,
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Answered {
    /// `s3`, `batch` or `logs`.
    pub service: &'static str,
    /// The operation's AWS name: `SubmitJob`, `PutObject`, ...
    pub operation: &'static str,
    /// The answer's HTTP status; nothing where no answer came.
    pub status: Option<u16>,
}

impl Counts {
    /// The counts now, by the operation's AWS name (`SubmitJob`, `PutObject`, ...); operations never sent are absent.
    pub fn snapshot(&self) -> BTreeMap<&'static str, u64> {
        self.all().sent.clone()
    }

    /// Requests of one operation.
    pub fn of(&self, operation: &str) -> u64 {
        self.all().sent.get(operation).copied().unwrap_or(0)
    }

    /// Requests that are over, by what came of them.
    pub fn answered(&self) -> BTreeMap<Answered, u64> {
        self.all().answered.clone()
    }

    /// The same counts, for requests to one service.
    pub(super) fn for_service(&self, service: &'static str) -> Counts {
        Counts { all: self.all.clone(), service }
    }

    /// What counts the tries of one call of `operation`.
    pub(super) fn call(&self, operation: &'static str) -> Call {
        Call { operation, counts: self.clone(), sent: Arc::default() }
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
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
        *self.counts.all().sent.entry(self.operation).or_default() += 1;
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        reach::ended(context);
        let status = context.response().map(|response| response.status().as_u16());
        let (service, operation) = (self.counts.service, self.operation);
        *self.counts.all().answered.entry(Answered { service, operation, status }).or_default() += 1;
        Ok(())
    }
}
