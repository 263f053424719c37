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

/// Fewer texts than these are never worth a look at every child.
const FEW: u64 = 4096;

/// The texts, in order of first use. Those that nobody refers to any more go when [`Texts::is_due`] says so: by then there
/// are twice as many as last time, or so many references are gone as there were texts. So a look at every child is paid for
/// by as many changes, and what is kept is bounded by what is in use.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Row", into = "Row")]
pub(super) struct Texts {
    all: Vec<String>,
    numbers: BTreeMap<String, Text>,
    /// How many there were after the last renewal.
    kept: u64,
    /// Texts that came and references that went since.
    changes: u64,
}

type Row = (Vec<String>, u64, u64);

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
        self.changes += 1;
        number
    }

    /// Notes that so many references are gone.
    pub(super) fn released(&mut self, references: u64) {
        self.changes = self.changes.saturating_add(references);
    }

    /// Whether it is time to drop what nobody refers to.
    pub(super) fn is_due(&self) -> bool {
        self.all.len() as u64 > FEW && self.changes >= self.kept.max(FEW)
    }

    /// Begins anew: every reference there is must be given to [`Renewal::keep`].
    pub(super) fn renew(&mut self) -> Renewal {
        let old = std::mem::take(self);
        let moved = vec![Text::NONE; old.all.len() + 1];
        Renewal { old, new: Texts::default(), moved }
    }

    pub(super) fn get(&self, text: Text) -> Option<&str> {
        let place = (text.0 as usize).checked_sub(1)?;
        self.all.get(place).map(String::as_str)
    }

    pub(super) fn owned(&self, text: Text) -> Option<String> {
        self.get(text).map(str::to_owned)
    }
}

/// Texts on their way to new numbers.
pub(super) struct Renewal {
    old: Texts,
    new: Texts,
    /// The new number by the old one.
    moved: Vec<Text>,
}

impl Renewal {
    /// Keeps a text, and changes a reference to its new number.
    pub(super) fn keep(&mut self, text: &mut Text) {
        let Some(told) = self.old.get(*text) else { return };
        let moved = &mut self.moved[text.0 as usize];
        if moved.is_none() {
            *moved = self.new.intern(told);
        }
        *text = *moved;
    }

    /// The texts that were kept.
    pub(super) fn done(self) -> Texts {
        Texts { kept: self.new.all.len() as u64, changes: 0, ..self.new }
    }
}

impl From<Row> for Texts {
    fn from((all, kept, changes): Row) -> Self {
        let numbers = all.iter().enumerate().map(|(i, text)| (text.clone(), Text(i as u32 + 1))).collect();
        Texts { all, numbers, kept, changes }
    }
}

impl From<Texts> for Row {
    fn from(texts: Texts) -> Self {
        (texts.all, texts.kept, texts.changes)
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
        let mut again = Texts::from(Row::from(texts));
        assert_eq!((again.intern("b"), again.get(a), again.get(Text::NONE)), (b, Some("a"), None));
    }

    #[test]
    fn a_renewal_keeps_what_is_referred_to() {
        let mut texts = Texts::default();
        let (_, mut b, mut none) = (texts.intern("a"), texts.intern("b"), Text::NONE);
        let (mut again, old) = (b, b);
        let mut renewal = texts.renew();
        for text in [&mut b, &mut again, &mut none] {
            renewal.keep(text);
        }
        let texts = renewal.done();
        assert_eq!((texts.get(b), again, none), (Some("b"), b, Text::NONE));
        assert_eq!((texts.all.len(), b == old, texts.is_due()), (1, false, false));
    }
}
