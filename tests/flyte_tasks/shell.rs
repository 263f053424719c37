//! The scripts for images without a worker, as a real shell takes them.

use std::process::{Command, Output};

use batchmap::idl::record::flyte::{Kind, Runner};
use batchmap::idl::record::{Flyte, TaskRecord};
use batchmap::map::flyte::stock::{Array, quoted, render};
use batchmap::map::index::OriginalIndex;
use batchmap::map::layout::Root;
use batchmap::map::plan::{Members, Packs};
use proptest::prelude::*;

/// What a shell makes of the script of this command, for a single task or for child 4 of an array of 5.
fn run(words: &[&str], runner: Runner, count: u32, temporary: Option<&std::path::Path>) -> Output {
    let flyte = Flyte { kind: Kind::Single.into(), runner: runner.into(), ..Flyte::default() };
    let command = words.iter().map(|word| (*word).to_owned()).collect();
    let record = TaskRecord { command, flyte: Some(flyte), ..TaskRecord::default() };
    let (root, packs) = (Root::new("p", "id"), Packs::new(vec![0], 9));
    let members = Members::Range { first: OriginalIndex(0), count };
    let array =
        Array { bucket: "b", root: &root, number: 3, members: &members, packs: &packs, attempts: 1, previous: false };
    let rendered = render(&record, runner, &array);
    let mut command = Command::new(&rendered.command[0]);
    command.args(&rendered.command[1..]).env("AWS_BATCH_JOB_ID", "job-1:4").env("AWS_BATCH_JOB_ATTEMPT", "2");
    if count > 1 {
        command.env("AWS_BATCH_JOB_ARRAY_INDEX", "4");
    }
    if let Some(temporary) = temporary {
        command.env("TMPDIR", temporary);
    }
    command.output().unwrap()
}

fn text(output: Output) -> String {
    String::from_utf8(output.stdout).unwrap()
}

/// What a shell makes of quoted words.
fn through_sh(words: &[String]) -> Vec<String> {
    let quoted: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    let script = format!("printf '%s\\0' {}", quoted.join(" "));
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{script}: {output:?}");
    let mut read: Vec<String> =
        output.stdout.split(|byte| *byte == 0).map(|word| String::from_utf8(word.to_vec()).unwrap()).collect();
    read.pop();
    read
}

#[test]
fn words_that_shells_trip_over() {
    let words =
        ["", "'", "''", "\\", "a b", "$HOME", "$(id)", "`id`", "\n", "a\nb\n", "\\'", "*", "~", "-n", "\u{e4}\u{7f}"];
    let words = words.map(str::to_owned);
    assert_eq!(through_sh(&words), words);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_words_reach_the_command_as_they_are(
        words in prop::collection::vec("[^\0]{0,12}|['\"\\\\$`\n ]{0,8}", 1..6),
    ) {
        prop_assert_eq!(through_sh(&words), words);
    }
}

#[test]
fn hostile_words_stay_words() {
    let words = ["printf", "%s|", "$(id)'\"", "a;b", "{{.input}}'x", "", "\n"];
    let expected = "$(id)'\"|a;b|s3://b/p/executions/id/inputs/000000.pb'x||\n|";
    assert_eq!(text(run(&words, Runner::Stock, 1, None)), expected);
}

#[test]
fn each_child_and_each_attempt_has_places_of_its_own() {
    let words = ["echo", "{{.outputPrefix}}", "{{.rawOutputDataPrefix}}", "{{.perRetryUniqueKey}}"];
    let expected =
        "s3://b/p/executions/id/children/outputs/000003/job-1/4/2 s3://b/p/raw/id/children/000003/job-1/4/2 id-3-4-2\n";
    assert_eq!(text(run(&words, Runner::Stock, 5, None)), expected);
    assert_eq!(text(run(&words, Runner::Stock, 1, None)), expected.replace("/4/2", "/0/2").replace("-4-2", "-0-2"));
}

#[test]
fn a_process_of_this_machine_works_in_a_directory_that_goes_with_it() {
    let temporary = tempfile::tempdir().unwrap();
    let words = ["sh", "-c", "pwd; ls; : > left; echo \"$TMPDIR\"; exit 7"];
    let ran = run(&words, Runner::StockProcess, 1, Some(temporary.path()));
    assert_eq!(ran.status.code(), Some(7), "{ran:?}");
    let printed = text(ran);
    let lines: Vec<&str> = printed.lines().collect();
    assert!(lines[0].starts_with(temporary.path().to_str().unwrap()), "{printed}");
    assert_eq!(lines[1..], ["tmp", &format!("{}/tmp", lines[0])]);
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}
