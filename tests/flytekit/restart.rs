//! The server is killed in the middle of a map and started again at the same place: the waiting client finishes.

use std::io::{BufRead, BufReader, Read};
use std::time::{Duration, Instant};

use crate::server::{Ran, Server};

/// Elements of the map, and how many must have run when the server is killed.
fn size() -> (usize, usize) {
    if std::env::var_os("BATCHMAP_TEST_SLOW").is_some() { (500, 50) } else { (8, 2) }
}

#[test]
fn a_client_that_waits_outlives_a_server_that_is_killed() {
    let Some(server) = Server::own() else { return };
    let (size, some) = size();
    let folder = server.traces("restart");
    let list = serde_json::to_string(&(0..size).collect::<Vec<_>>()).unwrap();
    let args = ["restart.py", folder.to_str().unwrap(), &list];
    let client = server.spawn_client(args[0], &args[1..]);
    let deadline = Instant::now() + Duration::from_secs(300);
    while std::fs::read_dir(&folder).unwrap().count() < some {
        assert!(Instant::now() < deadline, "no child begins");
        std::thread::sleep(Duration::from_millis(50));
    }
    server.kill_and_restart();
    // The new server takes the map up, and needs nobody's help.
    let told = server.batchmap(&["status"]).exits(0);
    assert!(!told.out.contains("no driver is at work"), "{}", told.out);
    let said = Ran::of(client.wait_with_output().unwrap()).json();
    assert_eq!(said["phase"], 4, "{said:#}");
    assert_eq!(said["remote"][0], size * (size + 1) / 2);
    // What had ended before was not run again, but for what ended as the server died.
    assert!(said["again"].as_u64().unwrap() <= said["slots"].as_u64().unwrap() + 2, "{said:#}");
}

/// Five hundred children that only take time, on an endpoint that is another process and lives on.
#[test]
fn a_client_that_waits_for_five_hundred_children_outlives_a_server_that_is_killed() {
    let Some(server) = Server::on_an_emulator(&["distribution=uniform", "min=1s", "max=25s"]) else { return };
    let mut client = server.spawn_client("restart_array.py", &["500"]);
    let mut printed = BufReader::new(client.stdout.take().unwrap());
    let mut line = String::new();
    printed.read_line(&mut line).unwrap();
    if line.trim() == "middle" {
        server.kill_and_restart();
    }
    printed.read_to_string(&mut line).unwrap();
    let said = Ran { out: line, ..Ran::of(client.wait_with_output().unwrap()) }.json();
    assert_eq!(said["phase"], 4, "{said:#}");
    assert!(said["running"].as_u64().unwrap() > 0, "it was killed too late: {said:#}");
    assert_eq!(said["nodes"], serde_json::json!({ "n0": 3 }));
    // AWS Batch was given the map once, and nothing else.
    assert_eq!(said["sizes"], serde_json::json!([500]));
}
