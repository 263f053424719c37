//! pyflyte's own commands: run, register, fetch, and what FlyteRemote shows of it all.

use serde_json::json;

use crate::server::{Ran, Server};

/// `pyflyte run --remote --wait` and what follows.
fn run(server: &Server, args: &[&str]) -> Ran {
    let all = [&["run", "--remote", "--wait", "--poll-interval", "1"], args].concat();
    Ran::of(server.pyflyte(&all).output().unwrap())
}

#[test]
fn pyflyte_runs_a_workflow_and_a_task_by_itself_and_fetches_what_they_left() {
    let Some(server) = Server::own() else { return };
    let ran = run(&server, &["--name", "first-run", "values.py", "summed", "--a", "[2, 3]"]).exits(0);
    assert!(format!("{}{}", ran.out, ran.err).contains("first-run"), "{}{}", ran.out, ran.err);
    run(&server, &["--name", "task-alone", "values.py", "square", "--a", "12"]).exits(0);

    for (address, file, holds) in [
        ("flyte://v1/flytesnacks/development/first-run/n1/o", "o0", "13"),
        ("flyte://v1/flytesnacks/development/task-alone/valuessquare/o", "o0", "144"),
    ] {
        let fetched = Ran::of(server.pyflyte(&["fetch", address]).output().unwrap()).exits(0);
        assert!(fetched.out.contains(file) && fetched.out.contains(holds), "{address}: {}", fetched.out);
    }
}

#[test]
fn what_is_registered_is_run_by_its_name_and_seen_by_everyone() {
    let Some(server) = Server::own() else { return };
    Ran::of(server.pyflyte(&["register", "values.py", "--version", "v1"]).output().unwrap()).exits(0);
    // Once more is no fault: nothing has changed.
    Ran::of(server.pyflyte(&["register", "values.py", "--version", "v1"]).output().unwrap()).exits(0);
    run(&server, &["remote-launchplan", "values.summed", "--a", "[1, 4]"]).exits(0);
    let said = server.client("lists.py", &["values.summed"]).json();
    assert_eq!(said["workflow"], json!(["values.summed", 2]));
    assert_eq!(said["plan"], json!(["values.summed", "values.summed", true]));
    assert_eq!(said["task"], "values.square");
    assert!(said["versions"].as_array().is_some_and(|found| found.len() > 5), "{said:#}");
    assert_eq!(said["execution"], json!(["values.summed", 4, 17]));
    assert_eq!(said["nodes"], json!({"n0": 3, "n1": 3}));
    assert!(said["projects"].as_array().unwrap().contains(&json!("flytesnacks")), "{said:#}");
    assert_eq!(said["domains"], json!(["development", "production", "staging"]));
    assert_eq!((said["active"].as_bool(), said["activated"].as_bool()), (None, Some(true)));
}
