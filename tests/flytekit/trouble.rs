//! Failures, retries, the cache and checkpoints, as flytekit's users meet them.

use serde_json::json;

use crate::server::{FAILED, Ran, SUCCEEDED, Server};

#[test]
fn failures_are_told_retries_go_on_and_what_is_cached_is_not_run_again() {
    let Some(server) = Server::shared() else { return };
    let folder = server.traces("trouble");
    let said = server.client("trouble.py", &[&folder]).json();

    let failing = &said["failing"];
    assert_eq!(failing["phase"], FAILED, "{failing:#}");
    let message = failing["error"]["message"].as_str().unwrap();
    assert!(message.contains("2 is not to my taste") && message.contains("[1]"), "{message}");
    assert_eq!(failing["error"]["kind"], 1, "it is the user's: {failing:#}");

    for (name, outputs) in [
        ("retried", json!([[10, 20]])),
        ("checkpoints", json!([[101, 102]])),
        ("cached", json!([[2, 3, 4]])),
        ("cached again", json!([[2, 3, 4]])),
        ("cached in part", json!([[4, 5]])),
        ("overwritten", json!([[4, 5]])),
    ] {
        assert_eq!(said[name]["phase"], SUCCEEDED, "{name}: {:#}", said[name]);
        assert_eq!(said[name]["remote"], outputs, "{name}");
    }
    assert_eq!(said["cached"]["jobs"], json!({"n0": [3]}));
    assert_eq!(said["cached again"]["jobs"], json!({"n0": []}), "nothing is submitted");
    assert_eq!(said["cached in part"]["jobs"], json!({"n0": [0]}), "only the element that is new");
    assert_eq!(said["overwritten"]["jobs"], json!({"n0": [2]}));
    assert_eq!(
        said["traces"],
        json!({"second-1": 2, "second-2": 2, "counted-1": 1, "counted-2": 1, "counted-3": 2, "counted-4": 2})
    );
}

#[test]
fn pyflyte_says_why_a_task_has_failed_and_exits_with_255() {
    let Some(server) = Server::shared() else { return };
    let args = ["run", "--remote", "--wait", "--poll-interval", "1", "trouble.py", "failing_alone", "--a", "2"];
    let ran = Ran::of(server.pyflyte(&args).output().unwrap()).exits(255);
    let all = format!("{}{}", ran.out, ran.err);
    assert!(all.contains("2 is not to my taste"), "{all}");
    assert!(all.contains("FAILED"), "{all}");
}
