//! Values on their way between tasks, each workflow against its own local run.

use serde_json::json;

use crate::page::agrees;
use crate::server::Server;

#[test]
fn sums_attributes_dataclasses_files_sub_workflows_and_defaults_give_what_a_local_run_gives() {
    let Some(server) = Server::shared() else { return };
    let names =
        ["summed", "points", "attributes", "mapped_attribute", "files", "nested", "defaults", "no_outputs", "empty"];
    let said = server.client("compare.py", &[&["values"], names.as_slice()].concat()).json();
    assert_eq!(agrees(&said, "summed"), &json!([14]));
    assert_eq!(agrees(&said, "points")[0][1], json!({"x": 2.0, "y": 3.0, "label": "p1!"}));
    assert_eq!(agrees(&said, "attributes"), &json!(["3 b 1.5"]));
    assert_eq!(agrees(&said, "mapped_attribute"), &json!([["a!", "b!"]]));
    assert_eq!(agrees(&said, "files"), &json!([[3, 5]]));
    assert_eq!(agrees(&said, "nested"), &json!([5, 5]));
    assert_eq!(agrees(&said, "defaults"), &json!(["None 3", "given 2"]));
    assert_eq!(agrees(&said, "no_outputs"), &json!([]));
    assert_eq!(agrees(&said, "empty"), &json!([[]]));
    assert_eq!(said["summed"]["jobs"], json!({"n0": [3], "n1": [0]}));
    assert_eq!(said["empty"]["jobs"], json!({"n0": []}), "an empty list sends nothing");
}

#[test]
fn a_file_goes_in_and_one_comes_out() {
    let Some(server) = Server::shared() else { return };
    let said = server.client::<&str>("files.py", &[]).json();
    assert_eq!(said, json!({"phase": 4, "error": null, "remote": [11, {"file": "xxxx"}]}));
}
