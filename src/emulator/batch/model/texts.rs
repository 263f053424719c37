//! Each distinct reason once: children refer to it by number.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A text's number; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Text(u32);

impl Text {
    pub(super) const NONE: Text = Text(0);

    pub(super) fn is_none(self) -> bool {
        self == Text::NONE
    }
}

/// The texts, in order of first use.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub(super) struct Texts {
    all: Vec<String>,
    numbers: BTreeMap<String, Text>,
}

impl Texts {
    /// The number of `text`; none for an empty one.
    pub(super) fn intern(&mut self, text: &str) -> Text {
        if text.is_empty() {
            return Text::NONE;
        }
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        self.all.push(text.to_owned());
        let number = Text(self.all.len() as u32);
        self.numbers.insert(text.to_owned(), number);
        number
    }

    pub(super) fn get(&self, text: Text) -> Option<&str> {
        let place = (text.0 as usize).checked_sub(1)?;
        self.all.get(place).map(String::as_str)
    }

    pub(super) fn owned(&self, text: Text) -> Option<String> {
        self.get(text).map(str::to_owned)
    }
}

impl From<Vec<String>> for Texts {
    fn from(all: Vec<String>) -> Self {
        let numbers = all.iter().enumerate().map(|(i, text)| (text.clone(), Text(i as u32 + 1))).collect();
        Texts { all, numbers }
    }
}

impl From<Texts> for Vec<String> {
    fn from(texts: Texts) -> Self {
        texts.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_keeps_its_number_through_a_snapshot() {
        let mut texts = Texts::default();
        let (a, b) = (texts.intern("a"), texts.intern("b"));
        assert_eq!((texts.intern("a"), texts.intern("")), (a, Text::NONE));
        let mut again = Texts::from(Vec::from(texts));
        assert_eq!((again.intern("b"), again.get(a), again.get(Text::NONE)), (b, Some("a"), None));
    }
}
