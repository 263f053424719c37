use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::idl::core::{BlobType, literal, scalar};
use crate::idl::json::literal_from_json;
use crate::idl::make;
use crate::idl::types::parse_type;

fn types(types: &[(&str, &str)]) -> BTreeMap<String, LiteralType> {
    types.iter().map(|(name, text)| ((*name).to_owned(), parse_type(text).unwrap())).collect()
}

fn cache() -> Cache {
    Cache { version: "1".to_owned(), ..Cache::default() }
}

struct Task {
    name: &'static str,
    cache: Cache,
    inputs: BTreeMap<String, LiteralType>,
    outputs: BTreeMap<String, LiteralType>,
    bound: BTreeMap<String, Literal>,
}

impl Task {
    /// `x` is mapped, `b` is bound.
    fn new() -> Self {
        Task {
            name: "task",
            cache: cache(),
            inputs: types(&[("b", "string"), ("x", "integer")]),
            outputs: types(&[("o0", "string")]),
            bound: [("b".to_owned(), make::string("bound"))].into(),
        }
    }

    fn scheme(&self) -> Scheme {
        let types = Types { inputs: &self.inputs, outputs: &self.outputs };
        let command = ["run".to_owned()];
        Scheme::new((self.name, &command), &self.cache, types, &self.bound, &["x".to_owned()])
    }

    fn key(&self, x: i64) -> Key {
        self.scheme().key(&[make::integer(x)])
    }
}

/// Whoever changes these makes every cache of every user worthless: raise [`FORMAT`] and know why.
#[test]
fn golden_keys() {
    let task = Task::new();
    let mut keys = vec![task.key(1).to_string()];
    let mut rich = Task::new();
    rich.cache.by_command = true;
    rich.cache.version = "2026-11".to_owned();
    rich.cache.ignored = BTreeSet::from(["b".to_owned()]);
    let all = "[map[float|string?]]";
    rich.inputs.insert("x".to_owned(), parse_type(all).unwrap());
    let value = literal_from_json(&json!([{"a": 1.5, "b": null}, {"c": "text"}]), &parse_type(all).unwrap()).unwrap();
    keys.push(rich.scheme().key(&[value]).to_string());
    let others = make::dictionary([
        ("blob".to_owned(), make::blob(&BlobType { format: "csv".to_owned(), dimensionality: 0 }, "s3://b/k")),
        ("binary".to_owned(), make::binary(vec![0, 1], "msgpack")),
        ("boolean".to_owned(), make::boolean(true)),
        ("datetime".to_owned(), of("datetime", json!("2026-11-23T01:02:03.5Z"))),
        ("duration".to_owned(), of("duration", json!("1h 30m"))),
        ("struct".to_owned(), of("struct", json!({"a": [1, null, "x", true, {"b": 2.5}]}))),
        ("hashed".to_owned(), Literal { hash: "sha256:0".to_owned(), ..make::integer(7) }),
    ]);
    keys.push(task.scheme().key(&[others]).to_string());
    assert_eq!(keys, GOLDEN);
    let mut content = ContentHash::default();
    content.update(b"ab");
    content.update(b"c");
    assert_eq!(content.finish(), "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

const GOLDEN: [&str; 3] = [
    "11b788a2a7bc66ab0179e9b47761080b5c40b8a56af868e222ce141f40913d20",
    "ad5c06d0cdbb3304f26c1990edceadf56f5bc41282eb2f1338925cddd845b771",
    "0a27cf423f36a6e27f898eca9140f8b1f0fd48dd13dd00ade2ff841e378b6399",
];

fn of(text: &str, value: serde_json::Value) -> Literal {
    literal_from_json(&value, &parse_type(text).unwrap()).unwrap()
}

#[test]
fn whatever_tells_tasks_apart_makes_another_key() {
    let base = Task::new().key(1);
    let with = |change: &dyn Fn(&mut Task)| {
        let mut task = Task::new();
        change(&mut task);
        task.key(1)
    };
    let changed = [
        Task::new().key(2),
        with(&|task| task.name = "other"),
        with(&|task| task.cache.version = "2".to_owned()),
        with(&|task| task.cache.by_command = true),
        with(&|task| drop(task.outputs.insert("o1".to_owned(), LiteralType::default()))),
        with(&|task| task.outputs = types(&[("o0", "integer")])),
        with(&|task| task.inputs = types(&[("b", "string"), ("x", "float")])),
        with(&|task| drop(task.bound.insert("b".to_owned(), make::string("other")))),
        with(&|task| task.cache.ignored = BTreeSet::from(["b".to_owned()])),
    ];
    let all: BTreeSet<Key> = changed.into_iter().chain([base]).collect();
    assert_eq!(all.len(), 10);
}

#[test]
fn an_ignored_input_makes_no_difference() {
    let with = |bound: &str| {
        let mut task = Task::new();
        task.cache.ignored.insert("b".to_owned());
        task.bound.insert("b".to_owned(), make::string(bound));
        task.key(1)
    };
    assert_eq!(with("one"), with("other"));
    let mut mapped = Task::new();
    mapped.cache.ignored.insert("x".to_owned());
    assert_eq!(mapped.key(1), mapped.key(2));
    assert!(!mapped.scheme().counts("x") && mapped.scheme().counts("b"));
}

#[test]
fn overwriting_finds_the_same_entries() {
    let mut task = Task::new();
    task.cache.overwrite = true;
    assert_eq!(task.key(1), Task::new().key(1));
}

#[test]
fn a_hash_stands_for_its_literal_at_any_depth() {
    let hashed = |value: i64, hash: &str| Literal { hash: hash.to_owned(), ..make::integer(value) };
    let list = |value, hash| make::collection(vec![hashed(value, hash)]);
    let key = |literal| Task::new().scheme().key(&[literal]);
    assert_eq!(key(hashed(1, "h")), key(hashed(2, "h")));
    assert_eq!(key(list(1, "h")), key(list(2, "h")));
    assert_ne!(key(hashed(1, "h")), key(hashed(1, "i")));
    assert_ne!(key(hashed(1, "h")), key(make::string("h")));
}

#[test]
fn keys_are_read_back_from_their_bytes() {
    let bytes: Vec<u8> = (0..70).collect();
    let keys: Vec<Key> = Key::all(&bytes).collect();
    assert_eq!(keys.len(), 2);
    assert!(keys[1].to_string().starts_with("2021"));
}

fn value() -> impl Strategy<Value = Literal> {
    let leaf = prop_oneof![
        (-3_i64..3).prop_map(make::integer),
        "[ab]{0,3}".prop_map(make::string),
        prop::sample::select(vec![0.0, 1.0, f64::NAN]).prop_map(make::float),
        any::<bool>().prop_map(make::boolean),
        Just(make::none()),
        Just(Literal::default()),
        prop::collection::vec(any::<u8>(), 0..3).prop_map(|bytes| make::binary(bytes, "")),
        "[ab]{1,2}".prop_map(|hash| Literal { hash, ..make::none() }),
        "[ab]{0,2}".prop_map(|text| of("struct", json!({ text.clone(): [text] }))),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(make::collection),
            prop::collection::btree_map("[ab]{0,2}", inner.clone(), 0..3).prop_map(make::dictionary),
            inner.prop_map(|inner| make::union(inner, LiteralType::default())),
        ]
    })
}

