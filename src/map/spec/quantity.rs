//! Amounts of CPU, memory and time, with and without units.

use std::time::Duration;

use serde_json::Value;

/// The problem and the fix of an amount.
pub(in crate::map) type Wrong = (String, String);

/// The largest machine that Batch offers has 192 vCPUs or, for memory, 24 TiB: more is a mistake in the unit.
const MAX_CPU_MILLI: u32 = 192_000;
const MAX_MEMORY_MIB: u32 = 24 << 20;
/// Batch refuses a container less memory than this.
const MIN_MEMORY_MIB: u32 = 4;
/// Batch counts an attempt's seconds in 31 bits, but a year already is a mistake in the unit.
const MAX_TIMEOUT: Duration = Duration::from_secs(366 * 86_400);

/// Units of memory, in bytes; the longer names first, for they end in the shorter ones.
const MEMORY_UNITS: [(&str, f64); 8] = [
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
];

/// vCPUs as thousandths: `2`, `0.5`, `"500m"`.
pub(in crate::map) fn cpu(value: &Value) -> Result<u32, Wrong> {
    let fix = || "give vCPUs from 0.001 to 192, like 2, 0.5 or \"500m\"".to_owned();
    let milli = match value {
        Value::Number(number) => number.as_f64().map(|n| n * 1000.0),
        Value::String(text) => match text.trim().strip_suffix('m') {
            Some(milli) => finite(milli),
            None => finite(text).map(|n| n * 1000.0),
        },
        _ => None,
    };
    let milli = milli.ok_or_else(|| ("is not a number of vCPUs".to_owned(), fix()))?;
    // A product like 0.3 * 1000 misses the whole number by a rounding error, never by a millionth.
    let whole = milli.round();
    match milli {
        _ if milli <= 0.0 => Err(("leaves nothing to run on".to_owned(), fix())),
        _ if milli > f64::from(MAX_CPU_MILLI) => Err(("is more than any machine has".to_owned(), fix())),
        _ if (milli - whole).abs() > 1e-6 => Err(("is finer than thousandths of a vCPU".to_owned(), fix())),
        _ => Ok(whole as u32),
    }
}

/// Memory as MiB, rounded up: `2048` is MiB, `"2Gi"`, `"300M"`.
pub(in crate::map) fn memory(value: &Value) -> Result<u32, Wrong> {
    let fix = || "give memory from 4Mi to 24Ti: MiB as a number, or with a unit, like \"512Mi\" or \"2Gi\"".to_owned();
    let mib = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => memory_text(text.trim()),
        _ => None,
    };
    let mib = mib.ok_or_else(|| ("is not an amount of memory".to_owned(), fix()))?.ceil();
    match mib {
        _ if mib < f64::from(MIN_MEMORY_MIB) => Err(("is less than a container can start with".to_owned(), fix())),
        _ if mib > f64::from(MAX_MEMORY_MIB) => Err(("is more than any machine has".to_owned(), fix())),
        _ => Ok(mib as u32),
    }
}

fn memory_text(text: &str) -> Option<f64> {
    for (unit, bytes) in MEMORY_UNITS {
        if let Some(number) = text.strip_suffix(unit) {
            return finite(number).map(|n| n * bytes / 1_048_576.0);
        }
    }
    finite(text)
}

/// A length of time: seconds as a number, or with units as `"90s"`, `"5m"`, `"1h 30m"`. Rounded up to milliseconds.
pub(super) fn timeout(value: &Value) -> Result<Duration, Wrong> {
    let fix = || "give seconds, or a time with its unit, like \"90s\", \"5m\" or \"1h 30m\"".to_owned();
    let read = match value {
        Value::Number(number) => number.as_f64().map(seconds),
        Value::String(text) => match finite(text) {
            Some(number) => Some(seconds(number)),
            None => humantime::parse_duration(text).ok(),
        },
        _ => None,
    };
    match read.ok_or_else(|| ("is not a length of time".to_owned(), fix()))? {
        Duration::ZERO => Err(("leaves no time to run".to_owned(), format!("{}; leave it out for none", fix()))),
        long if long > MAX_TIMEOUT => Err(("is longer than a year".to_owned(), fix())),
        time => Ok(Duration::from_millis(time.as_nanos().div_ceil(1_000_000) as u64)),
    }
}

/// Seconds as a duration; a negative one is none, and one too long for a duration is the longest.
fn seconds(number: f64) -> Duration {
    if number <= 0.0 { Duration::ZERO } else { Duration::try_from_secs_f64(number).unwrap_or(Duration::MAX) }
}

/// A plain decimal number; `inf`, `nan` and exponents are none.
fn finite(text: &str) -> Option<f64> {
    let text = text.trim();
    let plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+'));
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cpus() {
        for (value, milli) in [
            (json!(1), 1000),
            (json!(0.3), 300),
            (json!(0.001), 1),
            (json!("2"), 2000),
            (json!("0.25"), 250),
            (json!("500m"), 500),
            (json!(192), 192_000),
        ] {
            assert_eq!(cpu(&value), Ok(milli), "{value}");
        }
        for value in
            [json!(0), json!(-1), json!(193), json!(0.0005), json!("2vCPU"), json!("NaN"), json!("m"), json!([1])]
        {
            assert!(cpu(&value).is_err(), "{value}");
        }
    }

    #[test]
    fn memory_is_mib_and_never_less_than_asked() {
        for (value, mib) in [
            (json!(2048), 2048),
            (json!("2048"), 2048),
            (json!("2Gi"), 2048),
            (json!("512Mi"), 512),
            (json!("300M"), 287),
            (json!("2G"), 1908),
            (json!("8192Ki"), 8),
            (json!("24Ti"), 24 << 20),
            (json!(4.5), 5),
        ] {
            assert_eq!(memory(&value), Ok(mib), "{value}");
        }
        for value in
            [json!(0), json!(3), json!("1Ki"), json!("25Ti"), json!("2gb"), json!("Gi"), json!(true), json!("inf")]
        {
            assert!(memory(&value).is_err(), "{value}");
        }
    }

    #[test]
    fn timeouts() {
        for (value, millis) in [
            (json!(90), 90_000),
            (json!("90"), 90_000),
            (json!("90s"), 90_000),
            (json!("5m"), 300_000),
            (json!("1h 30m"), 5_400_000),
            (json!(0.5), 500),
            // Zero milliseconds would mean no timeout at all.
            (json!("10us"), 1),
        ] {
            assert_eq!(timeout(&value), Ok(Duration::from_millis(millis)), "{value}");
        }
        for value in
            [json!(0), json!(-5), json!("0s"), json!("soon"), json!("2y"), json!(1e300), json!(null), json!("-5")]
        {
            assert!(timeout(&value).is_err(), "{value}");
        }
    }
}
