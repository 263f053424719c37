//! batchmap's messages are flyteidl's: what flytekit wrote is read and written again to the byte, and what batchmap
//! writes is read by flyteidl itself.
//!
//! The last needs a Python with `flyteidl`: named by `BATCHMAP_TEST_PYTHON`, else `python3`. Without it the test says
//! that it is skipped, and the JSON that flyteidl made of the same bytes before stands in for it. `BATCHMAP_BLESS=1`
//! writes the files under `tests/fixtures/wire` anew.

#[path = "support/skip.rs"]
mod skip;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use batchmap::idl::core::{
    ContainerError, ErrorDocument, Literal, LiteralMap, LiteralType, TypedInterface, Variable, VariableMap,
};
use batchmap::idl::json::{literal_from_json, literal_to_json};
use batchmap::idl::make;
use batchmap::idl::types::{parse_type, type_name};
use batchmap::map::pack::{IndexEntry, PackBuilder, Pushed, decode_element, decode_head};
use prost::Message;
use serde_json::{Value, json};
use skip::skipped;

/// Just enough of flyteidl's task to reach its interface; the rest is skipped, as the wire format allows.
#[derive(Clone, PartialEq, Message)]
struct TaskSpec {
    #[prost(message, optional, tag = "1")]
    template: Option<TaskTemplate>,
}

#[derive(Clone, PartialEq, Message)]
struct TaskTemplate {
    #[prost(message, optional, tag = "4")]
    interface: Option<TypedInterface>,
}

