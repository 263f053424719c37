//! CloudWatch Logs as real clients use it, over what children of a real array job have written.

#[path = "support/emulator.rs"]
mod emulator;
#[path = "support/skip.rs"]
mod skip;

use emulator::{Emulator, NAME, aws_cli, python, succeeds};
use skip::skipped;

#[test]
fn boto3_and_the_aws_cli_read_childrens_output_as_on_aws() {
    let Some(python) = python() else {
        skipped("no python3 with boto3: BATCHMAP_TEST_PYTHON names none");
        return;
    };
    let emulator = Emulator::start();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/logs.py");
    let stream = succeeds(emulator.client(python).args([script, emulator.url(), NAME]));
    let Some(aws) = aws_cli() else {
        skipped("no aws CLI: neither beside BATCHMAP_TEST_PYTHON nor on the path");
        return;
    };
    let logs = |args: &[&str]| succeeds(emulator.client(&aws).arg("logs").args(args));
    let group = ["--log-group-name", "/aws/batch/job"];
    let events = logs(&[&["get-log-events"], &group[..], &["--log-stream-name", stream.trim()]].concat());
    assert!(events.contains("line 49 of child 1") && !events.contains("of child 2"), "{events}");
    let found = logs(&[&["filter-log-events"], &group[..], &["--filter-pattern", "ERROR"]].concat());
    assert_eq!(found.matches("ERROR: at the end").count(), 3, "{found}");
    let has_tail =
        emulator.client(&aws).args(["logs", "tail", "help"]).output().is_ok_and(|help| help.status.success());
    if !has_tail {
        skipped("aws logs tail: this aws CLI is of version 1");
        return;
    }
    let tailed = logs(&["tail", "/aws/batch/job", "--since", "1h", "--format", "short"]);
    assert_eq!(tailed.lines().count(), 153, "{tailed}");
}
