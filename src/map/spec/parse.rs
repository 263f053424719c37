//! JSON text to a document, with every duplicate key found: `serde_json` alone keeps the last one and says nothing.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::fault::{Fault, Faults};

/// Parses the text of a spec. Duplicate keys are faults; the later value stays in the document, so that reading can go
/// on to find what else is wrong.
///
/// # Errors
/// Text that is no JSON, with line and column.
pub fn parse(text: &str) -> Result<(Value, Faults), Fault> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut faults = Faults::default();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Node { path: String::new(), faults: &mut faults }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|e| Fault::missing("the spec", format!("is not JSON: {e}"), "correct it there"))?;
    Ok((value, faults))
}

/// The value at `path`, being read.
struct Node<'a> {
    path: String,
    faults: &'a mut Faults,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            let path = format!("{}[{}]", self.path, list.len());
            match seq.next_element_seed(Node { path, faults: &mut *self.faults })? {
                Some(element) => list.push(element),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let path = if self.path.is_empty() { key.clone() } else { format!("{}.{key}", self.path) };
            let value = map.next_value_seed(Node { path: path.clone(), faults: &mut *self.faults })?;
            if object.contains_key(&key) {
                let fix = "keep one of them";
                self.faults.0.push(Fault::of(path, &value, "the key is given more than once", fix));
            }
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_what_serde_json_reads() {
        let text = r#"{"a": [1, -2, 0.5, true, null, "x\né", {"b": {}}], "c": 18446744073709551615}"#;
        let (value, faults) = parse(text).unwrap();
        assert_eq!(value, serde_json::from_str::<Value>(text).unwrap());
        assert_eq!(faults, Faults::default());
    }

    #[test]
    fn every_duplicate_is_named_with_its_path() {
        let (_, faults) = parse(r#"{"a": {"b": 1, "b": 2}, "l": [{"c": 1, "c": 1}], "a": 3}"#).unwrap();
        let fields: Vec<&str> = faults.0.iter().map(|f| f.field.as_str()).collect();
        assert_eq!(fields, ["a.b", "l[0].c", "a"]);
    }

    #[test]
    fn text_that_is_no_json_says_where() {
        for text in ["", "{", "{\"a\": 1} x", "{a: 1}"] {
            assert!(parse(text).unwrap_err().problem.contains("line 1 column"), "{text}");
        }
    }
}
