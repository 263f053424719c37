//! Make it happen: stage, submit, observe, settle, collect, journal.

pub mod begin;
pub mod bound;
pub mod browser;
pub mod cache;
mod clock;
pub mod definition;
pub mod driver;
pub mod files;
pub mod flow;
pub mod gc;
pub mod journal;
pub mod launch;
pub mod observe;
pub mod recent;
pub mod recover;
pub mod result;
pub mod settle;
pub mod source;
pub mod stage;
pub mod stock;
pub mod stuck;
pub mod submit;

use std::sync::Arc;

pub use clock::{Clock, now_ms};

use crate::aws::batch::Batch;
use crate::aws::logs::Logs;
use crate::aws::store::Store;

/// The outside world, as an execution needs it.
#[derive(Clone)]
pub struct Ports {
    /// AWS Batch.
    pub batch: Arc<dyn Batch>,
    /// The bucket.
    pub store: Arc<dyn Store>,
    /// CloudWatch Logs.
    pub logs: Arc<dyn Logs>,
    /// What tells the time that the journal is written with.
    pub clock: Clock,
}

/// A random number from the operating system's randomness: for names that must not meet.
pub fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    // Every `RandomState` has keys of its own, drawn from the operating system.
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
