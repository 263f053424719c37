//! JSON read strictly: a structure is an object. serde itself would also take a list of its members' values, so that `[]`
//! would stand for a structure of which every member may be absent.

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, Error as _, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Value};

/// A value to be read strictly, however deep.
pub(super) struct Strict(pub(super) Value);

impl<'de> IntoDeserializer<'de, Error> for Strict {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Strict {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(items) => {
                let mut items = SeqDeserializer::new(items.into_iter().map(Strict));
                let value = visitor.visit_seq(&mut items)?;
                items.end()?;
                Ok(value)
            }
            Value::Object(fields) => {
                let fields = fields.into_iter().map(|(name, value)| (name, Strict(value)));
                visitor.visit_map(MapDeserializer::new(fields))
            }
            plain => plain.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(_) => Err(Error::invalid_type(Unexpected::Seq, &"an object")),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::super::super::model::api::SubmitJob;
    use super::*;

    #[test]
    fn a_list_is_no_structure() {
        for wrong in [json!([]), json!({"arrayProperties": []}), json!({"dependsOn": [[]]}), json!({"jobName": 1})] {
            let error = SubmitJob::deserialize(Strict(wrong.clone())).expect_err("a wrong type");
            assert!(error.to_string().contains("invalid type"), "{wrong}: {error}");
        }
    }

    #[test]
    fn what_is_right_is_read_as_ever() {
        let request = json!({
            "jobName": "j", "arrayProperties": {"size": 2}, "tags": {"a": "b"}, "unknown": [{"x": [1, null]}],
            "containerOverrides": {"command": ["x"], "environment": [{"name": "A", "value": "1"}]},
        });
        let strict = SubmitJob::deserialize(Strict(request.clone())).expect("a request");
        assert_eq!(strict, SubmitJob::deserialize(request).expect("a request"));
        assert_eq!(strict.array_properties.and_then(|array| array.size), Some(2));
    }
}
