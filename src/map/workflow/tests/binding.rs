//! Bindings to literals.

use std::collections::BTreeMap;

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

use super::samples::{Step, bound, constant, data, dict, list, part, promise};
use crate::idl::core::{
    Binding, BindingData, Literal, LiteralOffloadedMetadata, OutputReference, PromiseAttribute, binding_data, literal,
    scalar,
};
use crate::idl::types::parse_type;
use crate::idl::{json, make};
use crate::map::workflow::{BindError, elements, references, resolve};

/// What `binding` stands for where these outputs are there.
fn one(binding: BindingData, outputs: &[(&str, &str, Literal)]) -> Result<Literal, BindError> {
    let known: BTreeMap<(&str, &str), &Literal> = outputs.iter().map(|(node, var, it)| ((*node, *var), it)).collect();
    let literals = resolve(&bound(vec![("x", binding)]), |node, var| known.get(&(node, var)).copied())?.literals;
    Ok(literals["x"].clone())
}

fn text(json: serde_json::Value, kind: &str) -> Literal {
    json::literal_from_json(&json, &parse_type(kind).unwrap()).unwrap()
}

#[test]
fn values_inputs_and_outputs() {
    let outputs = [("", "x", make::integer(1)), ("n0", "o0", make::string("a"))];
    assert_eq!(one(constant(make::float(0.5)), &outputs), Ok(make::float(0.5)));
    assert_eq!(one(promise("", "x"), &outputs), Ok(make::integer(1)));
    assert_eq!(one(promise("start-node", "x"), &outputs), Ok(make::integer(1)));
    assert_eq!(one(promise("n0", "o0"), &outputs), Ok(make::string("a")));
    let both = list(vec![promise("", "x"), dict(vec![("k", promise("n0", "o0"))])]);
    let expected = make::collection(vec![make::integer(1), make::dictionary([("k".to_owned(), make::string("a"))])]);
    assert_eq!(one(both, &outputs), Ok(expected));
}

#[test]
fn what_is_not_there_is_told() {
    let message = |binding| one(binding, &[("n0", "o0", make::integer(1))]).unwrap_err().to_string();
    assert_eq!(message(promise("", "q")), "x: the workflow's input q is not there");
    assert_eq!(message(promise("n0", "o1")), "x: output o1 of node n0 is not there");
    assert_eq!(message(BindingData::default()), "x: it is bound to nothing");
    let nothing = binding_data::Value::Scalar(crate::idl::core::Scalar::default());
    assert!(message(data(nothing)).contains("holds nothing"));
    let nowhere = Binding { var: "y".to_owned(), binding: None };
    let error = resolve(&[nowhere], |_, _| None).unwrap_err();
    assert_eq!(error.to_string(), "y: it is bound to nothing");
    assert!(!error.node_error().recoverable);
    let offloaded = binding_data::Value::OffloadedMetadata(LiteralOffloadedMetadata::default());
    assert!(message(data(offloaded)).contains("_F_L_MIN_SIZE_MB"));
    let mut deep = constant(make::integer(1));
    for _ in 0..200 {
        deep = list(vec![deep]);
    }
    assert!(message(deep).contains("too deep"));
}

#[test]
fn paths_through_lists_and_dictionaries() {
    let nested = text(serde_json::json!({"a": [[1, 2], [3]], "7": [[4]]}), "map[[[int]]]");
    let outputs = [("n0", "o0", nested)];
    let at = |path: &[Step]| one(part("n0", "o0", path), &outputs);
    assert_eq!(at(&[Step::Name("a"), Step::Place(0), Step::Place(1)]), Ok(make::integer(2)));
    assert_eq!(at(&[Step::Name("a"), Step::Place(-1), Step::Place(0)]), Ok(make::integer(3)));
    assert_eq!(at(&[Step::Place(7), Step::Place(0), Step::Place(0)]), Ok(make::integer(4)));
    let problem = |path: &[Step]| at(path).unwrap_err().problem;
    assert_eq!(problem(&[Step::Name("b")]), "output o0 of node n0[\"b\"]: it has no such key");
    assert_eq!(problem(&[Step::Name("a"), Step::Place(2)]), "output o0 of node n0[\"a\"][2]: it has 2 elements");
    assert!(problem(&[Step::Name("a"), Step::Name("b")]).contains("it is a list"));
    assert!(problem(&[Step::Name("a"), Step::Place(0), Step::Place(0), Step::Place(0)]).contains("plain value"));
    let nothing = PromiseAttribute { value: None };
    let (node_id, var) = ("n0".to_owned(), "o0".to_owned());
    let promise = OutputReference { node_id, var, attr_path: vec![nothing] };
    let error = one(data(binding_data::Value::Promise(promise)), &outputs).unwrap_err();
    assert!(error.problem.contains("neither a name nor a number"), "{error}");
}

#[test]
fn unions_are_looked_into() {
    let inner = text(serde_json::json!([1, 2]), "[int]");
    let union = make::union(make::union(inner, parse_type("[int]").unwrap()), parse_type("[int]?").unwrap());
    let outputs = [("n0", "o0", union.clone())];
    assert_eq!(one(part("n0", "o0", &[Step::Place(1)]), &outputs), Ok(make::integer(2)));
    assert_eq!(one(promise("n0", "o0"), &outputs), Ok(union), "without a path it stays as it is");
}

