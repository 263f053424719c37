//! Literals: off the wire, out of JSON, out of text.

use batchmap::idl::core::LiteralType;
use batchmap::idl::json::{literal_from_json, literal_to_json};
use batchmap::idl::text::{literal_from_bytes, literal_to_bytes, literal_to_text};
use batchmap::idl::types::{infer, parse_type};
use batchmap::map::pack::{decode_element, decode_head};
use proptest::prelude::*;
use serde_json::Value;

use crate::change::changed;
use crate::meter::metered;
use crate::{cases, corpus, seeds};

const TYPES: [&str; 14] = [
    "integer",
    "float",
    "string",
    "boolean",
    "datetime",
    "duration",
    "struct",
    "binary",
    "none",
    "file",
    "[integer]",
    "map[[float?]]",
    "enum[a,b]",
    "integer|string|[file]",
];

fn types() -> Vec<LiteralType> {
    TYPES.iter().map(|text| parse_type(text).unwrap()).collect()
}

/// As the worker reads them: a head, and elements.
fn try_wire(bytes: &[u8]) {
    metered(bytes.len(), || {
        let head = decode_head(bytes).unwrap_or_default().into_values();
        for literal in head.chain(decode_element(bytes)) {
            let _ = literal_to_json(&literal).to_string();
            let _ = literal_to_text(&literal);
            let _ = literal_to_bytes(&literal);
        }
    });
}

/// As the stager and the worker's outputs read them.
fn try_text(bytes: &[u8]) {
    metered(bytes.len() * TYPES.len(), || {
        for literal_type in types() {
            if let Ok(literal) = literal_from_bytes(bytes, &literal_type) {
                let _ = literal_to_text(&literal);
            }
        }
        let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
        let inferred = infer(&value);
        if let Ok(literal) = literal_from_json(&value, &inferred) {
            let back = literal_to_json(&literal);
            assert!(literal_from_json(&back, &inferred).is_ok(), "{value} comes back as {back}");
        }
        for literal_type in types() {
            let _ = literal_from_json(&value, &literal_type);
        }
    });
}

#[test]
fn the_corpus_of_literals() {
    for (_, bytes) in corpus("literal") {
        try_wire(&bytes);
        try_text(&bytes);
    }
}

/// A length that promises more than there is, at every depth that a parser would follow.
#[test]
fn a_length_prefix_takes_no_memory() {
    for length in [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0xff; 9], &[0x80, 0x80, 0x80, 0x80, 0x08]] {
        for tag in 0..=0xff_u8 {
            try_wire(&[&[tag], length].concat());
            try_wire(&[&[0x0a, 0x7f, tag], length, &[0; 9]].concat());
        }
    }
    // Collections in collections.
    let mut nested = Vec::new();
    for _ in 0..10_000 {
        let length = nested.len();
        let mut prefix = vec![0x12];
        prost::encoding::encode_varint(length as u64, &mut prefix);
        let mut inner = vec![0x0a];
        prost::encoding::encode_varint((length + prefix.len()) as u64, &mut inner);
        nested.splice(0..0, prefix);
        nested.splice(0..0, inner);
    }
    try_wire(&nested);
}

proptest! {
    #![proptest_config(cases(1500))]

    #[test]
    fn no_bytes_break_the_literal_decoder(bytes in changed(seeds("literal"))) {
        try_wire(&bytes);
        try_text(&bytes);
    }
}