/// What remains of a literal once hashes stand for what they hash, and all that is no number is the same.
fn essence(literal: &Literal) -> String {
    let hashless = |literal: &Literal| Literal { value: None, ..literal.clone() };
    match &literal.value {
        _ if !literal.hash.is_empty() => format!("{:?}", hashless(literal)),
        Some(literal::Value::Collection(list)) => {
            format!("[{}]", list.literals.iter().map(essence).collect::<Vec<_>>().join(";"))
        }
        Some(literal::Value::Map(map)) => {
            let entries = map.literals.iter().map(|(key, literal)| format!("{key:?}={}", essence(literal)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(";"))
        }
        Some(literal::Value::Scalar(inner)) => match &inner.value {
            Some(scalar::Value::Union(union)) => format!("union({})", union.value.as_deref().map(essence).unwrap()),
            other => format!("{other:?}"),
        },
        other => format!("{other:?}"),
    }
}

fn encoded(literal: &Literal) -> Vec<u8> {
    let mut out = Canonical::default();
    out.literal(literal);
    out.into_bytes()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn two_values_have_the_same_bytes_only_when_they_are_the_same(a in value(), b in value()) {
        prop_assert_eq!(encoded(&a) == encoded(&b), essence(&a) == essence(&b), "{:?} {:?}", a, b);
    }

    #[test]
    fn no_value_is_the_beginning_of_another(a in value(), b in value()) {
        let (a, b) = (encoded(&a), encoded(&b));
        prop_assert!(a == b || !b.starts_with(&a));
    }

    #[test]
    fn two_sets_of_inputs_never_make_one_preimage(
        a in prop::collection::btree_map("[ab]{1,2}", value(), 1..4),
        b in prop::collection::btree_map("[ab]{1,2}", value(), 1..4),
        mapped in any::<[bool; 4]>(),
    ) {
        // Which of them are mapped, and in which order they are given, is not part of it.
        let preimage = |inputs: &BTreeMap<String, Literal>, mapped: &[bool]| {
            let is_mapped = |at: usize| mapped[at % mapped.len()];
            let (mut bound, mut names, mut elements) = (BTreeMap::new(), Vec::new(), Vec::new());
            for (at, (name, literal)) in inputs.iter().enumerate().rev() {
                if is_mapped(at) {
                    names.push(name.clone());
                    elements.push(literal.clone());
                } else {
                    bound.insert(name.clone(), literal.clone());
                }
            }
            let none = BTreeMap::new();
            let types = Types { inputs: &none, outputs: &none };
            Scheme::new(("t", &[]), &cache(), types, &bound, &names).preimage(&elements)
        };
        let essences = |inputs: &BTreeMap<String, Literal>| -> Vec<(String, String)> {
            inputs.iter().map(|(name, literal)| (name.clone(), essence(literal))).collect()
        };
        prop_assert_eq!(preimage(&a, &mapped), preimage(&a, &[false]));
        prop_assert_eq!(preimage(&a, &mapped) == preimage(&b, &[true]), essences(&a) == essences(&b));
    }
}
