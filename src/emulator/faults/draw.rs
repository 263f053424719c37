//! Chance without state: a draw is a hash of the seed and of what is drawn for. So the same seed gives the same choices,
//! in whatever order they are made.

/// The numbers drawn for one thing, one after another.
#[derive(Debug)]
pub struct Draw(blake3::OutputReader);

impl Draw {
    /// What `seed` holds for `what` number `place`: the fault's name, and such as job, child and attempt.
    pub fn of(seed: u64, what: &str, place: &[u64]) -> Draw {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        // The length keeps one name from running into the next number.
        hasher.update(&(what.len() as u64).to_le_bytes());
        hasher.update(what.as_bytes());
        for part in place {
            hasher.update(&part.to_le_bytes());
        }
        Draw(hasher.finalize_xof())
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// The next number of 0..1, 1 not included.
    pub fn unit(&mut self) -> f64 {
        // 53 bits are what an f64 holds exactly.
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Whether it is among the `share` (0..=1) of cases.
    pub fn hits(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    /// The next whole number of `least..=most`.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        let width = most.saturating_sub(least) as f64 + 1.0;
        least.saturating_add((self.unit() * width) as u64).min(most.max(least))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_and_another_another() {
        let drawn = |seed, what, place: &[u64]| Draw::of(seed, what, place).bits();
        assert_eq!(drawn(7, "spot_loss", &[1, 2, 3]), drawn(7, "spot_loss", &[1, 2, 3]));
        let others =
            [drawn(8, "spot_loss", &[1, 2, 3]), drawn(7, "image_pull", &[1, 2, 3]), drawn(7, "spot_loss", &[1, 2])];
        for other in others {
            assert_ne!(other, drawn(7, "spot_loss", &[1, 2, 3]));
        }
        let mut two = Draw::of(7, "x", &[]);
        assert_ne!(two.bits(), two.bits());
    }

    #[test]
    fn shares_and_ranges_are_kept() {
        let hits = (0..10_000).filter(|n| Draw::of(1, "throttle", &[*n]).hits(0.25)).count();
        assert!((2350..2650).contains(&hits), "{hits}");
        assert!((0..1000).all(|n| Draw::of(1, "x", &[n]).hits(1.0) && !Draw::of(1, "x", &[n]).hits(0.0)));
        let drawn: Vec<u64> = (0..10_000).map(|n| Draw::of(1, "y", &[n]).between(3, 7)).collect();
        for number in 3..=7 {
            let times = drawn.iter().filter(|drawn| **drawn == number).count();
            assert!((1800..2200).contains(&times), "{number}: {times}");
        }
        assert!(drawn.iter().all(|number| (3..=7).contains(number)));
        assert_eq!(Draw::of(1, "z", &[]).between(u64::MAX, u64::MAX), u64::MAX);
    }
}
