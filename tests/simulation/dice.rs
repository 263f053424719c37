//! The one source of chance.

/// Draws of a seed: the same question has the same answer, in whatever order questions are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dice(pub u64);

/// Spreads every bit of a number over all of another.
fn mix(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

impl Dice {
    /// 64 bits for `what` number `place`.
    pub fn bits(self, what: &str, place: &[u64]) -> u64 {
        let named =
            what.bytes().fold(mix(self.0), |bits, byte| (bits ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        place.iter().fold(mix(named), |bits, part| mix(bits ^ part))
    }

    /// A number below `sides`.
    pub fn roll(self, what: &str, place: &[u64], sides: u64) -> u64 {
        self.bits(what, place) % sides.max(1)
    }

    /// Whether something with this many chances in a hundred happens.
    pub fn hits(self, what: &str, place: &[u64], percent: u64) -> bool {
        self.roll(what, place, 100) < percent
    }

    /// One of several, each as likely as the others.
    pub fn pick<T: Copy>(self, what: &str, place: &[u64], from: &[T]) -> T {
        from[self.roll(what, place, from.len() as u64) as usize]
    }
}

/// Folds texts into a number: what two runs of the same seed must agree on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fold(pub u64);

impl Fold {
    pub fn add(&mut self, text: &str) {
        self.0 = mix(text.bytes().fold(self.0, |bits, byte| (bits ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)));
    }
}
