//! Packs: the inputs of consecutive subtasks in one object, of which each child reads only its own bytes.
//!
//! A pack is a flyteidl `LiteralMap`, so that a stock `pyflyte-map-execute` can read it whole:
//!
//! ```text
//! head                       the bound inputs; itself a LiteralMap
//! entry of mapped[0]         { key, Literal { collection { Literal, Literal, ... } } }
//! entry of mapped[1]         ...
//! ```
//! Beside it lies the index: for each element an entry of [`index_width`] bytes saying how long the head is and where
//! the element's `Literal` lies in each list. So a child of a task with k mapped inputs reads one index entry, then the
//! head and k runs of bytes at once.
//!
//! The map is encoded here and not by the generated code, because the entries' order and the runs' places matter.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use prost::encoding::encoded_len_varint;

use super::layout::index_width;
use crate::idl::core::{Literal, LiteralMap};

/// Elements of one pack at most: the size of Batch's largest array.
pub const MAX_ELEMENTS: usize = 10_000;
/// Bytes of one pack at most: what a stock child reads whole.
pub const MAX_BYTES: usize = 8 << 20;

/// Field 1 or 2 with a length before its bytes: all that the maps and lists of a pack are made of.
const FIELD_1: u8 = 0x0a;
const FIELD_2: u8 = 0x12;
/// A tag of one byte, and the longest length of anything below [`MAX_BYTES`].
const TAG_AND_LENGTH: usize = 1 + 4;

/// Why an element or a head does not go into a pack.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// The bound inputs alone are too large.
    #[error(
        "the bound inputs take {bytes} bytes, the largest is {largest}; a pack holds {MAX_BYTES}. Pass {largest} as a file"
    )]
    HeadTooLarge {
        /// Their encoded size.
        bytes: usize,
        /// The largest of them.
        largest: String,
    },
    /// One element does not fit a pack of its own.
    #[error(
        "the inputs of one subtask take {bytes} bytes with {head} of bound ones, the largest is {largest}; a pack holds \
         {MAX_BYTES}. Pass {largest} as a file"
    )]
    ElementTooLarge {
        /// The encoded size of the element.
        bytes: usize,
        /// The encoded size of the bound inputs.
        head: usize,
        /// The mapped input with the largest value.
        largest: String,
    },
    /// An element has not one value for each mapped input.
    #[error("an element has {found} values for {expected} mapped inputs")]
    Arity {
        /// Number of mapped inputs.
        expected: usize,
        /// Number of values given.
        found: usize,
    },
    /// An input is mapped twice, or mapped and bound.
    #[error("input {name} is given twice; an input is either mapped or bound, once")]
    Duplicate {
        /// The input.
        name: String,
    },
}

/// What became of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is in the pack.
    Added,
    /// The pack has no room for it: [`PackBuilder::finish`] it and push the element again.
    Full,
}

/// A finished pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pack {
    /// The object with the values.
    pub body: Bytes,
    /// The object with where they are.
    pub index: Bytes,
    /// Number of elements.
    pub elements: u32,
}

/// One mapped input's values so far.
#[derive(Debug)]
struct List {
    name: String,
    /// The elements, each with its tag and length.
    encoded: BytesMut,
    /// Each element's place in `encoded`, without its tag and length.
    runs: Vec<Range<usize>>,
}

impl List {
    /// Bytes around the elements, at most: the entry, its key, the literal and the collection.
    fn overhead(&self) -> usize {
        4 * TAG_AND_LENGTH + self.name.len()
    }

    fn push(&mut self, element: &Literal, length: usize) {
        self.encoded.put_u8(FIELD_1);
        prost::encoding::encode_varint(length as u64, &mut self.encoded);
        let start = self.encoded.len();
        element.encode_raw(&mut self.encoded);
        self.runs.push(start..start + length);
    }

