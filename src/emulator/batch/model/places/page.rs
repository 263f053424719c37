//! Pages of what has a name, and the checks that many operations share.

use std::collections::BTreeMap;

use super::super::{Refusal, ids};

/// The longest page, and the most names a request may give.
const PAGE: usize = 100;

/// What is on a page, and the token of the next one.
type Page<'a, T> = (Vec<(&'a String, T)>, Option<String>);

/// A page in the order of names, and the token of the next one. A token holds the last name told, so that what is created or
/// deleted meanwhile neither repeats nor hides the others.
pub(in super::super) fn page<'a, T>(
    items: impl Iterator<Item = (&'a String, T)>,
    max_results: Option<i64>,
    next_token: Option<&str>,
) -> Result<Page<'a, T>, Refusal> {
    let size = page_size(max_results)?;
    let after = next_token.map(read_token).transpose()?;
    let mut rest = items.filter(|(name, _)| after.as_ref().is_none_or(|after| *name > after));
    let told: Vec<_> = rest.by_ref().take(size).collect();
    let next = rest.next().and(told.last()).map(|(name, _)| write_token(name));
    Ok((told, next))
}

/// How many results make a page.
pub(in super::super) fn page_size(max_results: Option<i64>) -> Result<usize, Refusal> {
    match max_results {
        None => Ok(PAGE),
        Some(n) => usize::try_from(n)
            .ok()
            .filter(|n| (1..=PAGE).contains(n))
            .ok_or_else(|| Refusal(format!("maxResults must be between 1 and {PAGE}, but was {n}"))),
    }
}

/// The token after what has this name.
pub(in super::super) fn write_token(name: &str) -> String {
    name.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// The name in a token.
pub(in super::super) fn read_token(token: &str) -> Result<String, Refusal> {
    let invalid = || Refusal(format!("nextToken '{token}' is not one that this operation gave"));
    if token.is_empty() || !token.is_ascii() || !token.len().is_multiple_of(2) {
        return Err(invalid());
    }
    let byte = |at: usize| u8::from_str_radix(&token[at..at + 2], 16).map_err(|_| invalid());
    let bytes = (0..token.len()).step_by(2).map(byte).collect::<Result<Vec<u8>, Refusal>>()?;
    String::from_utf8(bytes).map_err(|_| invalid())
}

/// Those of `wanted` (names or ARNs of `kind`) that exist, or all when none is named, by name.
pub(in super::super) fn chosen<'a, T>(
    all: &'a BTreeMap<String, T>,
    field: &str,
    wanted: &[String],
    kind: &str,
) -> Result<Vec<(&'a String, &'a T)>, Refusal> {
    check_count(field, wanted.len())?;
    let names: Vec<&str> = wanted.iter().map(|given| ids::name_of(kind, given)).collect();
    Ok(all.iter().filter(|(name, _)| names.is_empty() || names.contains(&name.as_str())).collect())
}

/// Refuses more names than a request may give.
pub(in super::super) fn check_count(field: &str, count: usize) -> Result<(), Refusal> {
    if count > PAGE {
        return Err(Refusal(format!("{field} may hold at most {PAGE} entries, but has {count}")));
    }
    Ok(())
}

/// `ENABLED` or `DISABLED`; enabled when absent.
pub(super) fn enabled(state: Option<&str>) -> Result<bool, Refusal> {
    match state {
        None | Some("ENABLED") => Ok(true),
        Some("DISABLED") => Ok(false),
        Some(other) => Err(Refusal(format!("state must be ENABLED or DISABLED, but was '{other}'"))),
    }
}

/// The state as AWS names it.
pub(super) fn state(enabled: bool) -> &'static str {
    if enabled { "ENABLED" } else { "DISABLED" }
}

/// Refuses a number outside of its range.
pub(in super::super) fn check_range(field: &str, value: Option<i64>, least: i64, most: i64) -> Result<(), Refusal> {
    match value {
        Some(value) if !(least..=most).contains(&value) => {
            Err(Refusal(format!("{field} must be between {least} and {most}, but was {value}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_by_name() {
        let all: BTreeMap<String, u32> = (0..250).map(|n| (format!("n{n:03}"), n)).collect();
        let (mut seen, mut token, mut pages) = (Vec::new(), None, 0);
        loop {
            let (told, next) = page(all.iter(), None, token.as_deref()).unwrap();
            seen.extend(told.iter().map(|(_, n)| **n));
            pages += 1;
            token = next;
            if token.is_none() {
                break;
            }
        }
        assert_eq!((seen, pages), ((0..250).collect::<Vec<_>>(), 3));
        let (told, next) = page(all.iter().take(2), Some(2), None).unwrap();
        assert_eq!((told.len(), next), (2, None), "no empty page follows the last one");
    }

    #[test]
    fn odd_pages_are_refused() {
        let all: BTreeMap<String, u32> = BTreeMap::new();
        for (max, token) in [
            (Some(0), None),
            (Some(101), None),
            (Some(-1), None),
            (None, Some("")),
            (None, Some("zz")),
            (None, Some("é")),
        ] {
            page(all.iter(), max, token).unwrap_err();
        }
        let names: Vec<String> = (0..101).map(|n| n.to_string()).collect();
        assert!(chosen(&all, "jobQueues", &names, "job-queue").unwrap_err().0.contains("jobQueues"));
    }
}
