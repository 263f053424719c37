//! Values and types as bytes, each value in one way and no two values in the same: what the cache's keys are made of.
//!
//! Not protobuf's own encoding, which may write a message in more than one way and may change with a library. Here
//! every choice is a tag, every text and list has its length before it, and maps go in the order of their keys. Only
//! tables, which other programs alone make, are taken as they are encoded.

use prost::Message;
use prost_types::value::Kind;
use prost_types::{Struct, Value as StructValue};

use crate::idl::core::literal_type::Type;
use crate::idl::core::{BlobType, Literal, LiteralType, Scalar};
use crate::idl::core::{literal, primitive, scalar};

/// All that is not a number is written as this one.
const NOT_A_NUMBER: u64 = 0x7ff8_0000_0000_0000;

/// Bytes being written.
#[derive(Debug, Default)]
pub(super) struct Canonical(Vec<u8>);

impl Canonical {
    /// Goes on behind `bytes`.
    pub(super) fn of(bytes: Vec<u8>) -> Self {
        Canonical(bytes)
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Which of several forms follows.
    pub(super) fn tag(&mut self, tag: u8) {
        self.0.push(tag);
    }

    pub(super) fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn float(&mut self, float: f64) {
        self.number(if float.is_nan() { NOT_A_NUMBER } else { float.to_bits() });
    }

    fn maybe<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.tag(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    /// A literal; by its hash alone where it has one.
    pub(super) fn literal(&mut self, literal: &Literal) {
        if !literal.hash.is_empty() {
            self.tag(1);
            return self.text(&literal.hash);
        }
        match &literal.value {
            None => self.tag(0),
            Some(literal::Value::Scalar(scalar)) => {
                self.tag(2);
                self.scalar(scalar);
            }
            Some(literal::Value::Collection(collection)) => {
                self.tag(3);
                self.number(collection.literals.len() as u64);
                collection.literals.iter().for_each(|literal| self.literal(literal));
            }
            Some(literal::Value::Map(map)) => {
                self.tag(4);
                self.number(map.literals.len() as u64);
                for (key, literal) in &map.literals {
                    self.text(key);
                    self.literal(literal);
                }
            }
            Some(literal::Value::OffloadedMetadata(offloaded)) => {
                self.tag(5);
                self.text(&offloaded.uri);
                self.number(offloaded.size_bytes);
                self.maybe(offloaded.inferred_type.as_ref(), Self::literal_type);
            }
        }
        self.number(literal.metadata.len() as u64);
        for (key, value) in &literal.metadata {
            self.text(key);
            self.text(value);
        }
    }

    fn scalar(&mut self, scalar: &Scalar) {
        match &scalar.value {
            None => self.tag(0),
            Some(scalar::Value::Primitive(primitive)) => {
                self.tag(1);
                self.maybe(primitive.value.as_ref(), Self::primitive);
            }
            Some(scalar::Value::Blob(blob)) => {
                self.tag(2);
                let kind = blob.metadata.as_ref().and_then(|metadata| metadata.r#type.as_ref());
                self.maybe(kind, Self::blob_type);
                self.text(&blob.uri);
            }
            Some(scalar::Value::Binary(binary)) => {
                self.tag(3);
                self.bytes(&binary.value);
                self.text(&binary.tag);
            }
            Some(scalar::Value::NoneType(_)) => self.tag(4),
            Some(scalar::Value::Generic(fields)) => {
                self.tag(5);
                self.fields(fields);
            }
            Some(scalar::Value::Union(union)) => {
                self.tag(6);
                self.maybe(union.value.as_deref(), Self::literal);
                self.maybe(union.r#type.as_ref(), Self::literal_type);
            }
            // What only other programs make has one encoding here: generated maps are ordered.
            Some(scalar::Value::Schema(schema)) => {
                self.tag(7);
                self.bytes(&schema.encode_to_vec());
            }
            Some(scalar::Value::StructuredDataset(table)) => {
                self.tag(8);
                self.bytes(&table.encode_to_vec());
            }
            Some(scalar::Value::Error(error)) => {
                self.tag(9);
                self.bytes(&error.encode_to_vec());
            }
        }
    }

    fn primitive(&mut self, value: &primitive::Value) {
        match value {
            primitive::Value::Integer(integer) => {
                self.tag(0);
                self.number(integer.cast_unsigned());
            }
            primitive::Value::FloatValue(float) => {
                self.tag(1);
                self.float(*float);
            }
            primitive::Value::StringValue(text) => {
                self.tag(2);
                self.text(text);
            }
            primitive::Value::Boolean(boolean) => {
                self.tag(3);
                self.tag(u8::from(*boolean));
            }
            primitive::Value::Datetime(time) => self.time(4, time.seconds, time.nanos),
            primitive::Value::Duration(time) => self.time(5, time.seconds, time.nanos),
        }
    }

    fn time(&mut self, tag: u8, seconds: i64, nanos: i32) {
        self.tag(tag);
        self.number(seconds.cast_unsigned());
        self.number(i64::from(nanos).cast_unsigned());
    }

    fn fields(&mut self, fields: &Struct) {
        self.number(fields.fields.len() as u64);
        for (key, value) in &fields.fields {
            self.text(key);
            self.struct_value(value);
        }
    }

    fn struct_value(&mut self, value: &StructValue) {
        match &value.kind {
            // An absent value is read as null by everyone.
            None | Some(Kind::NullValue(_)) => self.tag(0),
            Some(Kind::NumberValue(number)) => {
                self.tag(1);
                self.float(*number);
            }
            Some(Kind::StringValue(text)) => {
                self.tag(2);
                self.text(text);
            }
            Some(Kind::BoolValue(boolean)) => {
                self.tag(3);
                self.tag(u8::from(*boolean));
            }
            Some(Kind::StructValue(fields)) => {
                self.tag(4);
                self.fields(fields);
            }
            Some(Kind::ListValue(list)) => {
                self.tag(5);
                self.number(list.values.len() as u64);
                list.values.iter().for_each(|value| self.struct_value(value));
            }
        }
    }

    pub(super) fn literal_type(&mut self, literal_type: &LiteralType) {
        match &literal_type.r#type {
            None => self.tag(0),
            Some(Type::Simple(simple)) => {
                self.tag(1);
                self.number(i64::from(*simple).cast_unsigned());
            }
            Some(Type::CollectionType(element)) => {
                self.tag(2);
                self.literal_type(element);
            }
            Some(Type::MapValueType(value)) => {
                self.tag(3);
                self.literal_type(value);
            }
            Some(Type::Blob(kind)) => {
                self.tag(4);
                self.blob_type(kind);
            }
            Some(Type::EnumType(choices)) => {
                self.tag(5);
                self.number(choices.values.len() as u64);
                choices.values.iter().for_each(|choice| self.text(choice));
            }
            Some(Type::UnionType(union)) => {
                self.tag(6);
                self.number(union.variants.len() as u64);
                union.variants.iter().for_each(|variant| self.literal_type(variant));
            }
            Some(Type::Schema(schema)) => {
                self.tag(7);
                self.bytes(&schema.encode_to_vec());
            }
            Some(Type::StructuredDatasetType(table)) => {
                self.tag(8);
                self.bytes(&table.encode_to_vec());
            }
        }
        self.maybe(literal_type.metadata.as_ref(), Self::fields);
        self.maybe(literal_type.structure.as_ref(), |all, structure| {
            all.text(&structure.tag);
            all.number(structure.dataclass_type.len() as u64);
            for (key, literal_type) in &structure.dataclass_type {
                all.text(key);
                all.literal_type(literal_type);
            }
        });
    }

    fn blob_type(&mut self, kind: &BlobType) {
        self.text(&kind.format);
        self.number(i64::from(kind.dimensionality).cast_unsigned());
    }
}