    /// Writes the list as an entry of the map and returns where its elements begin.
    fn write(&mut self, body: &mut BytesMut) -> usize {
        let collection = self.encoded.len();
        let literal = delimited(collection);
        let entry = delimited(self.name.len()) + delimited(literal);
        open(body, FIELD_1, entry);
        open(body, FIELD_1, self.name.len());
        body.put_slice(self.name.as_bytes());
        open(body, FIELD_2, literal);
        open(body, FIELD_2, collection);
        let start = body.len();
        body.put_slice(&self.encoded);
        self.encoded.clear();
        start
    }
}

/// Bytes of a field that holds `length` bytes.
fn delimited(length: usize) -> usize {
    1 + encoded_len_varint(length as u64) + length
}

fn open(body: &mut BytesMut, tag: u8, length: usize) {
    body.put_u8(tag);
    prost::encoding::encode_varint(length as u64, body);
}

/// Fills packs with elements, one pack after the other.
#[derive(Debug)]
pub struct PackBuilder {
    head: Vec<u8>,
    lists: Vec<List>,
    elements: usize,
    /// Bytes of the pack so far, at most.
    bytes: usize,
}

impl PackBuilder {
    /// A builder of packs whose head is `bound` and whose lists are `mapped`, in that order.
    ///
    /// # Errors
    /// [`PackError::HeadTooLarge`] and [`PackError::Duplicate`].
    pub fn new(bound: &BTreeMap<String, Literal>, mapped: &[String]) -> Result<Self, PackError> {
        for (at, name) in mapped.iter().enumerate() {
            if bound.contains_key(name) || mapped[..at].contains(name) {
                return Err(PackError::Duplicate { name: name.clone() });
            }
        }
        let head = LiteralMap { literals: bound.clone() }.encode_to_vec();
        let list = |name: &String| List { name: name.clone(), encoded: BytesMut::new(), runs: Vec::new() };
        let mut builder = PackBuilder { head, lists: mapped.iter().map(list).collect(), elements: 0, bytes: 0 };
        builder.bytes = builder.empty();
        if builder.bytes > MAX_BYTES {
            let largest = bound.iter().max_by_key(|(_, literal)| literal.encoded_len());
            let largest = largest.map(|(name, _)| name.clone()).unwrap_or_default();
            return Err(PackError::HeadTooLarge { bytes: builder.head.len(), largest });
        }
        Ok(builder)
    }

    /// Bytes of a pack without elements, at most.
    fn empty(&self) -> usize {
        self.head.len() + self.lists.iter().map(List::overhead).sum::<usize>()
    }

    /// Adds an element: one literal for each mapped input, in their order. Nothing is added unless all is.
    ///
    /// # Errors
    /// [`PackError::Arity`], and [`PackError::ElementTooLarge`] for one that no pack can hold.
    pub fn try_push(&mut self, element: &[Literal]) -> Result<Pushed, PackError> {
        if element.len() != self.lists.len() {
            return Err(PackError::Arity { expected: self.lists.len(), found: element.len() });
        }
        let lengths: Vec<usize> = element.iter().map(Message::encoded_len).collect();
        let added = lengths.iter().map(|length| delimited(*length)).sum::<usize>();
        if self.elements == MAX_ELEMENTS || self.bytes + added > MAX_BYTES {
            if self.empty() + added > MAX_BYTES {
                let largest = lengths.iter().zip(&self.lists).max_by_key(|(length, _)| **length);
                let largest = largest.map(|(_, list)| list.name.clone()).unwrap_or_default();
                return Err(PackError::ElementTooLarge { bytes: added, head: self.head.len(), largest });
            }
            return Ok(Pushed::Full);
        }
        for ((list, literal), length) in self.lists.iter_mut().zip(element).zip(lengths) {
            list.push(literal, length);
        }
        self.elements += 1;
        self.bytes += added;
        Ok(Pushed::Added)
    }

    /// Number of elements in the pack under way.
    pub fn len(&self) -> usize {
        self.elements
    }

    /// Whether the pack under way holds no element.
    pub fn is_empty(&self) -> bool {
        self.elements == 0
    }

