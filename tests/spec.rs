//! Specs as a user writes them: what a good one says, and everything that is wrong with a bad one.

use std::collections::BTreeMap;
use std::time::Duration;

use batchmap::idl::types::{parse_type, type_name};
use batchmap::map::spec::{self, Faults};
use batchmap::map::task::{
    BoundSource, Cache, Completion, ConcurrencyMode, MapTask, MappedSource, MinSuccess, Policy, Resources, Source,
};
use serde_json::{Value, json};

fn read(document: Value) -> MapTask {
    spec::read(&document).unwrap_or_else(|faults| panic!("{faults}"))
}

fn faults(document: Value) -> Vec<String> {
    let faults = spec::read(&document).expect_err("the document has a fault");
    faults.to_string().lines().map(str::to_owned).collect()
}

/// A good document, to put one fault into.
fn good() -> Value {
    json!({"command": ["run", "{{.inputs.x}}"], "map": {"x": [1, 2]}})
}

/// The faults of the good document with `value` at `pointer` (missing objects are made).
fn with(pointer: &str, value: Value) -> Vec<String> {
    let mut document = good();
    let mut place = &mut document;
    for key in pointer.split('/') {
        place = &mut place[key];
    }
    *place = value;
    faults(document)
}

#[test]
fn the_least_that_says_a_task() {
    let task = read(good());
    assert_eq!(task.name, "run");
    assert_eq!(task.image, None);
    assert_eq!(task.mapped(), ["x"]);
    assert_eq!(task.inputs["x"].literal_type, None);
    assert_eq!(task.inputs["x"].source, Source::Mapped(MappedSource::Inline(vec![json!(1), json!(2)])));
    assert_eq!(task.outputs, BTreeMap::from([("o0".to_owned(), parse_type("string").unwrap())]));
    assert_eq!(task.policy, Policy::default());
    assert_eq!(task.resources, Resources::default());
}

#[test]
fn everything_that_a_spec_can_say() {
    let task = read(json!({
        "$schema": "./batchmap.schema.json",
        "name": "detect.anomalies",
        "image": "ghcr.io/me/detect:1",
        "command": ["python3", "detect.py", "{{.inputs.data_point}}", "{{.inputs.threshold}}"],
        "inputs": {"data_point": "float", "model": "file", "threshold": "integer"},
        "outputs": {"anomaly": "boolean", "score": "float"},
        "map": {"data_point": "@points.json", "line": "-", "far": "s3://bucket/a/b.jsonl"},
        "bind": {
            "threshold": 11, "model": "model.bin", "extra": "file:extra.csv", "at": "@@home",
            "earlier": "@20261122t203812-x", "one": "@20261122t203812-x/score", "deep": {"list": [1]}, "text": "a@b"
        },
        "policy": {
            "concurrency": 4, "concurrency_mode": "batches", "min_success_ratio": 0.75, "completion": "satisfied",
            "retries": 2, "timeout": "5m", "interruptible": true, "run_all_sub_nodes": true,
            "checkpoint": true,
            "cache": true, "cache_version": "1.0", "cache_ignore_inputs": ["line", "threshold"], "cache_overwrite": true,
            "cache_serialize": false,
            "deadline": "1h 30m"
        },
        "resources": {"cpu": "500m", "mem": "2Gi", "gpu": 1},
        "environment": {"MODE": "fast"},
        "input_dir": "/var/inputs",
        "output_dir": "/var/outputs"
    }));
    assert_eq!(task.name, "detect.anomalies");
    assert_eq!(task.image.as_deref(), Some("ghcr.io/me/detect:1"));
    assert_eq!(task.mapped(), ["data_point", "far", "line"]);
    let source = |name: &str| task.inputs[name].source.clone();
    assert_eq!(source("data_point"), Source::Mapped(MappedSource::File("points.json".into())));
    assert_eq!(source("line"), Source::Mapped(MappedSource::Stdin));
    let far = MappedSource::S3 { bucket: "bucket".into(), key: "a/b.jsonl".into() };
    assert_eq!(source("far"), Source::Mapped(far));
    let bound = |value: Value| Source::Bound(BoundSource::Value(value));
    assert_eq!(source("threshold"), bound(json!(11)));
    assert_eq!(source("model"), bound(json!("model.bin")));
    assert_eq!(source("extra"), bound(json!("extra.csv")));
    assert_eq!(type_name(task.inputs["extra"].literal_type.as_ref().unwrap()), "file");
    assert_eq!(source("at"), bound(json!("@home")));
    assert_eq!(source("deep"), bound(json!({"list": [1]})));
    assert_eq!(source("text"), bound(json!("a@b")));
    let earlier = |output: Option<&str>| {
        let id = "20261122t203812-x".to_owned();
        Source::Bound(BoundSource::Execution { id, output: output.map(str::to_owned) })
    };
    assert_eq!(source("earlier"), earlier(None));
    assert_eq!(source("one"), earlier(Some("score")));
    assert_eq!(task.policy.concurrency.map(u32::from), Some(4));
    assert_eq!(task.policy.concurrency_mode, ConcurrencyMode::Batches);
    assert_eq!(task.policy.min_success.of(9), 7);
    assert_eq!(task.policy.completion, Completion::Satisfied);
    assert_eq!(task.policy.timeout, Some(Duration::from_secs(300)));
    let ignored = ["line", "threshold"].map(str::to_owned).into();
    let cache = Cache { version: "1.0".to_owned(), ignored, overwrite: true, serialize: false, by_command: false };
    assert_eq!(task.policy.cache, Some(cache));
    assert_eq!(task.policy.deadline, Some(Duration::from_secs(5400)));
    assert_eq!(task.resources, Resources { cpu_milli: 500, memory_mib: 2048, gpus: 1 });
    assert_eq!(task.environment["MODE"], "fast");
}

