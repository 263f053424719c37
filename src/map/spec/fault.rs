//! What is wrong with what the caller gave: one fault names the field, the value and the fix.

use std::fmt;

use serde_json::Value;

/// One thing that is wrong, shown on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where, as a path in the document (`policy.concurrency`) or a place in the data (`points.jsonl:17: data_point`).
    pub field: String,
    /// What was found there, shortened; empty where there is nothing to show.
    pub value: String,
    /// What is wrong with it; empty where the field says it all (`... and 12 more`).
    pub problem: String,
    /// What to write instead; empty where the problem says it all.
    pub fix: String,
}

/// Characters of a value that a fault shows.
const SHOWN: usize = 100;

impl Fault {
    /// A fault of the JSON value found in `field`.
    pub fn of(field: impl Into<String>, value: &Value, problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::text(field, &value.to_string(), problem, fix)
    }

    /// A fault of a value shown as it is.
    pub fn text(field: impl Into<String>, value: &str, problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Fault { field: field.into(), value: shorten(value), problem: problem.into(), fix: fix.into() }
    }

    /// A fault of something that is missing, so that there is no value to show.
    pub fn missing(field: impl Into<String>, problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::text(field, "", problem, fix)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.field)?;
        if !self.value.is_empty() {
            write!(f, " is {}", self.value)?;
        }
        if !self.problem.is_empty() {
            write!(f, ": {}", self.problem)?;
        }
        if !self.fix.is_empty() {
            write!(f, "; {}", self.fix)?;
        }
        Ok(())
    }
}

/// Everything that is wrong; never empty as an error. Shown one fault a line.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// `value` when nothing is wrong.
    ///
    /// # Errors
    /// `self`, when it holds a fault.
    pub fn or<T>(self, value: T) -> Result<T, Faults> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Faults(vec![fault])
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

/// `text` on one line, cut to what a fault shows.
pub fn shorten(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN + 1).collect();
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

/// Letters of a name that is compared with others, and how many others there are: each comparison costs the product of the
/// letters.
const COMPARED: (usize, usize) = (64, 1_000);

/// Names that a fault lists.
const LISTED: usize = 50;

/// The one of `known` that `name` was probably meant to be.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let (longest, most) = COMPARED;
    if name.len() > longest {
        return None;
    }
    let known = known.into_iter().take(most).filter(|known| known.len() <= longest);
    // A third of the letters may be wrong, and at least one: `imag` is `image`, `x` is nothing.
    let allowed = (name.chars().count() / 3).max(1);
    let lower = name.to_lowercase().replace('-', "_");
    let scored = known.map(|k| (strsim::damerau_levenshtein(&lower, &k.to_lowercase()), k));
    scored.filter(|(distance, k)| *distance <= allowed && *distance < k.len()).min_by_key(|(d, _)| *d).map(|(_, k)| k)
}

/// What to do about a name that is none of `known`: the nearest one, or all of them.
pub fn suggest<'a>(name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(name, known.clone()) {
        Some(near) => format!("did you mean {near:?}?"),
        None => {
            let mut known = known.into_iter();
            let all: Vec<String> = known.by_ref().take(LISTED).map(shorten).collect();
            let more = if known.next().is_some() { " and others" } else { "" };
            if all.is_empty() { "there is none.".to_owned() } else { format!("known are {}{more}.", all.join(", ")) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_one_line_however_long_its_value() {
        let value = Value::String(format!("a\nb{}", "é".repeat(200)));
        let text = Fault::of("bind.x", &value, "is too long", "shorten it").to_string();
        assert_eq!(text.lines().count(), 1);
        assert!(text.starts_with("bind.x is \"a") && text.ends_with("...: is too long; shorten it"), "{text}");
    }

    #[test]
    fn long_names_and_many_are_not_compared() {
        let (long, many) = ("x".repeat(1 << 20), vec!["name"; 1 << 20]);
        assert_eq!(nearest(&long, [long.as_str()]), None);
        assert_eq!(nearest("nome", [long.as_str(), "name"]), Some("name"));
        let words = suggest("nothing", many.iter().copied());
        assert!(words.len() < 1000 && words.ends_with(" and others."), "{words}");
    }

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        let known = ["concurrency", "concurrency_mode", "retries"];
        assert_eq!(nearest("concurency", known), Some("concurrency"));
        assert_eq!(nearest("concurrency-mode", known), Some("concurrency_mode"));
        assert_eq!(nearest("RETRIES", known), Some("retries"));
        assert_eq!(nearest("image", known), None);
        assert_eq!(nearest("x", ["y"]), None);
    }
}