    /// The pack, if it holds any element; the next push begins another with the same head.
    pub fn finish(&mut self) -> Option<Pack> {
        let elements = std::mem::take(&mut self.elements);
        if elements == 0 {
            return None;
        }
        let mut body = BytesMut::with_capacity(self.bytes);
        body.put_slice(&self.head);
        let starts: Vec<usize> = self.lists.iter_mut().map(|list| list.write(&mut body)).collect();
        let mut index = BytesMut::with_capacity(elements * index_width(self.lists.len()) as usize);
        for at in 0..elements {
            index.put_u32_le(self.head.len() as u32);
            for (list, start) in self.lists.iter().zip(&starts) {
                let run = &list.runs[at];
                index.put_u32_le((start + run.start) as u32);
                index.put_u32_le(run.len() as u32);
            }
        }
        self.lists.iter_mut().for_each(|list| list.runs.clear());
        self.bytes = self.empty();
        Some(Pack { body: body.freeze(), index: index.freeze(), elements: elements as u32 })
    }
}

/// Where one element lies in its pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// Bytes of the head, which begins the pack.
    pub head_len: u64,
    /// The element's `Literal` in each list, in the order of the mapped inputs; possibly empty.
    pub runs: Vec<Range<u64>>,
}

impl IndexEntry {
    /// Reads the entry of one element where `lists` inputs are mapped.
    ///
    /// # Errors
    /// When the bytes are not one entry, or a run would begin inside the head.
    pub fn parse(bytes: &[u8], lists: usize) -> Result<Self, String> {
        let width = index_width(lists);
        if bytes.len() as u64 != width {
            let found = bytes.len();
            return Err(format!("an index entry of {lists} mapped inputs has {width} bytes, found {found}"));
        }
        let numbers: Vec<u64> = bytes.as_chunks::<4>().0.iter().map(|four| u32::from_le_bytes(*four).into()).collect();
        let head_len = numbers[0];
        let runs: Vec<Range<u64>> =
            numbers[1..].as_chunks::<2>().0.iter().map(|[at, length]| *at..at + length).collect();
        match runs.iter().find(|run| run.start < head_len) {
            Some(run) => Err(format!("an index entry names bytes {run:?}, which are inside the head of {head_len}")),
            None => Ok(IndexEntry { head_len, runs }),
        }
    }
}

/// The bound inputs in the head of a pack.
///
/// # Errors
/// When the bytes are no `LiteralMap`.
pub fn decode_head(bytes: &[u8]) -> Result<BTreeMap<String, Literal>, String> {
    LiteralMap::decode(bytes).map(|map| map.literals).map_err(|error| format!("the head of a pack is damaged: {error}"))
}