#[test]
fn a_very_bad_spec_is_told_all_its_faults_at_once() {
    let text = r#"{
        "nam": "x", "name": "a b", "image": "", "command": ["run", "", 5, "{{.inputs.treshold}}"],
        "inputs": {"x": "intger", "y": "float", "9z": "integer", "n": "none", "typed": "boolean"},
        "outputs": {"out-put": "string", "o": "none"},
        "map": {"x": "points.json", "n": [null], "both": [1], "in1": "-", "in2": "-"},
        "bind": {"threshold": [1, 2], "both": 2, "both": 3, "y": "high", "e": "@points.json"},
        "policy": {
            "concurency": 1, "concurrency": -1, "concurrency_mode": "roling", "min_success_ratio": 1.5,
            "min_successes": 2.5, "completion": 1, "retries": 1000, "timeout": 0, "interruptible": "yes"
        },
        "resources": {"cpu": 0, "mem": "1Ki", "gpu": 99},
        "environment": {"": "x", "AWS_BATCH_X": "x", "BATCHMAP_PLACE": "x", "N": 5},
        "input_dir": "in",
        "output_dir": 7
    }"#;
    let faults = spec::task(Some(text), json!({}), Faults::default()).unwrap_err();
    insta::assert_snapshot!(faults);
}