#[test]
fn a_list_has_elements_also_in_messagepack() {
    let packed = |bytes: &[u8]| make::binary(bytes.to_vec(), "msgpack");
    assert_eq!(elements(&packed(b"\x92\xa1a\x03")), Some(vec![packed(b"\xa1a"), packed(&[3])]));
    assert_eq!(elements(&packed(&[0x90])), Some(vec![]));
    assert_eq!(elements(&make::collection(vec![make::integer(1)])), Some(vec![make::integer(1)]));
    // Its length is not believed: nothing is set aside for elements that are not there.
    for none in [packed(&[3]), packed(&[0x92, 1]), packed(&[0xdd, 0xff, 0xff, 0xff, 0xff]), make::integer(1)] {
        assert_eq!(elements(&none), None, "{none:?}");
    }
    assert_eq!(elements(&make::binary(vec![0x90], "cbor")), None);
}

/// As msgpack writes `{"count": 3, "inner": {"label": "xxx", "sizes": [3, 4]}}`.
fn dataclass() -> Literal {
    let mut bytes = b"\x82\xa5count\x03\xa5inner\x82\xa5label\xa3xxx\xa5sizes".to_vec();
    bytes.extend([0x92, 3, 4]);
    make::binary(bytes, "msgpack")
}

#[test]
fn parts_of_a_dataclass_stay_messagepack() {
    let outputs = [("n0", "o0", make::dictionary([("k".to_owned(), dataclass())]))];
    let at = |path: &[Step]| one(part("n0", "o0", path), &outputs);
    let packed = |bytes: &[u8]| Ok(make::binary(bytes.to_vec(), "msgpack"));
    assert_eq!(at(&[Step::Name("k"), Step::Name("count")]), packed(&[3]));
    assert_eq!(at(&[Step::Name("k"), Step::Name("inner"), Step::Name("label")]), packed(b"\xa3xxx"));
    let sizes = [Step::Name("k"), Step::Name("inner"), Step::Name("sizes"), Step::Place(1)];
    assert_eq!(at(&sizes), packed(&[4]));
    assert_eq!(at(&sizes[..3]), packed(&[0x92, 3, 4]));
    assert_eq!(at(&sizes[..1]), Ok(dataclass()));
    let error = at(&[Step::Name("k"), Step::Name("inner"), Step::Name("nope")]).unwrap_err();
    assert_eq!(error.problem, "output o0 of node n0[\"k\"][\"inner\"][\"nope\"]: it has no such key");
    let other = [("n0", "o0", make::binary(vec![1], "cbor"))];
    assert!(one(part("n0", "o0", &[Step::Name("a")]), &other).unwrap_err().problem.contains("\"cbor\""));
}

#[test]
fn parts_of_a_struct_become_literals() {
    let value = |kind| Value { kind: Some(kind) };
    let numbers = ListValue { values: vec![value(Kind::NumberValue(1.0)), value(Kind::StringValue("b".to_owned()))] };
    let inner = Struct { fields: [("l".to_owned(), value(Kind::ListValue(numbers)))].into() };
    let fields = [
        ("s".to_owned(), value(Kind::StructValue(inner.clone()))),
        ("b".to_owned(), value(Kind::BoolValue(true))),
        ("n".to_owned(), value(Kind::NullValue(0))),
    ];
    let outputs = [("n0", "o0", make::scalar(scalar::Value::Generic(Struct { fields: fields.into() })))];
    let at = |path: &[Step]| one(part("n0", "o0", path), &outputs);
    assert_eq!(at(&[Step::Name("s")]), Ok(make::scalar(scalar::Value::Generic(inner))));
    let both = make::collection(vec![make::float(1.0), make::string("b")]);
    assert_eq!(at(&[Step::Name("s"), Step::Name("l")]), Ok(both));
    assert_eq!(at(&[Step::Name("s"), Step::Name("l"), Step::Place(-1)]), Ok(make::string("b")));
    assert_eq!(at(&[Step::Name("b")]), Ok(make::boolean(true)));
    assert_eq!(at(&[Step::Name("n")]), Ok(make::none()));
    assert!(at(&[Step::Name("q")]).unwrap_err().problem.contains("[\"q\"]: it has no such key"));
    assert!(at(&[Step::Name("b"), Step::Place(0)]).unwrap_err().problem.contains("no attribute of this kind"));
}

#[test]
fn an_offloaded_value_has_no_parts() {
    let elsewhere = literal::Value::OffloadedMetadata(LiteralOffloadedMetadata::default());
    let outputs = [("n0", "o0", make::of(elsewhere))];
    assert!(one(part("n0", "o0", &[Step::Place(0)]), &outputs).unwrap_err().problem.contains("offloaded"));
    let empty = [("n0", "o0", Literal::default())];
    assert!(one(part("n0", "o0", &[Step::Place(0)]), &empty).unwrap_err().problem.contains("no value"));
}

#[test]
fn references_are_gathered_by_node() {
    let bindings = bound(vec![
        ("a", promise("n0", "o0")),
        ("b", list(vec![promise("", "x"), dict(vec![("k", part("n0", "o1", &[Step::Place(0)]))])])),
        ("c", constant(make::integer(1))),
        ("d", promise("start-node", "y")),
    ]);
    let found = references(&bindings);
    let found: Vec<(&str, Vec<&str>)> =
        found.iter().map(|(node, vars)| (node.as_str(), vars.iter().map(String::as_str).collect())).collect();
    assert_eq!(found, [("", vec!["x", "y"]), ("n0", vec!["o0", "o1"])]);
}
