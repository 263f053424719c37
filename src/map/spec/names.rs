//! Names of inputs, outputs, tasks and environment variables.

use serde_json::Value;

use super::fault::{Fault, Faults};

/// Characters of a task's name: a Batch job definition's may have 128, and a hash is added to it.
const MAX_NAME: usize = 100;

/// Whether `name` can name an input or an output: it becomes a file name and a template variable.
pub(super) fn is_identifier(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    first && name.len() <= MAX_NAME && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// A fault of `field` when `name` is no identifier.
pub(super) fn identifier(field: &str, name: &str, faults: &mut Faults) {
    if !is_identifier(name) {
        let fix = "use letters, digits and _, not beginning with a digit, at most 100";
        faults.0.push(Fault::missing(field, format!("{name:?} cannot name an input or output"), fix));
    }
}

/// The problem and the fix of a task's name.
pub(super) fn task(value: &Value) -> Result<String, (String, String)> {
    let fix = "begin with a letter or digit and use letters, digits, -, _ and ., at most 100";
    let wrong = |problem: &str| Err((problem.to_owned(), fix.to_owned()));
    let Some(name) = value.as_str() else { return wrong("is not a string") };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    match name.bytes().next() {
        None => wrong("is empty"),
        Some(first) if !first.is_ascii_alphanumeric() => wrong("begins with neither a letter nor a digit"),
        _ if name.len() > MAX_NAME => wrong("is too long"),
        _ if !name.bytes().all(allowed) => wrong("holds other characters than a name may"),
        _ => Ok(name.to_owned()),
    }
}

/// A task's name made of the command's first word: its last path component, other characters as `-`.
pub(super) fn from_command(command: &[String]) -> String {
    let word = command.first().map(|word| word.rsplit('/').next().unwrap_or(word)).unwrap_or_default();
    let clean = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let name: String = word.chars().map(clean).collect();
    let name: String = name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()).chars().take(MAX_NAME).collect();
    if name.is_empty() { "task".to_owned() } else { name }
}

/// The problem and the fix of an environment variable.
pub(super) fn environment(name: &str, value: &Value) -> Result<String, (String, String)> {
    let wrong = |problem: &str, fix: &str| Err((problem.to_owned(), fix.to_owned()));
    if name.is_empty() || name.contains(['=', '\0']) {
        return wrong("cannot name an environment variable", "give it a name without =");
    }
    if name.starts_with("AWS_BATCH") {
        return wrong("AWS Batch refuses names that begin with AWS_BATCH", "give it another name");
    }
    if name.starts_with("BATCHMAP_") {
        return wrong("names that begin with BATCHMAP_ are batchmap's own", "give it another name");
    }
    match value.as_str() {
        Some(text) if text.contains('\0') => wrong("holds a zero byte", "pass it in a file"),
        Some(text) => Ok(text.to_owned()),
        None => wrong("is not a string", "write it in quotes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers() {
        for name in ["x", "_x", "data_point", "o0", "X9"] {
            assert!(is_identifier(name), "{name}");
        }
        for name in ["", "9x", "a-b", "a.b", "é", "a b", "a/b", &"x".repeat(101)] {
            assert!(!is_identifier(name), "{name}");
        }
    }

    #[test]
    fn a_name_from_the_command() {
        for (word, name) in [
            ("python3", "python3"),
            ("/usr/bin/env", "env"),
            ("./run me.sh", "run-me.sh"),
            ("--", "task"),
            ("-x", "x"),
            ("été", "t-"),
            ("/", "task"),
        ] {
            let made = from_command(&[word.to_owned()]);
            assert_eq!(made, name, "{word}");
            assert_eq!(task(&Value::from(made)), Ok(name.to_owned()), "{word}");
        }
        assert_eq!(from_command(&[]), "task");
    }
}