#[test]
fn policy_at_its_edges() {
    let mut document = good();
    document["policy"] = json!({"concurrency": 0, "min_success_ratio": 0, "retries": 100, "timeout": 0.25});
    let policy = read(document).policy;
    assert_eq!(policy.concurrency, None, "0 is unbounded");
    assert_eq!(policy.min_success.of(10), 0);
    assert_eq!((policy.retries, policy.timeout), (100, Some(Duration::from_millis(250))));

    let mut document = good();
    document["policy"] = json!({"min_successes": 3});
    assert_eq!(read(document).policy.min_success, MinSuccess::Count(3));

    for (key, value, problem) in [
        ("concurrency", json!(-1), "is negative"),
        ("concurrency", json!(1.5), "is not a whole number"),
        ("concurrency", json!("4"), "is not a number"),
        ("concurrency", json!(4_294_967_296_u64), "is too large"),
        ("min_success_ratio", json!(1.0001), "is outside 0..1"),
        ("min_success_ratio", json!(-0.1), "is outside 0..1"),
        ("min_success_ratio", json!("NaN"), "is not a number"),
        ("min_successes", json!(-1), "is negative"),
        ("retries", json!(101), "is too large"),
        ("timeout", json!("0s"), "leaves no time"),
        ("timeout", json!(-5), "leaves no time"),
        ("timeout", json!("soon"), "is not a length of time"),
        ("deadline", json!(0), "leaves no time"),
        ("deadline", json!("-2h"), "is not a length of time"),
        ("deadline", json!("tomorrow"), "is not a length of time"),
        ("run_all_sub_nodes", json!(1), "is not true or false"),
        ("checkpoint", json!("yes"), "is not true or false"),
    ] {
        let found = with(&format!("policy/{key}"), value.clone());
        assert_eq!(found.len(), 1, "{found:?}");
        let start = format!("policy.{key} is {value}: {problem}");
        assert!(found[0].starts_with(&start) && found[0].contains("; "), "{found:?} should begin with {start}");
    }
}

