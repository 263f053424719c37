//! Every example runs by one command and gives its expected result.

use std::process::Command;

use serde_json::Value;

use super::place::{Place, copy_examples};
use super::skip::skipped;

fn gives_what_is_expected(name: &str) {
    let place = Place::new();
    copy_examples(&place);
    let ran = place.run(["run", &format!("examples/{name}/task.json")]).exits(0);
    let expected: Value = serde_json::from_str(&place.read(&format!("examples/{name}/expected.json"))).unwrap();
    assert_eq!(ran.json(), expected, "{}", ran.err);
}

#[test]
fn anomaly() {
    gives_what_is_expected("anomaly");
}

#[test]
fn anomaly_prints_the_ten_booleans_in_order() {
    let place = Place::new();
    copy_examples(&place);
    let ran = place.run(["run", "examples/anomaly/task.json"]).exits(0);
    assert_eq!(ran.out, "[false, true, false, false, true, true, true, false, true, false]\n");
}

#[test]
fn shipping() {
    gives_what_is_expected("shipping");
}

#[test]
fn zip() {
    gives_what_is_expected("zip");
}

#[test]
fn texts() {
    gives_what_is_expected("texts");
}

#[test]
fn sweep() {
    if Command::new("python3").arg("--version").output().is_err() {
        skipped("the example is written in Python, and there is no python3 here");
        return;
    }
    gives_what_is_expected("sweep");
}
