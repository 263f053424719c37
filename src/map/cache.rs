//! The cache's keys: what makes two subtasks the same.
//!
//! ```text
//! key = sha256( format ‖ task ‖ version ‖ types of inputs and outputs ‖ (name, sha256(literal)) of each input that counts )
//! ```
//! Every part is written with its length before it (`encode`), so two different tasks or inputs never make the same
//! bytes. Inputs stand in the order of their names, whichever way they were given. A literal with a hash of its own
//! counts by that; so a file does by its content, wherever it was uploaded to.
//!
//! The keys are stable across releases: golden values in the tests hold them. Whatever changes them must raise
//! [`FORMAT`], and all entries are then made anew.

mod encode;
mod entry;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use sha2::{Digest, Sha256};

use self::encode::Canonical;
use super::task::Cache;
use crate::idl::core::{Literal, LiteralType};

pub use entry::{blobs, check, fits, stamp};

/// The format of what is hashed. Another one makes other keys.
pub const FORMAT: u32 = 1;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// What names the cached outputs of a subtask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(pub [u8; KEY_BYTES]);

impl Key {
    /// The keys that stand one after the other in `bytes`; a rest that is no whole key is left out.
    pub fn all(bytes: &[u8]) -> impl Iterator<Item = Key> + '_ {
        bytes.as_chunks().0.iter().map(|key| Key(*key))
    }
}

impl fmt::Display for Key {
    /// In hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The types of a task: what of it is part of every key.
#[derive(Clone, Copy, Debug)]
pub struct Types<'a> {
    /// Of the inputs, by name: of one element where the input is mapped.
    pub inputs: &'a BTreeMap<String, LiteralType>,
    /// Of the outputs, by name.
    pub outputs: &'a BTreeMap<String, LiteralType>,
}

/// Makes the keys of one task's subtasks.
#[derive(Clone, Debug)]
pub struct Scheme {
    /// What all its keys begin with.
    head: Vec<u8>,
    /// The inputs that count, by name.
    inputs: BTreeMap<String, Value>,
    ignored: BTreeSet<String>,
}

/// Where an input's value comes from.
#[derive(Clone, Copy, Debug)]
enum Value {
    /// Every subtask has this one.
    Bound([u8; 32]),
    /// The place of the subtask's own among its mapped values.
    Mapped(usize),
}

impl Scheme {
    /// The keys of the task called `name`, or by its `command` where that has no name of its own, with these `bound`
    /// values and inputs `mapped` in this order.
    pub fn new(
        (name, command): (&str, &[String]),
        cache: &Cache,
        types: Types,
        bound: &BTreeMap<String, Literal>,
        mapped: &[String],
    ) -> Self {
        let mut head = Canonical::default();
        head.text("batchmap cache key");
        head.number(u64::from(FORMAT));
        if cache.by_command {
            head.tag(1);
            head.number(command.len() as u64);
            command.iter().for_each(|word| head.text(word));
        } else {
            head.tag(0);
            head.text(name);
        }
        head.text(&cache.version);
        for variables in [types.inputs, types.outputs] {
            head.number(variables.len() as u64);
            for (name, literal_type) in variables {
                head.text(name);
                head.literal_type(literal_type);
            }
        }
        let counts = |name: &&String| !cache.ignored.contains(*name);
        let mut inputs = BTreeMap::new();
        let shared = bound.iter().filter(|(name, _)| counts(name));
        inputs.extend(shared.map(|(name, literal)| (name.clone(), Value::Bound(digest(literal)))));
        let own = mapped.iter().enumerate().filter(|(_, name)| counts(name));
        inputs.extend(own.map(|(at, name)| (name.clone(), Value::Mapped(at))));
        Scheme { head: head.into_bytes(), inputs, ignored: cache.ignored.clone() }
    }

    /// Whether the input `name` is part of the keys.
    pub fn counts(&self, name: &str) -> bool {
        !self.ignored.contains(name)
    }

    /// The key of the subtask with these mapped values, in the order of the mapped inputs.
    ///
    /// # Panics
    /// When there are fewer values than mapped inputs.
    pub fn key(&self, elements: &[Literal]) -> Key {
        Key(Sha256::digest(self.preimage(elements)).into())
    }

    /// What is hashed.
    fn preimage(&self, elements: &[Literal]) -> Vec<u8> {
        let mut preimage = Canonical::of(self.head.clone());
        preimage.number(self.inputs.len() as u64);
        for (name, value) in &self.inputs {
            preimage.text(name);
            preimage.bytes(&match value {
                Value::Bound(digest) => *digest,
                Value::Mapped(at) => digest(&elements[*at]),
            });
        }
        preimage.into_bytes()
    }
}

/// A literal's own hash: a bound value of megabytes is then read once, not once a subtask.
fn digest(literal: &Literal) -> [u8; 32] {
    let mut value = Canonical::default();
    value.literal(literal);
    Sha256::digest(value.into_bytes()).into()
}

/// The hash of a file's content, as it stands in [`Literal::hash`].
#[derive(Clone, Debug, Default)]
pub struct ContentHash(Sha256);

impl ContentHash {
    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash as text: `sha256:` and hexadecimal digits.
    pub fn finish(self) -> String {
        format!("sha256:{}", Key(self.0.finalize().into()))
    }
}

#[cfg(test)]
mod tests;
