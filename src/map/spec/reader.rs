//! Reading one object of the document: known keys, types of values, and faults instead of a first error.

use serde_json::{Map, Value};

use super::fault::{Fault, Faults, suggest};

/// One object of the document, and where the faults found in it go.
pub(super) struct Fields<'a> {
    path: &'static str,
    object: Option<&'a Map<String, Value>>,
}

impl<'a> Fields<'a> {
    /// The object at `path` (empty: the document), holding nothing but `known` keys. A `null` is an absent object.
    pub(super) fn open(
        path: &'static str,
        value: Option<&'a Value>,
        known: &'static [&'static str],
        faults: &mut Faults,
    ) -> Self {
        let object = as_object(if path.is_empty() { "the spec" } else { path }, value, faults);
        let fields = Fields { path, object };
        for (key, value) in object.into_iter().flatten().filter(|(key, _)| !known.contains(&key.as_str())) {
            let fix = suggest(key, known.iter().copied());
            faults.0.push(Fault::of(fields.path(key), value, "is no key of a spec", fix));
        }
        fields
    }

    /// The path of `key`, for a fault.
    pub(super) fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The value of `key`; a `null` is as good as absent.
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.object?.get(key).filter(|value| !value.is_null())
    }

    /// What `read` makes of the value of `key`; its error is the problem and the fix.
    pub(super) fn read<T>(
        &self,
        key: &str,
        faults: &mut Faults,
        read: impl FnOnce(&'a Value) -> Result<T, (String, String)>,
    ) -> Option<T> {
        let value = self.get(key)?;
        match read(value) {
            Ok(read) => Some(read),
            Err((problem, fix)) => {
                faults.0.push(Fault::of(self.path(key), value, problem, fix));
                None
            }
        }
    }

    /// True or false.
    pub(super) fn boolean(&self, key: &str, faults: &mut Faults) -> Option<bool> {
        self.read(key, faults, |value| {
            value.as_bool().ok_or_else(|| no("true or false", "write one of them, unquoted"))
        })
    }

    /// A whole number of `what`, from 0 to `max`.
    pub(super) fn count(&self, key: &str, what: &str, max: u64, faults: &mut Faults) -> Option<u64> {
        let fix = || format!("give a whole number of {what} from 0 to {max}");
        self.read(key, faults, |value| match value {
            Value::Number(number) if number.as_i64().is_some_and(|n| n < 0) => Err(("is negative".to_owned(), fix())),
            Value::Number(number) => match number.as_u64() {
                Some(n) if n <= max => Ok(n),
                Some(_) => Err(("is too large".to_owned(), fix())),
                None => Err(("is not a whole number".to_owned(), fix())),
            },
            _ => Err(("is not a number".to_owned(), fix())),
        })
    }

    /// One of the names of `choices`.
    pub(super) fn choice<T: Copy>(&self, key: &str, choices: &[(&'static str, T)], faults: &mut Faults) -> Option<T> {
        self.read(key, faults, |value| {
            let names = || choices.iter().map(|(name, _)| *name);
            let all = names().collect::<Vec<_>>().join(" or ");
            let text = value.as_str().ok_or_else(|| no("a string", &format!("write {all}")))?;
            let found = choices.iter().find(|(name, _)| *name == text);
            found.map(|(_, choice)| *choice).ok_or_else(|| (format!("is not {all}"), suggest(text, names())))
        })
    }

    /// An object whose keys the caller chooses.
    pub(super) fn entries(&self, key: &str, faults: &mut Faults) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let object = as_object(&self.path(key), self.get(key), faults);
        object.into_iter().flatten().map(|(name, value)| (name.as_str(), value))
    }
}

/// The problem and the fix of a value of another type.
pub(super) fn no(expected: &str, fix: &str) -> (String, String) {
    (format!("is not {expected}"), fix.to_owned())
}

fn as_object<'a>(path: &str, value: Option<&'a Value>, faults: &mut Faults) -> Option<&'a Map<String, Value>> {
    match value? {
        Value::Object(object) => Some(object),
        Value::Null => None,
        other => {
            faults.0.push(Fault::of(path, other, "is not an object", "write {\"key\": value, ...}"));
            None
        }
    }
}
