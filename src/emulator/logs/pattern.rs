//! Filter patterns: terms that must, may or must not occur in a message.

/// A pattern of terms. Letters' case counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pattern {
    /// All of these occur.
    all: Vec<String>,
    /// One of these occurs. Looked at only when nothing else must, as on AWS.
    any: Vec<String>,
    /// None of these occurs.
    none: Vec<String>,
}

impl Pattern {
    /// Reads a pattern; the error says what of it is not understood.
    pub(super) fn parse(text: &str) -> Result<Pattern, String> {
        let mut pattern = Pattern::default();
        let mut rest = text.trim_start();
        if rest.starts_with(['{', '[']) {
            return Err("filterPattern is one of JSON or of fields by place, which this endpoint does not read: \
                        use terms, such as: ERROR \"out of memory\" -retried"
                .to_owned());
        }
        while let Some(first) = rest.chars().next() {
            let (kind, body) = match first {
                '?' => (&mut pattern.any, &rest[1..]),
                '-' => (&mut pattern.none, &rest[1..]),
                _ => (&mut pattern.all, rest),
            };
            let (term, after) = term(body)?;
            kind.push(term);
            rest = after.trim_start();
        }
        Ok(pattern)
    }

    /// Whether a message fits.
    pub(super) fn fits(&self, message: &str) -> bool {
        let occurs = |term: &String| message.contains(term.as_str());
        let some = !self.all.is_empty() || self.any.is_empty() || self.any.iter().any(occurs);
        some && self.all.iter().all(occurs) && !self.none.iter().any(occurs)
    }
}

/// The term that text begins with, and what follows it.
fn term(text: &str) -> Result<(String, &str), String> {
    if let Some(quoted) = text.strip_prefix('"') {
        return quoted_term(quoted);
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (term, rest) = text.split_at(end);
    if term.starts_with('%') {
        return Err(format!("filterPattern '{term}' is a regular expression, which this endpoint does not read"));
    }
    let plain = !term.is_empty() && term.chars().all(|c| c == '_' || c.is_alphanumeric());
    match plain {
        true => Ok((term.to_owned(), rest)),
        false => Err(format!("Invalid character(s) in term '{term}': put it in double quotes")),
    }
}

/// A term up to the next quote; a backslash takes the meaning from the character behind it.
fn quoted_term(text: &str) -> Result<(String, &str), String> {
    let mut term = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Ok((term, &text[at + 1..])),
            '\\' => term.extend(characters.next().map(|(_, escaped)| escaped)),
            other => term.push(other),
        }
    }
    Err("filterPattern has a quote without its end".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_must_may_or_must_not_occur() {
        let fits = |pattern: &str, message: &str| Pattern::parse(pattern).unwrap().fits(message);
        assert!(fits("", "anything") && fits("  ", ""));
        assert!(fits("ERROR \"out of memory\"", "ERROR: out of memory") && !fits("ERROR two", "ERROR one"));
        assert!(!fits("error", "ERROR"));
        assert!(fits("?a ?b", "b") && !fits("?a ?b", "c") && fits("x ?a ?b", "x"));
        assert!(fits("ERROR -retried", "ERROR") && !fits("ERROR -\"was retried\"", "ERROR was retried"));
        assert!(fits("-x", "y") && !fits("-x", "x") && !fits("?a -x", "a x"));
        assert!(fits(r#""say \"so\"""#, r#"they say "so""#));
    }

    #[test]
    fn patterns_of_other_kinds_are_refused() {
        for pattern in ["{ $.a = 1 }", "[ip, user]", "%regex%", "\"open", "a:b", "?", "-", "?%x%"] {
            assert!(Pattern::parse(pattern).is_err(), "{pattern}");
        }
    }
}
