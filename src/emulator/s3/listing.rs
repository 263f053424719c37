//! A page of a listing, from keys in order.

use std::collections::BTreeMap;
use std::ops::Bound;

/// Keys and what is known of them, in the byte order of the keys (which is the order of `str`).
pub(super) type Keys<T> = BTreeMap<Box<str>, T>;

/// What a page is asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Query {
    /// Only keys that begin so.
    pub(super) prefix: String,
    /// Where, after the prefix, keys are cut; keys of the same cut become one common prefix.
    pub(super) delimiter: Option<String>,
    /// Where to begin.
    pub(super) after: Option<After>,
    /// The most objects and common prefixes together.
    pub(super) max: usize,
}

/// Where a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Behind this key.
    Key(String),
    /// Behind every key that begins so.
    Prefix(String),
}

/// One line of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line<T> {
    /// An object.
    Object(Box<str>, T),
    /// A common prefix.
    Prefix(String),
}

/// A page.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lines<T> {
    pub(super) lines: Vec<Line<T>>,
    /// Where the next page begins, when there is one.
    pub(super) next: Option<After>,
}

/// Takes a page. Costs a search for each line of it, however many keys a common prefix hides.
pub(super) fn take<T: Clone>(keys: &Keys<T>, query: &Query) -> Lines<T> {
    let mut lines: Vec<Line<T>> = Vec::new();
    let mut from = Bound::Included(query.prefix.clone());
    match &query.after {
        Some(After::Key(key)) if *key >= query.prefix => from = Bound::Excluded(key.clone()),
        Some(After::Prefix(prefix)) if *prefix >= query.prefix => match behind(prefix) {
            Some(bound) => from = bound,
            None => return Lines { lines, next: None },
        },
        _ => {}
    }
    if query.max == 0 {
        return Lines { lines, next: None };
    }
    'search: loop {
        let bounds = (from.as_ref().map(String::as_str), Bound::Unbounded);
        for (key, value) in keys.range::<str, _>(bounds) {
            let Some(rest) = key.strip_prefix(query.prefix.as_str()) else { break 'search };
            if lines.len() == query.max {
                let next = lines.last().map(|line| match line {
                    Line::Object(key, _) => After::Key(key.to_string()),
                    Line::Prefix(prefix) => After::Prefix(prefix.clone()),
                });
                return Lines { lines, next };
            }
            let cut = query.delimiter.as_deref().filter(|d| !d.is_empty()).and_then(|d| Some(rest.find(d)? + d.len()));
            let Some(cut) = cut else {
                lines.push(Line::Object(key.clone(), value.clone()));
                continue;
            };
            let common = key[..query.prefix.len() + cut].to_owned();
            let bound = behind(&common);
            lines.push(Line::Prefix(common));
            match bound {
                Some(bound) => from = bound,
                None => break 'search,
            }
            continue 'search;
        }
        break;
    }
    Lines { lines, next: None }
}

/// Where the keys that begin with `prefix` end: the least text above them all. `None` when nothing is above.
fn behind(prefix: &str) -> Option<Bound<String>> {
    let mut text = prefix.to_owned();
    // The order of UTF-8's bytes is the order of the characters, so the next character bounds the last one.
    while let Some(last) = text.pop() {
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            other => char::from_u32(u32::from(other) + 1),
        };
        if let Some(next) = next {
            text.push(next);
            return Some(Bound::Included(text));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys(names: &[&str]) -> Keys<()> {
        names.iter().map(|name| ((*name).into(), ())).collect()
    }

    fn names(lines: &[Line<()>]) -> Vec<String> {
        let name = |line: &Line<()>| match line {
            Line::Object(key, ()) => key.to_string(),
            Line::Prefix(prefix) => format!("{prefix}*"),
        };
        lines.iter().map(name).collect()
    }

    #[test]
    fn a_delimiter_folds_what_follows_it() {
        let keys = keys(&["a", "a/", "a/b", "a/c/d", "b", "é/x"]);
        let query = |prefix: &str| Query { prefix: prefix.into(), delimiter: Some("/".into()), max: 1000, after: None };
        assert_eq!(names(&take(&keys, &query("")).lines), ["a", "a/*", "b", "é/*"]);
        assert_eq!(names(&take(&keys, &query("a/")).lines), ["a/", "a/b", "a/c/*"]);
        assert_eq!(names(&take(&keys, &query("zz")).lines), Vec::<String>::new());
    }

    #[test]
    fn a_page_that_ends_with_the_last_key_is_the_last() {
        let page = take(&keys(&["a", "b"]), &Query { max: 2, ..Query::default() });
        assert_eq!((page.lines.len(), page.next), (2, None));
        assert_eq!(take(&keys(&["a"]), &Query { max: 0, ..Query::default() }).next, None);
    }

    proptest! {
        #[test]
        fn pages_of_any_size_add_up_to_the_listing_by_definition(
            set in prop::collection::btree_set("[ab/é\u{10ffff}]{1,5}", 0..40),
            prefix in "[ab/]{0,2}",
            delimited in any::<bool>(),
            max in 1usize..6,
        ) {
            let keys: Keys<()> = set.iter().map(|key| (key.as_str().into(), ())).collect();
            let mut expected: Vec<String> = set.iter().filter_map(|key| {
                let rest = key.strip_prefix(&prefix)?;
                match rest.find('/').filter(|_| delimited) {
                    Some(at) => Some(format!("{prefix}{}*", &rest[..=at])),
                    None => Some(key.clone()),
                }
            }).collect();
            expected.dedup();
            let delimiter = delimited.then(|| "/".to_owned());
            let mut query = Query { prefix, delimiter, after: None, max };
            let mut seen = Vec::new();
            loop {
                let page = take(&keys, &query);
                prop_assert!(page.lines.len() <= max);
                seen.extend(names(&page.lines));
                match page.next {
                    Some(next) => query.after = Some(next),
                    None => break,
                }
            }
            prop_assert_eq!(seen, expected);
        }
    }
}
