//! The examples of Flyte's page on map tasks, each against its own local run.

use serde_json::{Value, json};

use crate::server::{SUCCEEDED, Server};

/// Asserts that a workflow gave what its local run gave.
#[track_caller]
pub fn agrees<'a>(said: &'a Value, name: &str) -> &'a Value {
    let of = &said[name];
    assert_eq!(of["phase"], SUCCEEDED, "{name}: {of:#}");
    assert_eq!(of["remote"], of["local"], "{name}: {of:#}");
    &of["remote"]
}

#[test]
fn every_example_of_the_page_gives_what_its_local_run_gives_and_maps_are_one_array_each() {
    let Some(server) = Server::shared() else { return };
    let names = ["plain", "resources", "metadata", "ratio", "constants", "task_output", "lists"];
    let said = server.client("compare.py", &[&["page"], names.as_slice()].concat()).json();
    assert_eq!(agrees(&said, "plain"), &json!([[false, true, false]]));
    assert_eq!(agrees(&said, "resources"), &json!(["345"]));
    assert_eq!(agrees(&said, "metadata"), &json!([["kept 1", "kept 2", "kept 3"]]));
    assert_eq!(agrees(&said, "ratio"), &json!([["ok 2", null, "ok 4", "ok 5"]]));
    assert_eq!(agrees(&said, "constants"), &json!([[42.0, 84.0, 126.0]]));
    assert_eq!(agrees(&said, "task_output"), &json!([[42.0, 84.0, 126.0]]));
    assert_eq!(agrees(&said, "lists"), &json!([[3.0, 10.0, 42.0]]));
    // What AWS Batch was given: an array for each map, a plain job for each task.
    for name in ["plain", "metadata", "constants", "lists"] {
        assert_eq!(said[name]["jobs"], json!({"n0": [3]}), "{name}");
    }
    assert_eq!(said["resources"]["jobs"], json!({"n0": [3], "n1": [0]}));
    assert_eq!(said["task_output"]["jobs"], json!({"n0": [0], "n1": [3]}));
}
