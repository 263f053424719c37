//! Settings from several places: a file, then flags; or what is set already, then a patch.

use serde_json::{Map, Value};

use super::{Faults, NAMES};
use crate::map::spec::Fault;

/// Settings from the text of a TOML file, if there is one, and from flags `name=value`, which override it.
///
/// # Errors
/// The first thing that is wrong. A fault in the file names no file: the caller knows it.
pub fn from_sources(file: Option<&str>, flags: &[String]) -> Result<Faults, Fault> {
    let mut settings = file.map_or_else(|| Ok(Value::Object(Map::new())), toml_value)?;
    for flag in flags {
        let Some((name, value)) = flag.split_once('=') else {
            return Err(Fault::text("--fault", &format!("{flag:?}"), "not name=value", "give such as throttle=0.1"));
        };
        set(&mut settings, &name.trim().replace('-', "_"), flag_value(value.trim()));
    }
    Faults::from_value(settings)
}

/// A TOML document as JSON.
pub(in crate::emulator) fn toml_value(text: &str) -> Result<Value, Fault> {
    let table: toml::Table = toml::from_str(text)
        .map_err(|error| Fault::missing("the file", format!("not TOML: {}", error.message()), "mend its syntax"))?;
    serde_json::to_value(table).map_err(|error| Fault::missing("the file", error.to_string(), "use plain values"))
}

/// A flag's value: a number, true or false, or a text.
pub(in crate::emulator) fn flag_value(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Bool(_) | Value::Number(_))) => value,
        _ => Value::String(text.to_owned()),
    }
}

fn main_of(name: &str) -> &'static str {
    NAMES.iter().find(|(known, _)| *known == name).map_or("value", |(_, main)| main)
}

/// Sets `name` or `name.field`.
fn set(settings: &mut Value, name: &str, value: Value) {
    let (name, field) = name.split_once('.').map_or((name, main_of(name)), |(name, field)| (name, field));
    let patch = Map::from_iter([(field.to_owned(), value)]);
    merge(settings, Value::Object(Map::from_iter([(name.to_owned(), Value::Object(patch))])));
}

impl Faults {
    /// These settings with `patch` over them: a field of it replaces, null takes away (JSON merge patch).
    ///
    /// # Errors
    /// As [`Faults::from_value`].
    pub fn patched(&self, patch: Value) -> Result<Faults, Fault> {
        let mut settings = serde_json::to_value(self)
            .map_err(|error| Fault::missing("the settings", error.to_string(), "set them anew"))?;
        if !patch.is_object() {
            return Faults::from_value(patch);
        }
        merge(&mut settings, patch);
        Faults::from_value(settings)
    }
}

/// Merges two levels: faults, and their fields.
fn merge(settings: &mut Value, patch: Value) {
    let (Value::Object(all), Value::Object(patch)) = (settings, patch) else { return };
    for (name, value) in patch {
        if value.is_null() {
            all.shift_remove(&name);
            continue;
        }
        let table = |value: Value| match value {
            Value::Object(fields) => fields,
            value => Map::from_iter([(main_of(&name).to_owned(), value)]),
        };
        let mut fields = all.shift_remove(&name).map(table).unwrap_or_default();
        for (field, value) in table(value) {
            fields.insert(field, value);
        }
        all.insert(name, Value::Object(fields));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Span;
    use super::*;

    fn flags(given: &[&str]) -> Vec<String> {
        given.iter().map(|flag| (*flag).to_owned()).collect()
    }

    #[test]
    fn flags_override_the_file() {
        let file = "throttle = 0.1\n[spot_loss]\nshare = 0.5\nafter = \"1s..2s\"\n";
        let given =
            ["throttle.operations=SubmitJob,PutObject", "spot-loss=0.25", "latency=100ms", "spot_loss.spot_only=true"];
        let faults = from_sources(Some(file), &flags(&given)).unwrap();
        let throttle = faults.throttle.unwrap();
        assert_eq!((throttle.share, throttle.operations.len()), (0.1, 2));
        let loss = faults.spot_loss.unwrap();
        assert_eq!((loss.share, loss.after, loss.spot_only), (0.25, Span { least_ms: 1000, most_ms: 2000 }, true));
        assert_eq!(faults.latency.unwrap().time, Span::fixed(100));
        assert_eq!(from_sources(None, &[]).unwrap(), Faults::default());
    }

    #[test]
    fn a_bad_source_says_what_to_write() {
        for (file, given, words) in [
            (None, "throttle", ["--fault is \"throttle\"", "name=value"]),
            (None, "trottle=1", ["trottle", "did you mean \"throttle\"?"]),
            (None, "throttle=2", ["throttle.share is 2", "0 to 1"]),
            (None, "throttle.rate=fast", ["throttle.rate is \"fast\"", "positive number"]),
            (Some("throttle = "), "latency=1s", ["the file", "not TOML"]),
        ] {
            let said = from_sources(file, &flags(&[given])).unwrap_err().to_string();
            for word in words {
                assert!(said.contains(word), "{said} should say {word}");
            }
        }
    }

    #[test]
    fn a_patch_changes_what_it_names() {
        let faults = Faults::from_value(json!({"throttle": {"share": 0.1, "rate": 5}, "error": 0.5})).unwrap();
        let patched = faults.patched(json!({"throttle": {"share": 0.2}, "error": null, "latency": "1s"})).unwrap();
        let throttle = patched.throttle.unwrap();
        assert_eq!((throttle.share, throttle.rate, patched.error), (0.2, Some(5.0), None));
        assert!(patched.latency.is_some());
        assert_eq!(faults.patched(json!({})).unwrap(), faults);
        assert!(faults.patched(json!(3)).unwrap_err().to_string().contains("not a table"));
    }
}
