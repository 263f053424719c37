//! Short ways to make literals and to look into them: the generated messages nest four deep for one number.

use super::core::{Binary, Blob, BlobMetadata, BlobType, Literal, LiteralCollection, LiteralMap, LiteralType};
use super::core::{Primitive, Scalar, Union, Void};
use super::core::{literal, primitive, scalar};

/// A literal of one primitive value.
pub fn primitive(value: primitive::Value) -> Literal {
    scalar(scalar::Value::Primitive(Primitive { value: Some(value) }))
}

/// A literal of one scalar.
pub fn scalar(value: scalar::Value) -> Literal {
    of(literal::Value::Scalar(Box::new(Scalar { value: Some(value) })))
}

/// A literal of `value`, without hash or metadata.
pub fn of(value: literal::Value) -> Literal {
    Literal { value: Some(value), ..Literal::default() }
}

/// A whole number.
pub fn integer(value: i64) -> Literal {
    primitive(primitive::Value::Integer(value))
}

/// A floating-point number.
pub fn float(value: f64) -> Literal {
    primitive(primitive::Value::FloatValue(value))
}

/// A string.
pub fn string(value: impl Into<String>) -> Literal {
    primitive(primitive::Value::StringValue(value.into()))
}

/// True or false.
pub fn boolean(value: bool) -> Literal {
    primitive(primitive::Value::Boolean(value))
}

/// The absent value.
pub fn none() -> Literal {
    scalar(scalar::Value::NoneType(Void {}))
}

/// Bytes with the name of their encoding, which may be empty.
pub fn binary(value: Vec<u8>, tag: &str) -> Literal {
    scalar(scalar::Value::Binary(Binary { value, tag: tag.to_owned() }))
}

/// A file of type `kind` at `uri`.
pub fn blob(kind: &BlobType, uri: impl Into<String>) -> Literal {
    let metadata = Some(BlobMetadata { r#type: Some(kind.clone()) });
    scalar(scalar::Value::Blob(Blob { metadata, uri: uri.into() }))
}

/// A list.
pub fn collection(literals: Vec<Literal>) -> Literal {
    of(literal::Value::Collection(LiteralCollection { literals }))
}

/// A dictionary.
pub fn dictionary(literals: impl IntoIterator<Item = (String, Literal)>) -> Literal {
    of(literal::Value::Map(LiteralMap { literals: literals.into_iter().collect() }))
}

/// `value` as the variant of a union whose type is `variant`.
pub fn union(value: Literal, variant: LiteralType) -> Literal {
    scalar(scalar::Value::Union(Box::new(Union { value: Some(Box::new(value)), r#type: Some(variant) })))
}

/// The scalar inside a literal, through any unions around it.
pub fn as_scalar(literal: &Literal) -> Option<&scalar::Value> {
    match literal.value.as_ref()? {
        literal::Value::Scalar(inner) => match inner.value.as_ref()? {
            scalar::Value::Union(union) => as_scalar(union.value.as_deref()?),
            value => Some(value),
        },
        _ => None,
    }
}

/// The file that a literal is, optional or not.
pub fn as_blob(literal: &Literal) -> Option<&Blob> {
    match as_scalar(literal)? {
        scalar::Value::Blob(blob) => Some(blob),
        _ => None,
    }
}