#[test]
fn one_fault_each() {
    for (pointer, value, expected) in [
        ("command", json!([]), "command is []: is empty"),
        ("command", json!("echo hi"), r#"command is "echo hi": is not a list; write ["sh", "-c", "echo hi"]"#),
        ("command", json!(["a", "{{.inputs.y}}"]), "command is {{.inputs.y}}: names no input"),
        ("map", json!({}), "map: nothing is mapped"),
        ("map", json!([1]), "map is [1]: is not an object"),
        ("map/x", json!(7), "map.x is 7: is not a list"),
        ("map/x", json!("x.json"), "map.x is \"x.json\": is a string, not a list; give a list, \"@FILE\""),
        ("map/x", json!("s3://bucket"), "map.x is \"s3://bucket\": names no object"),
        ("map/x", json!("@"), "map.x is \"@\": names no file"),
        ("bind/x", json!(1), "bind.x is 1: x is mapped too"),
        ("bind/y", json!([1]), "bind.y is [1]: a list cannot be bound: every subtask shares a bound value whole"),
        ("bind/y", json!("@a/b/c"), "bind.y is \"@a/b/c\": names no earlier execution"),
        ("bind/y z", json!(1), "bind.y z: \"y z\" cannot name an input"),
        ("inputs/y", json!("integer"), "inputs.y: has a type but no values"),
        ("inputs/x", json!("intger"), "inputs.x is \"intger\": \"intger\" is no type; did you mean integer?"),
        ("outputs/o", json!(["string"]), "outputs.o is [\"string\"]: is not a type"),
        ("resources/cpu", json!(193), "resources.cpu is 193: is more than any machine has"),
        ("resources/mem", json!("25Ti"), "resources.mem is \"25Ti\": is more than any machine has"),
        ("resources/gpu", json!(17), "resources.gpu is 17: is too large"),
        ("resources/memory", json!("2Gi"), "resources.memory is \"2Gi\": is no key of a spec"),
        ("environment/A=B", json!("x"), "environment.A=B is \"x\": cannot name an environment variable"),
        ("input_dir", json!("./in"), "input_dir is \"./in\": is not absolute"),
        ("name", json!("-x"), "name is \"-x\": begins with neither"),
    ] {
        let found = with(pointer, value);
        // A command that no longer uses x, or a map without it, is nothing that another fault should be made of.
        assert!(found.len() == 1 || pointer == "map", "{found:?}");
        assert!(found[0].starts_with(expected), "{:?} should begin with {expected:?}", found[0]);
    }
}

#[test]
fn what_is_said_of_the_cache_must_make_sense() {
    let policy = |value: Value| with("policy", value);
    for (value, expected) in [
        (json!({"cache": true}), "policy.cache_version: is missing, and policy.cache needs one; name what the task"),
        (json!({"cache": true, "cache_version": ""}), "policy.cache_version is \"\": is empty"),
        (json!({"cache": true, "cache_version": 1}), "policy.cache_version is 1: is not a string"),
        (json!({"cache": "yes", "cache_version": "1"}), "policy.cache is \"yes\": is not true or false"),
        (
            json!({"cache": true, "cache_version": "1", "cache_ignore_inputs": ["y"]}),
            "policy.cache_ignore_inputs is \"y\": names no input; known are x.",
        ),
        (
            json!({"cache": true, "cache_version": "1", "cache_ignore_inputs": "x"}),
            "policy.cache_ignore_inputs is \"x\": is not a list of names",
        ),
        (json!({"cache_overwrite": true}), "policy.cache_overwrite: there is no cache; give policy.cache: true"),
        (json!({"cache_ignore_inputs": ["x"]}), "policy.cache_ignore_inputs: there is no cache"),
        (json!({"cache_version": "1"}), "policy.cache_version: there is no cache; give policy.cache: true"),
        (
            json!({"cache": true, "cache_version": "1", "cache_serialize": true, "cache_overwrite": true}),
            "policy.cache_serialize is true: cache_overwrite runs everything",
        ),
    ] {
        let found = policy(value);
        assert!(found.len() == 1 && found[0].starts_with(expected), "{found:?} should begin with {expected:?}");
    }
    let kept = json!({"cache": false, "cache_version": "1"});
    for fine in [kept, json!({"cache": false, "cache_overwrite": false})] {
        let mut document = good();
        document["policy"] = fine;
        assert_eq!(read(document).policy.cache, None);
    }
    let mut unnamed = good();
    unnamed["policy"] = json!({"cache": true, "cache_version": "1"});
    assert!(read(unnamed).policy.cache.unwrap().by_command, "its command stands for the name it has not");
}

#[test]
fn a_bound_value_is_held_against_its_type() {
    let mut document = good();
    document["inputs"] = json!({"n": "integer"});
    document["bind"] = json!({"n": "eleven"});
    let found = faults(document.clone());
    assert!(found.len() == 1 && found[0].starts_with("bind.n is \"eleven\": expected integer"), "{found:?}");
    document["bind"]["n"] = json!(11);
    read(document);
}

#[test]
fn a_string_with_a_file_prefix_stays_a_string_when_typed_so() {
    let mut document = good();
    document["inputs"] = json!({"s": "string"});
    document["bind"] = json!({"s": "file:x"});
    assert_eq!(read(document).inputs["s"].source, Source::Bound(BoundSource::Value(json!("file:x"))));
}

#[test]
fn the_same_directory_cannot_hold_inputs_and_outputs() {
    let mut document = good();
    document["input_dir"] = json!("/data");
    document["output_dir"] = json!("/data");
    assert_eq!(faults(document), ["output_dir is \"/data\": is the directory of the inputs too; give another one"]);
}

#[test]
fn a_spec_that_is_no_json_says_where() {
    let found = spec::task(Some("{\"command\": [\"a\",]}"), json!({}), Faults::default()).unwrap_err();
    assert_eq!(found.0.len(), 1);
    assert!(found.to_string().contains("line 1 column 18"), "{found}");
}

#[test]
fn the_schema_describes_every_key_and_both_forms_of_a_list() {
    let schema = spec::json_schema();
    insta::assert_json_snapshot!(schema["properties"]["map"]);
    for object in [&schema, &schema["$defs"]["Policy"], &schema["$defs"]["Resources"]] {
        for (key, property) in object["properties"].as_object().unwrap() {
            assert!(property["description"].is_string(), "{key} has no description");
        }
    }
    insta::assert_json_snapshot!(schema["$defs"]["Mapped"]);
}
