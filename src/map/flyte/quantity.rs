//! Amounts as Kubernetes writes them: `500m`, `2`, `1Gi`, `1e3`. A bare number of memory is bytes.

use serde_json::{Value, json};

use crate::map::spec::quantity::{self, Wrong};

/// Suffixes and their factors; the longer ones first, for they end in the shorter ones.
const SUFFIXES: [(&str, f64); 15] = [
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("Ei", 1_152_921_504_606_846_976.0),
    ("n", 1e-9),
    ("u", 1e-6),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
];

/// An amount in its base unit.
fn amount(text: &str) -> Option<f64> {
    let text = text.trim();
    let suffix = SUFFIXES.iter().find(|(suffix, _)| text.ends_with(suffix));
    let (number, factor) = match suffix {
        Some((suffix, factor)) => (text.strip_suffix(suffix)?, *factor),
        None => (text, 1.0),
    };
    let plain = |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E');
    let exponent = number.contains(['e', 'E']);
    // An exponent and a suffix exclude each other.
    if !number.bytes().all(plain) || exponent && suffix.is_some() {
        return None;
    }
    number.parse::<f64>().ok().map(|number| number * factor)
}

fn no(fix: &str) -> Wrong {
    ("is no quantity".to_owned(), fix.to_owned())
}

/// Thousandths of a vCPU.
pub(super) fn cpu(text: &str) -> Result<u32, Wrong> {
    let cores = amount(text).ok_or_else(|| no("give CPUs like \"2\", \"0.5\" or \"500m\""))?;
    // A product like 3 * 0.001 misses by less than a millionth, and Kubernetes rounds up what is finer than thousandths.
    let milli = (cores * 1000.0 - 1e-6).ceil();
    quantity::cpu(&json!(format!("{milli}m")))
}

/// MiB, rounded up.
pub(super) fn memory(text: &str) -> Result<u32, Wrong> {
    let fix = "give memory like \"500Mi\" or \"2Gi\"";
    let bytes = amount(text).ok_or_else(|| no(fix))?;
    let read = quantity::memory(&json!(bytes / 1_048_576.0));
    match text.trim().parse::<f64>() {
        // Few mean four bytes by "4".
        Ok(_) => read.map_err(|(problem, _)| (problem, format!("a bare number is bytes: {fix}"))),
        Err(_) => read,
    }
}

/// Whole pieces, of which there are at most `most`.
pub(super) fn pieces(text: &str, most: u32) -> Result<u32, Wrong> {
    let fix = format!("give a whole number from 0 to {most}");
    match amount(text) {
        Some(number) if number.fract() == 0.0 && (0.0..=f64::from(most)).contains(&number) => Ok(number as u32),
        Some(_) => Err(("is not one that Batch has".to_owned(), fix)),
        None => Err(no(&fix)),
    }
}

/// Bytes, for something that is only compared.
pub(super) fn bytes(text: &str) -> Result<f64, Wrong> {
    let wrong = || no("give an amount like \"10Gi\"");
    amount(text).filter(|bytes| *bytes >= 0.0).ok_or_else(wrong)
}

/// What an amount was, for a fault.
pub(super) fn shown(text: &str) -> Value {
    Value::from(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus() {
        for (text, milli) in
            [("1", 1000), ("500m", 500), ("0.25", 250), ("2.5", 2500), ("1e1", 10_000), ("100u", 1), ("3m", 3)]
        {
            assert_eq!(cpu(text), Ok(milli), "{text}");
        }
        for text in ["", "0", "-1", "-500m", "1 core", "1Gi", "NaN", "inf", "1e1m", "m"] {
            assert!(cpu(text).is_err(), "{text}");
        }
    }

    #[test]
    fn memory_without_a_unit_is_bytes() {
        for (text, mib) in
            [("1Gi", 1024), ("500Mi", 500), ("500M", 477), ("1073741824", 1024), ("1e9", 954), ("128974848000m", 123)]
        {
            assert_eq!(memory(text), Ok(mib), "{text}");
        }
        assert!(memory("4").unwrap_err().1.contains("bytes"));
        for text in ["", "0", "-1Gi", "1GB", "lots", "1Ei"] {
            assert!(memory(text).is_err(), "{text}");
        }
    }

    #[test]
    fn gpus_are_whole() {
        assert_eq!((pieces("2", 16), pieces("0", 16)), (Ok(2), Ok(0)));
        for text in ["0.5", "-1", "17", "one"] {
            assert!(pieces(text, 16).is_err(), "{text}");
        }
    }
}
