//! Children without a worker, as in images that hold flytekit alone.

use std::process::Command;

use crate::server::{Ran, Server};

#[test]
fn a_workflow_runs_without_a_worker_by_flytekits_own_commands() {
    let Some(server) = Server::with(&["--flyte-images", "stock"]) else { return };
    let run = [
        "run",
        "--remote",
        "--wait",
        "--poll-interval",
        "1",
        "--name",
        "stock",
        "values.py",
        "summed",
        "--a",
        "[2, 3]",
    ];
    Ran::of(server.pyflyte(&run).output().unwrap()).exits(0);
    let fetch = ["fetch", "flyte://v1/flytesnacks/development/stock/n1/o"];
    let fetched = Ran::of(server.pyflyte(&fetch).output().unwrap()).exits(0);
    assert!(fetched.out.contains("13"), "{}", fetched.out);

    let said = server.client::<&str>("submitted.py", &[]).json();
    let jobs: Vec<_> = said.as_object().unwrap().values().collect();
    assert_eq!(jobs.len(), 2, "{said:#}");
    for job in jobs {
        let entrypoint = if job["size"] == 2 { "'pyflyte-map-execute'" } else { "'pyflyte-execute'" };
        let script = job["command"][2].as_str().unwrap();
        assert_eq!((&job["command"][0], &job["command"][1]), (&"sh".into(), &"-c".into()), "{said:#}");
        assert!(script.contains("'pyflyte-fast-execute'") && script.contains(entrypoint), "{script}");
        assert!(!said.to_string().contains("batchmap worker") && job["environment"]["BATCHMAP_EXECUTION"].is_null());
    }
    // Code is unpacked where a child works, and that is gone with it.
    let found = Command::new("find").arg(server.path(".")).args(["-name", "values.py*"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
}
