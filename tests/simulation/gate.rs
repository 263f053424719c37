//! Where a driver dies or stands still: before or after any of its calls.

use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use crate::dice::Dice;
use crate::script::{FORGETFUL, HOUR, MINUTE, SECOND};

/// What happens to a driver at one of its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Halt {
    /// The driver, from 0.
    pub driver: u64,
    /// The call, from 0.
    pub call: u64,
    /// When its answer is there, or before it is sent.
    pub answered: bool,
    pub how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The process is gone; what it has sent arrives all the same.
    Dies,
    /// It does nothing for so many milliseconds, like a process that is stopped or a machine that sleeps.
    Sleeps(u64),
}

/// Long enough for others to finish meanwhile.
pub const LONG_SLEEP: u64 = 2 * HOUR;

impl Halt {
    pub fn draw(dice: Dice, driver: u64) -> Halt {
        let most = dice.pick("halt/most", &[driver], &[SECOND, 20 * SECOND, 5 * MINUTE, LONG_SLEEP]);
        Halt {
            driver,
            call: dice.roll("halt/call", &[driver], 1 << dice.roll("halt/far", &[driver], 9)),
            answered: dice.hits("halt/answered", &[driver], 50),
            how: match dice.hits("halt/dies", &[driver], 50) {
                true => How::Dies,
                false => How::Sleeps(1 + dice.roll("halt/sleep", &[driver], most)),
            },
        }
    }
}

/// What a driver has to pass before and after each call.
pub struct Gate {
    halts: Vec<Halt>,
    sleeps_until: Mutex<Option<Instant>>,
    died: Notify,
    /// Told when it falls asleep: somebody may take it for dead.
    asleep: UnboundedSender<u64>,
}

impl Gate {
    /// The gate of driver `driver`.
    pub fn new(driver: u64, halts: &[Halt], asleep: UnboundedSender<u64>) -> Gate {
        let halts = halts.iter().filter(|halt| halt.driver == driver).copied().collect();
        Gate { halts, sleeps_until: Mutex::default(), died: Notify::new(), asleep }
    }

    /// Comes back when the driver has died.
    pub async fn died(&self) {
        self.died.notified().await;
    }

    /// Goes on at once, later or never.
    pub async fn pass(&self, call: u64, answered: bool) {
        for halt in self.halts.iter().filter(|halt| (halt.call, halt.answered) == (call, answered)) {
            match halt.how {
                How::Dies => {
                    self.died.notify_one();
                    std::future::pending().await
                }
                How::Sleeps(ms) => {
                    *self.sleeps_until.lock().unwrap() = Some(Instant::now() + Duration::from_millis(ms));
                    // After so long a sleep nobody has missed it.
                    if ms < FORGETFUL {
                        let _ = self.asleep.send(halt.driver);
                    }
                }
            }
        }
        // All calls of a process stand still together.
        loop {
            let until = *self.sleeps_until.lock().unwrap();
            match until.filter(|until| *until > Instant::now()) {
                Some(until) => tokio::time::sleep_until(until).await,
                None => return,
            }
        }
    }
}
