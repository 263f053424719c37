//! The rate of one operation's calls: additive increase, multiplicative decrease. Pure: time is an argument.

use std::time::Duration;

/// The calls a second that no throttling goes below: it must be noticed when the storm is over.
const FLOOR: f64 = 1.0;

/// How much the rate grows in a second in which calls are made all the time, in calls a second.
const GROWTH: f64 = 1.0;

/// A bucket that holds one call: calls are spaced evenly, so that a second's worth never comes at once.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rate {
    ceiling: f64,
    now: f64,
    /// When the next call may go; times are from any fixed beginning.
    next: Duration,
    /// When the rate was cut last.
    cut: Option<Duration>,
}

impl Rate {
    /// At its ceiling, in calls a second.
    pub(super) fn new(ceiling: f64) -> Self {
        Rate { ceiling, now: ceiling, next: Duration::ZERO, cut: None }
    }

    pub(super) fn calls_a_second(&self) -> f64 {
        self.now
    }

    fn space(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.now)
    }

    /// Takes the right to make a call now, or says how long there is none.
    pub(super) fn take(&mut self, now: Duration) -> Result<(), Duration> {
        if now < self.next {
            return Err(self.next - now);
        }
        self.next = now + self.space();
        Ok(())
    }

    /// A call that was let through at `sent` was throttled: half the rate. The calls that were under way at a cut do not
    /// cut again, for they say nothing about the rate there is since.
    pub(super) fn throttled(&mut self, now: Duration, sent: Duration) {
        if self.cut.is_some_and(|cut| sent < cut) {
            return;
        }
        self.now = (self.now / 2.0).max(FLOOR.min(self.ceiling));
        self.cut = Some(now);
        self.next = self.next.max(now + self.space());
    }

    /// A call was answered, whatever the answer: a little more.
    pub(super) fn answered(&mut self) {
        // As many times a second as there are calls, so that it grows evenly in time.
        self.now = (self.now + GROWTH / self.now).min(self.ceiling);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Makes calls as fast as the rate lets through, from `from` for `length`; how many there were.
    fn drive(rate: &mut Rate, from: Duration, length: Duration, mut answer: impl FnMut(&mut Rate, Duration)) -> u32 {
        let (mut now, mut calls) = (from, 0);
        while now < from + length {
            match rate.take(now) {
                Ok(()) => {
                    calls += 1;
                    answer(rate, now);
                }
                Err(wait) => now += wait,
            }
        }
        calls
    }

    #[test]
    fn calls_are_spaced_and_never_bunched() {
        let mut rate = Rate::new(20.0);
        assert_eq!(drive(&mut rate, Duration::ZERO, SECOND, |rate, _| rate.answered()), 20);
        // What was not used is not saved up.
        assert_eq!(drive(&mut rate, SECOND * 60, SECOND, |rate, _| rate.answered()), 20);
    }

    #[test]
    fn a_storm_ends_at_the_floor_and_calm_leads_back_to_the_ceiling() {
        let mut rate = Rate::new(20.0);
        let calls = drive(&mut rate, Duration::ZERO, SECOND * 30, |rate, now| rate.throttled(now, now));
        assert_eq!(rate.calls_a_second(), 1.0);
        assert!((25..=35).contains(&calls), "{calls} calls");
        let mut seconds = 0;
        while rate.calls_a_second() < 20.0 {
            drive(&mut rate, SECOND * (30 + seconds), SECOND, |rate, _| rate.answered());
            seconds += 1;
        }
        assert!((15..=25).contains(&seconds), "additive: {seconds} s");
        (0..100).for_each(|_| rate.answered());
        assert_eq!(rate.calls_a_second(), 20.0);
    }

    #[test]
    fn the_calls_of_one_moment_cut_once() {
        let mut rate = Rate::new(16.0);
        let (sent, told) = (SECOND, SECOND * 2);
        (0..8).for_each(|_| rate.throttled(told, sent));
        assert_eq!(rate.calls_a_second(), 8.0);
        assert_eq!(rate.take(told), Err(SECOND / 8));
        rate.throttled(SECOND * 3, told);
        assert_eq!(rate.calls_a_second(), 4.0);
    }

    #[test]
    fn a_share_below_the_floor_is_its_own_floor() {
        let mut rate = Rate::new(0.5);
        (0..9).for_each(|second| rate.throttled(SECOND * second, SECOND * second));
        assert_eq!(rate.calls_a_second(), 0.5);
    }
}
