//! Words that a shell takes as they are.

/// `word` in single quotes, for `sh`: nothing in it means anything. It must hold no zero byte.
pub fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
