//! Small words: numbers with their nouns, lengths of time.

use std::time::Duration;

/// A number with its noun, which forms its plural by an s: `1 object`, `2 objects`.
pub fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// The same of children.
pub fn children(number: u64) -> String {
    format!("{number} {}", if number == 1 { "child" } else { "children" })
}

/// Reads a flag's length of time. A bare number is refused: what one program takes for seconds is another's days.
///
/// # Errors
/// What is wrong with it, and how to write it.
pub fn duration(text: &str) -> Result<Duration, String> {
    let bare = text.trim().parse::<f64>().is_ok_and(f64::is_finite);
    match humantime::parse_duration(text) {
        // Zero needs no unit, and humantime takes it without.
        Ok(duration) => Ok(duration),
        Err(_) if text.trim_start().starts_with('-') => Err("time does not go back: write such as 30s".to_owned()),
        Err(_) if bare => {
            let number = text.trim();
            Err(format!("it has no unit: write {number}s, {number}m, {number}h or {number}d"))
        }
        Err(error) => Err(format!("{error}: write such as 30s, 5m, 12h or 30d")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_no_plural() {
        assert_eq!([0, 1, 2].map(|number| count(number, "object")), ["0 objects", "1 object", "2 objects"]);
        assert_eq!([1, 3].map(children), ["1 child", "3 children"]);
    }

    #[test]
    fn a_length_of_time_has_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1h 30m"), Ok(Duration::from_secs(5400)));
        assert!(duration("30").is_err_and(|error| error.contains("30s") && error.contains("30d")));
        assert!(duration("1.5").is_err_and(|error| error.contains("no unit")));
        assert!(duration("-5s").is_err_and(|error| error.contains("30s")));
        assert!(duration("soon").is_err_and(|error| error.contains("30s")));
    }
}
