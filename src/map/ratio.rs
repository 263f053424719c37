//! Exact ratios: MinSuccesses is `ceil(ratio * n)` in decimal arithmetic, never in floating point.

use std::fmt;

/// A ratio between 0 and 1, as the decimal the caller wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio {
    /// The digits after the point, as one number.
    numerator: u64,
    /// Ten to the number of those digits.
    denominator: u64,
}

/// Digits kept after the point: `u64` holds ten to the nineteenth, and a shortest `f64` in 0..1 needs 17 unless it is
/// tiny.
const MAX_DIGITS: usize = 19;

impl Ratio {
    /// Everything.
    pub const ONE: Ratio = Ratio { numerator: 1, denominator: 1 };

    /// The ratio that `value` prints as: its shortest decimal, so that 0.8 is eight tenths.
    ///
    /// # Errors
    /// When the value is not within 0..=1 (NaN included).
    pub fn from_f64(value: f64) -> Result<Self, String> {
        Self::checked(value.to_string(), value)
    }

    /// The ratio that `value` prints as at its own width: an `f32` of 0.8 is eight tenths too, though as an `f64` it
    /// would be 0.800000011920929.
    ///
    /// # Errors
    /// When the value is not within 0..=1 (NaN included).
    pub fn from_f32(value: f32) -> Result<Self, String> {
        Self::checked(value.to_string(), f64::from(value))
    }

    fn checked(text: String, value: f64) -> Result<Self, String> {
        if !(0.0..=1.0).contains(&value) {
            return Err(format!("{text} is outside 0..1"));
        }
        // `Display` of a float never uses an exponent, so there is at most one point and nothing else but digits.
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let kept = &fraction[..fraction.len().min(MAX_DIGITS)];
        let mut digits: u64 =
            if kept.is_empty() { 0 } else { kept.parse().map_err(|_| format!("{text} is no ratio"))? };
        // What is cut off can only matter upwards, since the product is rounded up.
        digits += u64::from(fraction_is_cut(&text, kept));
        let denominator = 10_u64.pow(kept.len() as u32);
        let whole: u64 = whole.trim_start_matches('-').parse().map_err(|_| format!("{text} is no ratio"))?;
        Ok(Ratio { numerator: whole * denominator + digits, denominator })
    }

    /// `ceil(self * n)`.
    pub fn ceil_of(self, n: u64) -> u64 {
        let product = u128::from(self.numerator) * u128::from(n);
        u64::try_from(product.div_ceil(u128::from(self.denominator))).unwrap_or(n)
    }
}

/// Whether digits other than 0 follow the `kept` ones.
fn fraction_is_cut(text: &str, kept: &str) -> bool {
    let (_, fraction) = text.split_once('.').unwrap_or((text, ""));
    fraction.len() > kept.len() && fraction[kept.len()..].bytes().any(|digit| digit != b'0')
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.numerator as f64 / self.denominator as f64).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratios_that_floating_point_gets_wrong() {
        for (ratio, n, expected) in
            [(0.8, 10, 8), (0.6, 10, 6), (0.1, 10, 1), (0.2, 100, 20), (0.99, 100, 99), (0.75, 9, 7), (0.0, 5, 0)]
        {
            assert_eq!(Ratio::from_f64(ratio).unwrap().ceil_of(n), expected, "{ratio} of {n}");
            assert_eq!(Ratio::from_f32(ratio as f32).unwrap().ceil_of(n), expected, "f32 {ratio} of {n}");
        }
    }

    #[test]
    fn the_ends() {
        assert_eq!(Ratio::from_f64(1.0).unwrap().ceil_of(u64::MAX), u64::MAX);
        assert_eq!(Ratio::from_f64(0.0).unwrap().ceil_of(0), 0);
        assert_eq!(Ratio::from_f64(1e-300).unwrap().ceil_of(10), 1);
        assert_eq!(Ratio::from_f64(-0.0).unwrap().ceil_of(10), 0);
    }

    #[test]
    fn outside_is_refused() {
        for bad in [f64::NAN, -0.1, 1.000001, f64::INFINITY] {
            assert!(Ratio::from_f64(bad).is_err(), "{bad}");
        }
    }
}
