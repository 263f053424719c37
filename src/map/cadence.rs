//! How often to poll: quickly while things change, seldom while they do not.

use std::time::Duration;

/// The bounds of a poll interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// After a change.
    pub shortest: Duration,
    /// When nothing has changed for long.
    pub longest: Duration,
}

impl Pace {
    /// For AWS: its counts lag by seconds, and an account has 50 calls a second for everything it does.
    pub const AWS: Pace = Pace { shortest: Duration::from_secs(2), longest: Duration::from_secs(30) };
    /// For the endpoint in the same process.
    pub const EMBEDDED: Pace = Pace { shortest: Duration::from_millis(50), longest: Duration::from_millis(500) };
}

/// The current poll interval.
#[derive(Clone, Debug)]
pub struct Cadence {
    pace: Pace,
    interval: Duration,
}

impl Cadence {
    /// Begins at the shortest interval.
    pub fn new(pace: Pace) -> Self {
        Cadence { pace, interval: pace.shortest }
    }

    /// How long to wait before the next poll.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Takes in whether a poll brought anything new: the interval halves, or grows by half.
    pub fn polled(&mut self, changed: bool) {
        let next = if changed { self.interval / 2 } else { self.interval * 3 / 2 };
        self.interval = next.clamp(self.pace.shortest, self.pace.longest);
    }

    /// Takes in how long a poll took: under a throttled account, or with thousands of failures to list, long. It is not
    /// made more often than every other moment.
    pub fn took(&mut self, time: Duration) {
        self.interval = self.interval.max(time.min(self.pace.longest));
    }

    /// Something was started or stopped: news are to be expected soon.
    pub fn hurry(&mut self) {
        self.interval = self.pace.shortest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slows_down_while_nothing_changes_and_recovers() {
        let mut cadence = Cadence::new(Pace::AWS);
        (0..20).for_each(|_| cadence.polled(false));
        assert_eq!(cadence.interval(), Pace::AWS.longest);
        cadence.polled(true);
        assert!(cadence.interval() < Pace::AWS.longest);
        cadence.hurry();
        assert_eq!(cadence.interval(), Pace::AWS.shortest);
    }

    #[test]
    fn what_takes_long_is_not_done_often() {
        let mut cadence = Cadence::new(Pace::AWS);
        cadence.polled(true);
        cadence.took(Duration::from_secs(9));
        assert_eq!(cadence.interval(), Duration::from_secs(9));
        cadence.took(Duration::from_secs(300));
        assert_eq!(cadence.interval(), Pace::AWS.longest);
        (0..9).for_each(|_| {
            cadence.polled(true);
            cadence.took(Duration::from_millis(80));
        });
        assert_eq!(cadence.interval(), Pace::AWS.shortest);
    }
}
