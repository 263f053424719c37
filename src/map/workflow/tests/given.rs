//! What an execution is given.

use crate::idl::core::parameter::Behavior;
use crate::idl::core::{
    BlobType, Literal, LiteralMap, LiteralOffloadedMetadata, Parameter, ParameterMap, Variable, literal,
};
use crate::idl::make;
use crate::idl::types::parse_type;
use crate::map::workflow::inputs;

fn parameter(kind: &str, behavior: Option<Behavior>) -> Parameter {
    let var = Variable { r#type: Some(parse_type(kind).unwrap()), ..Variable::default() };
    Parameter { var: Some(var), behavior }
}

fn expected(parameters: Vec<(&str, Parameter)>) -> ParameterMap {
    ParameterMap { parameters: parameters.into_iter().map(|(name, it)| (name.to_owned(), it)).collect() }
}

fn map(literals: Vec<(&str, Literal)>) -> LiteralMap {
    LiteralMap { literals: literals.into_iter().map(|(name, it)| (name.to_owned(), it)).collect() }
}

#[test]
fn the_callers_the_defaults_and_the_fixed_ones() {
    let expected = expected(vec![
        ("a", parameter("int", Some(Behavior::Required(true)))),
        ("b", parameter("str", Some(Behavior::Default(make::string("d"))))),
        ("c", parameter("float", Some(Behavior::Default(make::float(1.0))))),
        ("o", parameter("int?", Some(Behavior::Required(false)))),
    ]);
    let given = map(vec![("a", make::integer(1)), ("c", make::float(2.0))]);
    let fixed = map(vec![("f", make::boolean(true))]);
    let all = map(vec![
        ("a", make::integer(1)),
        ("b", make::string("d")),
        ("c", make::float(2.0)),
        ("f", make::boolean(true)),
    ]);
    assert_eq!(inputs(&given, &expected, &fixed), Ok(all));
}

#[test]
fn everything_wrong_is_told_at_once() {
    let expected = expected(vec![
        ("a", parameter("int", Some(Behavior::Required(true)))),
        ("size", parameter("int", None)),
        ("c", parameter("[int]", None)),
        ("m", parameter("map[[str]]", None)),
    ]);
    let numbers = make::collection(vec![make::integer(1), make::string("x")]);
    let words = make::dictionary([("k".to_owned(), make::collection(vec![make::none()]))]);
    let given = map(vec![("sise", make::integer(1)), ("c", numbers), ("m", words), ("f", make::integer(1))]);
    let fixed = map(vec![("f", make::integer(2))]);
    let message = inputs(&given, &expected, &fixed).unwrap_err().to_string();
    for words in [
        "inputs.sise: there is no such input; did you mean \"size\"?",
        "inputs.f: the launch plan fixes it to another value",
        "inputs.a: it is missing; give it a value of type integer; it has no default",
        "inputs.size: it is missing",
        "inputs.c: [1]: it is a string; expected integer; give it a value of type [integer]",
        "inputs.m: [\"k\"]: [0]: it is none; expected string",
    ] {
        assert!(message.contains(words), "{words}\n\n{message}");
    }
    assert_eq!(message.lines().count(), 6, "{message}");
}

#[test]
fn a_fixed_input_may_be_given_as_it_is_and_wins_over_a_default() {
    let expected = expected(vec![("a", parameter("int", Some(Behavior::Default(make::integer(1)))))]);
    let fixed = map(vec![("a", make::integer(2))]);
    assert_eq!(inputs(&LiteralMap::default(), &expected, &fixed), Ok(fixed.clone()));
    assert_eq!(inputs(&fixed, &expected, &fixed), Ok(fixed.clone()));
}

/// Whether a value of this kind may be given for an input of that type.
fn takes(kind: &str, literal: Literal) -> Result<(), String> {
    let expected = expected(vec![("a", parameter(kind, None))]);
    let given = map(vec![("a", literal)]);
    inputs(&given, &expected, &LiteralMap::default()).map(|_| ()).map_err(|faults| faults.to_string())
}

#[test]
fn values_are_taken_where_flytekit_takes_them() {
    let file = |format: &str| make::blob(&BlobType { format: format.to_owned(), dimensionality: 0 }, "s3://b/k");
    let directory = make::blob(&BlobType { format: String::new(), dimensionality: 1 }, "s3://b/k");
    let packed = make::binary(vec![1], "msgpack");
    let of = |value, variant: &str| make::union(value, parse_type(variant).unwrap());
    for (kind, literal) in [
        ("float", make::integer(1)),
        ("int", make::float(3.0)),
        ("int?", make::none()),
        ("int?", make::integer(1)),
        ("int?", of(make::integer(1), "int")),
        ("int", of(make::integer(1), "int")),
        ("enum[a,b]", make::string("b")),
        ("struct", packed.clone()),
        ("int", packed.clone()),
        ("[int]", packed.clone()),
        ("binary", make::binary(vec![1], "cbor")),
        ("file[csv]", file("")),
        ("file", file("csv")),
        ("[int]|str", make::collection(vec![make::integer(1)])),
        ("[int?]", make::collection(vec![make::none()])),
        ("[int]", make::collection(Vec::new())),
    ] {
        assert_eq!(takes(kind, literal.clone()), Ok(()), "{kind}: {literal:?}");
    }
    for (kind, literal, words) in [
        ("int", make::float(3.5), "it is a float; expected integer"),
        ("int", make::boolean(true), "it is a boolean"),
        ("int?", make::string("1"), "it is a string; expected integer"),
        ("int|bool", make::string("1"), "it is a string; expected integer|boolean"),
        ("str", make::none(), "it is none; expected string"),
        ("str", of(make::integer(1), "int"), "it is an integer; expected string"),
        ("enum[a,b]", make::string("c"), "\"c\" is none of a, b"),
        ("enum[a,b]", make::integer(1), "it is an integer"),
        ("struct", make::binary(vec![1], "cbor"), "it is a binary"),
        ("file", packed, "it is a binary"),
        ("file", directory, "it is a directory; expected file"),
        ("file[csv]", file("txt"), "it is a file; expected file[csv]"),
        ("[int]|str", make::collection(vec![make::string("x")]), "it is a list; expected [integer]|string"),
        ("[int]", make::integer(1), "it is an integer; expected [integer]"),
        ("map[int]", make::collection(Vec::new()), "it is a list; expected map[integer]"),
        ("int", Literal::default(), "it has no value"),
        ("int", make::of(literal::Value::OffloadedMetadata(LiteralOffloadedMetadata::default())), "offloaded"),
    ] {
        let message = takes(kind, literal.clone()).unwrap_err();
        assert!(message.contains(words), "{kind}, {literal:?}: {message}");
    }
}
