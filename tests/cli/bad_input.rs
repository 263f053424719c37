//! Wrong input: one clear error that names the field, the value and the fix, exit code 2, and nothing done.

use std::os::unix::ffi::OsStrExt;

use super::place::{Place, Ran};

/// Runs with arguments that must be refused, and sees that nothing was begun.
#[track_caller]
fn refused(place: &Place, args: &[&str]) -> Ran {
    let mut all = vec!["run"];
    all.extend(args);
    let ran = place.run(all).exits(2);
    assert_eq!(ran.out, "");
    nothing_begun(place);
    ran
}

#[track_caller]
fn nothing_begun(place: &Place) {
    let executions = place.path(".batchmap/data/s3/batchmap");
    if executions.exists() {
        assert!(place.ids().is_empty(), "an execution was begun");
    }
}

#[test]
fn flags() {
    let place = Place::new();
    for (args, words) in [
        (vec!["--map", "x=[1]"], vec!["command"]),
        (vec!["--", "true"], vec!["map"]),
        (vec!["--map", "x=[1]", "--bind", "x=2", "--", "true"], vec!["bind.x", "mapped too"]),
        (vec!["--map", "x=[1]", "--bind", "y=[2]", "--", "true"], vec!["bind.y", "[2]"]),
        (vec!["--map", "x=[1]", "--", "echo", "{{.inputs.z}}"], vec!["z"]),
        (vec!["--map", "x=[1]", "--min-success-ratio", "1.5", "--", "true"], vec!["min_success_ratio", "1.5"]),
        (vec!["--map", "x=[1]", "--min-success-ratio", "NaN", "--", "true"], vec!["min_success_ratio", "NaN"]),
        (vec!["--map", "x=[1]", "--concurrency=-1", "--", "true"], vec!["concurrency", "-1"]),
        (vec!["--map", "x=[1]", "--cpu", "0", "--", "true"], vec!["resources.cpu", "0"]),
        (vec!["--map", "x=[1]", "--mem", "900Ti", "--", "true"], vec!["resources.mem", "900Ti"]),
        (vec!["--map", "x=[1]", "--map", "x=[2]", "--", "true"], vec!["x"]),
        (vec!["--map", "x=@absent.json", "--", "true"], vec!["absent.json"]),
        (vec!["--map", "x=-", "--map", "y=-", "--", "true"], vec!["standard input"]),
        (vec!["absent-task.json"], vec!["absent-task.json"]),
        (vec!["--map", "x=[1]", "--bind", "e=@20200101t000000-abcdef", "--", "true"], vec!["20200101t000000-abcdef"]),
    ] {
        refused(&place, &args).says(&words);
    }
}

#[test]
fn every_fault_of_a_specification_at_once() {
    let place = Place::new();
    place.write(
        "task.json",
        r#"{"comand": ["x"], "command": [], "map": {"x": 3}, "bind": {"y": [1]}, "policy": {"min_success_ratio": 2, "concurrency": -1}}"#,
    );
    refused(&place, &["task.json"]).says(&["comand", "command", "map.x", "bind.y", "min_success_ratio", "concurrency"]);
}

#[test]
fn lists_of_different_length_are_both_named() {
    let place = Place::new();
    refused(&place, &["--map", "a=[1,2,3]", "--map", "b=[1,2]", "--", "true"]).says(&["a", "3", "b", "2"]);
}

#[test]
fn a_line_that_does_not_parse_is_named_by_its_number() {
    let place = Place::new();
    place.write("x.jsonl", "1\n2\n{oops\n4\n");
    refused(&place, &["--map", "x=@x.jsonl", "--", "true"]).says(&["x.jsonl:3"]);
}

#[test]
fn a_value_of_another_type_is_named_with_the_fix() {
    let place = Place::new();
    let mut lines: String = (0..2000).map(|n| format!("{n}\n")).collect();
    lines.push_str("2000.5\n");
    place.write("x.jsonl", &lines);
    refused(&place, &["--map", "x=@x.jsonl", "--", "true"]).says(&["x.jsonl:2001", "--input"]);
}

#[test]
fn text_that_is_no_utf8_is_refused() {
    let place = Place::new();
    std::fs::write(place.path("x.jsonl"), b"\"ok\"\n\"\xff\xfe\"\n").unwrap();
    refused(&place, &["--map", "x=@x.jsonl", "--", "true"]).says(&["x.jsonl:2", "UTF-8"]);
    let argument = std::ffi::OsStr::from_bytes(b"\xff\xfe");
    let args: Vec<&std::ffi::OsStr> =
        ["run", "--map", "x=[1]", "--", "echo"].iter().map(std::ffi::OsStr::new).chain([argument]).collect();
    place.run(args).exits(2).says(&["UTF-8"]);
}

#[test]
fn a_command_over_awss_limit_is_refused_before_anything_is_sent() {
    let place = Place::new();
    let long = "x".repeat(9_000);
    place.run(["run", "--map", "x=[1]", "--", "echo", &long]).exits(2).says(&["8192"]);
    nothing_begun(&place);
    place.run(["plan", "--map", "x=[1]", "--", "echo", &long]).exits(2).says(&["8192"]);
}

#[test]
fn what_was_given_up_while_staging_is_not_listed() {
    let place = Place::new();
    let mut lines: String = (0..25_000).map(|n| format!("{n}\n")).collect();
    lines.push_str("oops\n");
    place.write("x.jsonl", &lines);
    refused(&place, &["--map", "x=@x.jsonl", "--", "true"]).says(&["x.jsonl:25001"]);
    place.run(["status"]).exits(2).says(&["no execution"]);
}

#[test]
fn directories_that_children_would_share_are_refused() {
    let place = Place::new();
    refused(&place, &["--map", "x=[1]", "--output-dir", "/tmp/shared", "--", "true"])
        .says(&["output_dir", "/tmp/shared"]);
}
