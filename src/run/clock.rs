//! What tells a driver the time.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// A clock that says when something was written. It may be wrong and it may jump, either way: what waits for a time to
/// pass asks the runtime instead.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Clock {
    /// This machine's.
    pub fn wall() -> Clock {
        Clock::of(now_ms)
    }

    /// One that says what `tell` does, in milliseconds since 1970.
    pub fn of(tell: impl Fn() -> u64 + Send + Sync + 'static) -> Clock {
        Clock(Arc::new(tell))
    }

    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::wall()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now_ms())
    }
}

/// Milliseconds since 1970, by this machine's clock.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
