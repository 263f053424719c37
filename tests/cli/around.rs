//! The commands around `run`.

use serde_json::{Value, json};

use super::place::Place;

fn one_that_failed_in_part() -> (Place, String) {
    let place = Place::new();
    place
        .run([
            "run",
            "--map",
            "x=[0,1,2]",
            "--min-success-ratio",
            "0.6",
            "--output",
            "o0:integer",
            "--",
            "sh",
            "-c",
            "echo working on $1 >&2; test $1 != 1 && echo $1",
            "sh",
            "{{.inputs.x}}",
        ])
        .exits(0);
    let id = place.ids().remove(0);
    (place, id)
}

#[test]
fn status_list_outputs_and_logs_read_what_is_on_disk() {
    let (place, id) = one_that_failed_in_part();
    let status = place.run(["status"]).exits(0);
    assert!(
        status.out.contains(&id) && status.out.contains("succeeded") && status.out.contains("1 failed"),
        "{}",
        status.out
    );
    let status = place.run(["status", &id, "--format", "json"]).exits(0).json();
    assert_eq!(status["summary"]["phase"], "succeeded");
    assert_eq!(status["summary"]["failures"][0]["indices"], "[1]");
    assert!(place.run(["list"]).exits(0).out.contains(&id));
    assert_eq!(place.run(["outputs", &id]).exits(0).json(), json!([0, null, 2]));
    assert_eq!(place.run(["outputs", &id, "--format", "jsonl"]).exits(0).out, "0\nnull\n2\n");
    let log = place.run(["logs", &id, "1"]).exits(0);
    assert!(log.out.contains("working on 1"), "{}", log.out);
    place.run(["wait", &id]).exits(0);
}

#[test]
fn a_beginning_of_an_id_is_enough() {
    let (place, id) = one_that_failed_in_part();
    place.run(["outputs", &id[..12]]).exits(0);
    place.run(["outputs", "nope"]).exits(2).says(&["\"nope\"", "no such execution", &id]);
    place.run(["logs", &id, "3"]).exits(2).says(&["INDEX is 3", "0 to 2"]);
    place.run(["logs", &id, "0", "--attempt", "9"]).exits(2).says(&["--attempt is 9"]);
}

#[test]
fn commands_that_read_leave_no_trace_where_nothing_ran() {
    let place = Place::new();
    for command in ["list", "status", "outputs", "wait"] {
        place.run([command]).exits(2).says(&["batchmap run"]);
    }
    assert!(!place.path(".batchmap").exists());
}

#[test]
fn plan_tells_and_sends_nothing() {
    let place = Place::new();
    let list: Vec<u32> = (0..25_000).collect();
    place.write("x.json", &serde_json::to_string(&list).unwrap());
    let plan = place.run(["plan", "--map", "x=@x.json", "--format", "json", "--", "true"]).exits(0).json();
    assert_eq!(plan["subtasks"], 25_000);
    assert_eq!(plan["arrays_at_once"], json!([10_000, 10_000, 5_000]));
    assert_eq!(plan["submit_calls_at_most"], 3);
    assert!(place.ids().is_empty());
}

#[test]
fn the_schema_is_json() {
    let schema: Value = Place::new().run(["schema"]).exits(0).json();
    assert!(schema["properties"]["command"].is_object(), "{schema:#}");
}

#[test]
fn help_and_version_are_no_errors() {
    let place = Place::new();
    assert!(place.run(["--help"]).exits(0).out.contains("Exit codes"));
    assert!(place.run(["--version"]).exits(0).out.starts_with("batchmap "));
    place.run(["no-such-command"]).exits(2);
    place.run(Vec::<&str>::new()).exits(2);
}