fn fixtures(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// Every file called `name` that flytekit wrote, with the example it belongs to.
fn written_by_flytekit(name: &str) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for example in fs::read_dir(fixtures("flytekit")).unwrap() {
        let path = example.unwrap().path();
        if let Ok(bytes) = fs::read(path.join(name)) {
            found.push((path.file_name().unwrap().to_string_lossy().into_owned(), bytes));
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no {name} among the fixtures");
    found
}

fn json_file(path: PathBuf) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// A literal from protobuf's JSON form, in which flytekit's inputs are written down beside their bytes.
fn literal_of(proto: &Value) -> Literal {
    let (kind, value) = proto.as_object().unwrap().iter().next().expect("a literal has a value");
    match kind.as_str() {
        "collection" => make::collection(
            value.get("literals").map_or(vec![], |list| list.as_array().unwrap().iter().map(literal_of).collect()),
        ),
        "map" => make::dictionary(literals_of(value)),
        "scalar" => scalar_of(value),
        other => panic!("{other}"),
    }
}

fn scalar_of(proto: &Value) -> Literal {
    let (kind, value) = proto.as_object().unwrap().iter().next().unwrap();
    let typed = |value: &Value, name: &str| literal_from_json(value, &parse_type(name).unwrap()).unwrap();
    match kind.as_str() {
        "none_type" => make::none(),
        "generic" => typed(value, "struct"),
        "binary" => typed(&json!({"binary": value["value"], "tag": value["tag"]}), "binary"),
        "blob" => {
            let format = value["metadata"]["type"]["format"].as_str().unwrap_or_default();
            typed(&value["uri"], &format!("file[{format}]"))
        }
        "union" => make::union(literal_of(&value["value"]), parse_type(simple_name(&value["type"])).unwrap()),
        "primitive" => {
            let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
            match kind.as_str() {
                "integer" => make::integer(value.as_str().unwrap().parse().unwrap()),
                "float_value" => typed(value, "float"),
                "string_value" => typed(value, "string"),
                name => typed(value, name),
            }
        }
        other => panic!("{other}"),
    }
}

fn simple_name(proto: &Value) -> &'static str {
    match proto["simple"].as_str() {
        Some("INTEGER") => "integer",
        Some("FLOAT") => "float",
        Some("STRING") => "string",
        Some("BOOLEAN") => "boolean",
        Some("STRUCT") => "struct",
        Some("NONE") => "none",
        other => panic!("{other:?}"),
    }
}

fn literals_of(proto: &Value) -> BTreeMap<String, Literal> {
    let Some(literals) = proto.get("literals") else { return BTreeMap::new() };
    literals.as_object().unwrap().iter().map(|(name, literal)| (name.clone(), literal_of(literal))).collect()
}

#[test]
fn flytekits_inputs_are_read_as_it_wrote_them_down() {
    for (example, bytes) in written_by_flytekit("inputs.pb") {
        let read = LiteralMap::decode(bytes.as_slice()).unwrap();
        let written_down = json_file(fixtures("flytekit").join(&example).join("inputs.json"));
        assert_eq!(read.literals, literals_of(&written_down), "{example}");
    }
}

#[test]
fn flytekits_values_are_written_again_to_the_byte() {
    for name in ["inputs.pb", "assembled_outputs.pb"] {
        for (example, bytes) in written_by_flytekit(name) {
            let read = LiteralMap::decode(bytes.as_slice()).unwrap();
            assert_eq!(read.encode_to_vec(), bytes, "{example}/{name}");
        }
    }
}

#[test]
fn a_childs_outputs_are_read() {
    let expected = json_file(fixtures("flytekit/two_outputs/expected_outputs.json"));
    let hex = expected["outputs_hex"].as_str().unwrap();
    let bytes: Vec<u8> =
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
    let read = LiteralMap::decode(bytes.as_slice()).unwrap();
    assert_eq!(read.literals, literals_of(&expected["outputs"]));
    assert_eq!(read.encode_to_vec(), bytes);
    // No outputs are no bytes.
    assert!(LiteralMap::default().encode_to_vec().is_empty());
}

#[test]
fn flytekits_outputs_in_json() {
    let outputs = |example: &str| {
        let bytes = fs::read(fixtures("flytekit").join(example).join("assembled_outputs.pb")).unwrap();
        literal_to_json(&LiteralMap::decode(bytes.as_slice()).unwrap().literals["o0"])
    };
    let anomalies = json!([false, true, false, false, true, true, true, false, true, false]);
    assert_eq!(outputs("detect_anomalies"), anomalies);
    assert_eq!(outputs("partial_const"), json!([42.0, 84.0, 126.0, 168.0, 210.0]));
    assert_eq!(outputs("fail_user"), json!([null, null]));
}

#[test]
fn flytekits_interfaces_are_read() {
    for (example, bytes) in written_by_flytekit("task.pb") {
        let interface = TaskSpec::decode(bytes.as_slice()).unwrap().template.unwrap().interface.unwrap();
        let written_down = json_file(fixtures("flytekit").join(&example).join("task.json"));
        let written_down = &written_down["template"]["interface"];
        for (side, variables) in [("inputs", &interface.inputs), ("outputs", &interface.outputs)] {
            let read = variables.iter().flat_map(|map| &map.variables);
            let read: BTreeMap<&str, String> =
                read.map(|(name, variable)| (name.as_str(), type_name(variable.r#type.as_ref().unwrap()))).collect();
            let expected = written_down[side].get("variables").and_then(Value::as_object);
            let expected: BTreeMap<&str, String> =
                expected.into_iter().flatten().map(|(name, v)| (name.as_str(), proto_type_name(&v["type"]))).collect();
            assert_eq!(read, expected, "{example} {side}");
        }
    }
}

fn proto_type_name(proto: &Value) -> String {
    if let Some(element) = proto.get("collection_type") {
        return format!("[{}]", proto_type_name(element));
    }
    if let Some(variants) = proto.get("union_type") {
        let [value, none] = variants["variants"].as_array().unwrap().as_slice() else { panic!("{variants}") };
        assert_eq!(simple_name(none), "none");
        return format!("{}?", proto_type_name(value));
    }
    if proto.get("blob").is_some() { "file".to_owned() } else { simple_name(proto).to_owned() }
}

/// One value of every type, by the name of its type.
fn one_of_each() -> BTreeMap<String, (LiteralType, Literal)> {
    let values = [
        ("integer", json!(-11)),
        ("float", json!(6.0)),
        ("string", json!("\u{e9}t\u{e9}\n")),
        ("boolean", json!(false)),
        ("datetime", json!("2026-01-31T12:00:00.25Z")),
        ("duration", json!("-1.5s")),
        ("struct", json!({"a": [1, null, {"b": true}], "c": "d"})),
        ("binary", json!({"binary": "AAEC/w==", "tag": "msgpack"})),
        ("none", json!(null)),
        ("file[csv]", json!("s3://bucket/key.csv")),
        ("[integer]", json!([])),
        ("map[string]", json!({"k": ""})),
        ("integer|string|none", json!("s")),
    ];
    let typed = |(name, value): (&str, Value)| {
        let literal_type = parse_type(name).unwrap();
        let literal = literal_from_json(&value, &literal_type).unwrap();
        (name.to_owned(), (literal_type, literal))
    };
    values.into_iter().map(typed).collect()
}

fn pack() -> batchmap::map::pack::Pack {
    let bound = one_of_each().into_iter().map(|(name, (_, literal))| (name, literal)).collect();
    let mut builder = PackBuilder::new(&bound, &["x".to_owned(), "y".to_owned()]).unwrap();
    for at in 0..20_i64 {
        let element = [make::integer(at), make::string("long ".repeat(at as usize))];
        assert_eq!(builder.try_push(&element), Ok(Pushed::Added));
    }
    builder.finish().unwrap()
}

fn interface() -> TypedInterface {
    let variable = |(name, (literal_type, _)): (String, (LiteralType, Literal))| {
        (name, Variable { r#type: Some(literal_type), ..Variable::default() })
    };
    let variables = VariableMap { variables: one_of_each().into_iter().map(variable).collect() };
    TypedInterface { inputs: Some(variables.clone()), outputs: Some(variables) }
}

fn error_document() -> ErrorDocument {
    ErrorDocument {
        error: Some(ContainerError {
            code: "USER:Recoverable".to_owned(),
            message: "try again".to_owned(),
            kind: batchmap::idl::core::container_error::Kind::Recoverable.into(),
            origin: batchmap::idl::core::execution_error::ErrorKind::User.into(),
            timestamp: Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 0 }),
            worker: "job-1".to_owned(),
        }),
    }
}

/// Compares with the file under `tests/fixtures/wire`, or writes it.
fn assert_golden(name: &str, found: &[u8]) {
    let path = fixtures("wire").join(name);
    if std::env::var_os("BATCHMAP_BLESS").is_some() {
        fs::write(&path, found).unwrap();
    }
    assert!(fs::read(&path).unwrap() == found, "{name} differs; BATCHMAP_BLESS=1 writes it anew");
}

#[test]
fn the_golden_pack() {
    let pack = pack();
    assert_golden("pack.pb", &pack.body);
    assert_golden("pack.idx", &pack.index);
    let entry = IndexEntry::parse(&pack.index[19 * 20..], 2).unwrap();
    let expected: BTreeMap<_, _> = one_of_each().into_iter().map(|(name, (_, literal))| (name, literal)).collect();
    assert_eq!(decode_head(&pack.body[..entry.head_len as usize]), Ok(expected));
    let run = entry.runs[0].start as usize..entry.runs[0].end as usize;
    assert_eq!(decode_element(&pack.body[run]), Ok(make::integer(19)));
}

#[test]
fn flyteidl_read_the_golden_pack_as_it_was_meant() {
    let read_by_flyteidl = literals_of(&json_file(fixtures("wire/pack.json")));
    assert_eq!(LiteralMap::decode(pack().body).unwrap().literals, read_by_flyteidl);
}

#[test]
fn flyteidl_reads_what_batchmap_writes() {
    let python = std::env::var("BATCHMAP_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let probe = Command::new(&python).args(["-c", "import flyteidl.core.literals_pb2"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        skipped(&format!("{python} has no flyteidl (name one that has by BATCHMAP_TEST_PYTHON)"));
        return;
    }
    let messages: [(&str, &str, &str, Vec<u8>); 3] = [
        ("pack", "literals_pb2", "LiteralMap", pack().body.to_vec()),
        ("interface", "interface_pb2", "TypedInterface", interface().encode_to_vec()),
        ("error", "errors_pb2", "ErrorDocument", error_document().encode_to_vec()),
    ];
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/flyteidl_json.py");
    for (name, module, message, bytes) in messages {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        let output = Command::new(&python).arg(&script).args([module, message]).arg(file.path()).output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        assert_golden(&format!("{name}.json"), &output.stdout);
    }
}

#[test]
fn flyteidl_read_the_other_messages_as_they_were_meant() {
    let error = json_file(fixtures("wire/error.json"));
    let expected = json!({"code": "USER:Recoverable", "message": "try again", "kind": "RECOVERABLE", "origin": "USER",
        "timestamp": "2027-01-15T08:00:00Z", "worker": "job-1"});
    assert_eq!(error["error"], expected);
    let interface = json_file(fixtures("wire/interface.json"));
    let types: BTreeMap<&str, &Value> = interface["inputs"]["variables"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, v)| (name.as_str(), &v["type"]))
        .collect();
    assert_eq!(types.len(), one_of_each().len());
    assert_eq!(types["none"], &json!({"simple": "NONE"}));
    assert_eq!(types["file[csv]"], &json!({"blob": {"format": "csv"}}));
    assert_eq!(types["[integer]"], &json!({"collection_type": {"simple": "INTEGER"}}));
    assert_eq!(types["map[string]"], &json!({"map_value_type": {"simple": "STRING"}}));
    assert_eq!(types["integer|string|none"]["union_type"]["variants"][2], json!({"simple": "NONE"}));
}
