//! How long to wait before another try: a random share of a bound that doubles, so that many who failed together do not
//! come back together. Pure.

use std::time::Duration;

/// How often to try, and how long to wait between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Tries of one call, the first included; at least 1.
    pub tries: u32,
    /// The bound of the first wait.
    pub first: Duration,
    /// The bound of every wait.
    pub most: Duration,
}

impl Backoff {
    /// For AWS: eight tries give up after some 15 seconds, 31 at most. Who can wait longer asks again.
    pub const AWS: Backoff = Backoff { tries: 8, first: Duration::from_millis(500), most: Duration::from_secs(8) };

    /// For an endpoint of our own or of a neighbour: it is either up or it is not.
    pub const NEAR: Backoff = Backoff { tries: 8, first: Duration::from_millis(50), most: Duration::from_secs(2) };

    /// The wait after `tried` tries (from 1): anything up to the bound.
    pub(super) fn wait(&self, tried: u32, jitter: &mut Jitter) -> Duration {
        let doubled = self.first.saturating_mul(1_u32.checked_shl(tried.saturating_sub(1)).unwrap_or(u32::MAX));
        doubled.min(self.most).mul_f64(jitter.share())
    }
}

/// Random shares from a seed (splitmix64).
#[derive(Clone, Debug)]
pub(super) struct Jitter(u64);

impl Jitter {
    pub(super) fn new(seed: u64) -> Self {
        Jitter(seed)
    }

    /// The next, from 0 to 1.
    fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        // The 53 bits that a float holds.
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_fill_a_bound_that_doubles() {
        let mut jitter = Jitter::new(1);
        for (tried, bound) in [(1, 500), (2, 1000), (3, 2000), (5, 8000), (9, 8000), (64, 8000), (u32::MAX, 8000)] {
            let bound = Duration::from_millis(bound);
            let waits: Vec<Duration> = (0..200).map(|_| Backoff::AWS.wait(tried, &mut jitter)).collect();
            assert!(waits.iter().all(|wait| *wait <= bound), "{tried}");
            let (low, high) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
            assert!(*low < bound / 10 && *high > bound * 9 / 10, "{tried}: {low:?}..{high:?}");
        }
    }

    #[test]
    fn a_seed_repeats() {
        let waits = |seed| {
            let mut jitter = Jitter::new(seed);
            (1..9).map(|tried| Backoff::AWS.wait(tried, &mut jitter)).collect::<Vec<_>>()
        };
        assert_eq!(waits(5), waits(5));
        assert_ne!(waits(5), waits(6));
    }
}
