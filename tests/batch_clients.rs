//! AWS's own clients against the endpoint, as a process of its own: boto3 with every answer held against its model of the
//! service, the aws CLI, and the example of README.

#[path = "support/emulator.rs"]
mod emulator;
#[path = "support/skip.rs"]
mod skip;

use std::path::PathBuf;

use emulator::{Emulator, Setting, aws_cli, python, succeeds};
use skip::skipped;

fn script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

fn serve() -> Emulator {
    // More than one at once on any machine, and not so many that everything runs at once.
    Setting::default().args(["--slots", "4"]).start()
}

/// What a script has left out, by its own account.
fn say_skipped(printed: &str) {
    printed.lines().filter_map(|line| line.strip_prefix("skipped: ")).for_each(skipped);
}

#[test]
fn boto3_finds_what_it_expects() {
    let Some(python) = python() else { return skipped("python3 with boto3 is not installed") };
    let emulator = serve();
    say_skipped(&succeeds(emulator.client(python).arg(script("batch.py"))));
}

#[test]
fn the_aws_cli_finds_what_it_expects() {
    let Some(aws) = aws_cli() else { return skipped("the aws CLI is not installed") };
    let emulator = serve();
    let printed = succeeds(emulator.client("sh").arg(script("awscli.sh")).env("AWS", aws));
    say_skipped(&printed);
}

#[test]
fn the_example_of_a_test_double_prints_what_its_children_said() {
    let Some(python) = python() else { return skipped("python3 with boto3 is not installed") };
    let emulator = serve();
    let printed = succeeds(emulator.client(python).arg(script("double.py")));
    let child = |index| format!("{index} SUCCEEDED hello from child {index}\n");
    assert_eq!(printed, format!("{}{}{}SUCCEEDED\n", child(0), child(1), child(2)));
}

/// What the README shows is what is tried here.
#[test]
fn the_readme_quotes_the_test_double() {
    let read =
        |name: &str| std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    let double = read("tests/clients/double.py");
    let code = &double[double.find("import time").unwrap()..];
    assert!(
        read("README.md").contains(&format!("```python\n{code}```")),
        "README.md quotes another tests/clients/double.py"
    );
}