/// The element whose run is `bytes`.
///
/// # Errors
/// When the bytes are no `Literal`.
pub fn decode_element(bytes: &[u8]) -> Result<Literal, String> {
    Literal::decode(bytes).map_err(|error| format!("an element of a pack is damaged: {error}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::idl::core::literal;
    use crate::idl::json::literal_from_json;
    use crate::idl::make;
    use crate::idl::types::infer;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn literal(value: &Value) -> Literal {
        literal_from_json(value, &infer(value)).unwrap()
    }

    fn slice(body: &Bytes, run: &Range<u64>) -> Literal {
        decode_element(&body[run.start as usize..run.end as usize]).unwrap()
    }

    /// Everything a reader relies on: of `pack`, made of `bound` and `elements`.
    fn assert_readable(pack: &Pack, bound: &BTreeMap<String, Literal>, mapped: &[String], elements: &[Vec<Literal>]) {
        assert!(pack.body.len() <= MAX_BYTES);
        assert_eq!(pack.elements as usize, elements.len());
        let width = index_width(mapped.len()) as usize;
        assert_eq!(pack.index.len(), width * elements.len());
        for (entry, element) in pack.index.chunks(width).zip(elements) {
            let entry = IndexEntry::parse(entry, mapped.len()).unwrap();
            assert_eq!(decode_head(&pack.body[..entry.head_len as usize]).as_ref(), Ok(bound));
            let read: Vec<Literal> = entry.runs.iter().map(|run| slice(&pack.body, run)).collect();
            assert_eq!(&read, element);
        }
        let whole = LiteralMap::decode(pack.body.clone()).unwrap().literals;
        assert_eq!(whole.len(), bound.len() + mapped.len());
        assert!(bound.iter().all(|(name, value)| whole.get(name) == Some(value)));
        for (at, name) in mapped.iter().enumerate() {
            let column: Vec<Literal> = elements.iter().map(|element| element[at].clone()).collect();
            assert_eq!(whole.get(name), Some(&make::collection(column)));
        }
    }

    #[test]
    fn a_pack_of_two_lists() {
        let bound = BTreeMap::from([("threshold".to_owned(), make::integer(11))]);
        let mapped = names(&["label", "point"]);
        let mut builder = PackBuilder::new(&bound, &mapped).unwrap();
        let elements: Vec<Vec<Literal>> =
            (0..300).map(|i| vec![make::string("x".repeat(i % 7)), make::integer(i as i64)]).collect();
        for element in &elements {
            assert_eq!(builder.try_push(element), Ok(Pushed::Added));
        }
        assert_eq!(builder.len(), 300);
        assert_readable(&builder.finish().unwrap(), &bound, &mapped, &elements);
        assert!(builder.is_empty() && builder.finish().is_none());
        // The builder goes on with an empty pack.
        assert_eq!(builder.try_push(&elements[5]), Ok(Pushed::Added));
        assert_readable(&builder.finish().unwrap(), &bound, &mapped, &elements[5..6]);
    }

    #[test]
    fn a_pack_is_full_at_ten_thousand() {
        let mut builder = PackBuilder::new(&BTreeMap::new(), &names(&["x"])).unwrap();
        let element = [make::integer(1)];
        for _ in 0..MAX_ELEMENTS {
            assert_eq!(builder.try_push(&element), Ok(Pushed::Added));
        }
        assert_eq!(builder.try_push(&element), Ok(Pushed::Full));
        assert_eq!(builder.finish().map(|pack| pack.elements), Some(10_000));
        assert_eq!(builder.try_push(&element), Ok(Pushed::Added));
    }

    #[test]
    fn a_pack_is_full_at_its_bytes() {
        let bound = BTreeMap::from([("b".to_owned(), make::string("b".repeat(1 << 20)))]);
        let mapped = names(&["x"]);
        let mut builder = PackBuilder::new(&bound, &mapped).unwrap();
        let element = vec![make::string("x".repeat(1 << 20))];
        while builder.try_push(&element) == Ok(Pushed::Added) {}
        assert_eq!(builder.len(), 6);
        assert_readable(&builder.finish().unwrap(), &bound, &mapped, &vec![element; 6]);
    }

    #[test]
    fn the_largest_element_fits_and_one_byte_more_is_an_error() {
        let mapped = names(&["small", "x"]);
        let mut builder = PackBuilder::new(&BTreeMap::new(), &mapped).unwrap();
        let element = |length| vec![make::integer(1), make::string("x".repeat(length))];
        let fits = |builder: &mut PackBuilder, length| builder.try_push(&element(length));
        let mut largest = MAX_BYTES;
        while fits(&mut builder, largest).is_err() {
            largest -= 1;
        }
        assert!(largest > MAX_BYTES - 100, "{largest}");
        assert_readable(&builder.finish().unwrap(), &BTreeMap::new(), &mapped, &[element(largest)]);
        let error = fits(&mut builder, largest + 1).unwrap_err().to_string();
        assert!(error.contains("the largest is x") && error.contains("as a file"), "{error}");
        // The same after others: it is not told to come again in vain.
        assert_eq!(fits(&mut builder, 1), Ok(Pushed::Added));
        assert!(matches!(fits(&mut builder, largest + 1), Err(PackError::ElementTooLarge { .. })));
        assert_eq!(fits(&mut builder, largest), Ok(Pushed::Full));
    }

    #[test]
    fn what_cannot_be_packed_is_refused() {
        let big = BTreeMap::from([("b".to_owned(), make::string("b".repeat(MAX_BYTES)))]);
        let error = PackBuilder::new(&big, &names(&["x"])).unwrap_err();
        assert!(error.to_string().contains("Pass b as a file"), "{error}");
        let bound = BTreeMap::from([("x".to_owned(), make::none())]);
        let duplicate = Some(PackError::Duplicate { name: "x".to_owned() });
        assert_eq!(PackBuilder::new(&bound, &names(&["x"])).err(), duplicate);
        assert_eq!(PackBuilder::new(&BTreeMap::new(), &names(&["x", "x"])).err(), duplicate);
        let mut builder = PackBuilder::new(&BTreeMap::new(), &names(&["x"])).unwrap();
        assert_eq!(builder.try_push(&[]), Err(PackError::Arity { expected: 1, found: 0 }));
    }

    #[test]
    fn damaged_indexes_are_refused() {
        assert!(IndexEntry::parse(&[0; 11], 1).is_err());
        assert!(IndexEntry::parse(&[0; 12], 2).is_err());
        let inside_head = [9, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0];
        assert!(IndexEntry::parse(&inside_head, 1).unwrap_err().contains("head"));
        assert_eq!(IndexEntry::parse(&[255; 12], 1).map(|entry| entry.runs[0].end), Ok(2 * u64::from(u32::MAX)));
    }

    fn any_literal() -> impl Strategy<Value = Literal> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(make::integer),
            (-1e9..1e9).prop_map(make::float),
            "\\PC{0,40}".prop_map(make::string),
            any::<bool>().prop_map(make::boolean),
            Just(make::none()),
            Just(Literal::default()),
            prop::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| make::binary(bytes, "msgpack")),
            Just(literal(&json!({"a": [1, {"b": null}]}))),
        ];
        leaf.prop_recursive(2, 8, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(make::collection),
                prop::collection::btree_map("[a-z]{1,3}", inner, 0..3).prop_map(make::dictionary),
            ]
        })
    }

    fn any_case() -> impl Strategy<Value = (BTreeMap<String, Literal>, Vec<String>, Vec<Vec<Literal>>)> {
        (
            prop::collection::btree_set("[a-z]{1,4}", 0..4),
            prop::collection::btree_map("[A-Z]{0,4}", any_literal(), 0..3),
        )
            .prop_flat_map(|(mapped, bound)| {
                let element = prop::collection::vec(any_literal(), mapped.len());
                (Just(bound), Just(mapped.into_iter().collect()), prop::collection::vec(element, 1..20))
            })
    }

    proptest! {
        #[test]
        fn any_pack_is_readable((bound, mapped, elements) in any_case()) {
            let mut builder = PackBuilder::new(&bound, &mapped).unwrap();
            for element in &elements {
                prop_assert_eq!(builder.try_push(element), Ok(Pushed::Added));
            }
            assert_readable(&builder.finish().unwrap(), &bound, &mapped, &elements);
        }

        #[test]
        fn any_index_entry_is_read_or_refused(bytes: Vec<u8>, lists in 0..4_usize) {
            if let Ok(entry) = IndexEntry::parse(&bytes, lists) {
                prop_assert_eq!(entry.runs.len(), lists);
            }
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_generated_code() {
        // Where names sort as the pack writes them, both encoders agree to the byte.
        let bound = BTreeMap::from([("a".to_owned(), make::integer(1))]);
        let mut builder = PackBuilder::new(&bound, &names(&["b"])).unwrap();
        for value in [1, 1_000_000] {
            builder.try_push(&[make::integer(value)]).unwrap();
        }
        let list = make::collection(vec![make::integer(1), make::integer(1_000_000)]);
        assert!(matches!(list.value, Some(literal::Value::Collection(_))));
        let map = LiteralMap { literals: bound.into_iter().chain([("b".to_owned(), list)]).collect() };
        assert_eq!(builder.finish().unwrap().body, map.encode_to_vec());
    }
}
