//! The clocks that the API can tell time by.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Milliseconds since 1970, by the machine's clock.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What tells an endpoint's time.
#[derive(Clone, Copy, Debug, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    Wall,
    /// The runtime's, which a simulation pauses: time then passes as fast as nothing is left to do.
    Runtime {
        /// Milliseconds since 1970 at `since`.
        epoch_ms: u64,
        /// When the simulation began.
        since: Instant,
    },
}

impl Clock {
    /// A simulation's clock, which says `epoch_ms` now. Call it inside the runtime.
    pub fn simulated(epoch_ms: u64) -> Clock {
        Clock::Runtime { epoch_ms, since: Instant::now() }
    }

    /// Milliseconds since 1970.
    pub fn now_ms(self) -> u64 {
        match self {
            Clock::Wall => now_ms(),
            Clock::Runtime { epoch_ms, since } => {
                epoch_ms.saturating_add(u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_simulated_clock_moves_with_the_runtime() {
        let clock = Clock::simulated(1000);
        tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
        assert_eq!(clock.now_ms(), 3_601_000);
    }
}
