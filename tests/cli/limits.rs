//! Deadlines, aborts that are confirmed, why nothing starts, and removing what is old.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::elsewhere::Emulator;
use super::interrupts::{signal, started, until_gone, until_said};
use super::place::{Place, Ran};

#[test]
fn a_deadline_ends_the_execution_and_says_so() {
    let place = Place::new();
    let run = ["run", "--map", "x=[1,2]", "--deadline", "1s", "--", "sleep", "1000"];
    let ran = place.run(run).exits(1).says(&["its deadline has passed", "policy.deadline is 1s", "0 of 2 succeeded"]);
    assert_eq!(ran.out, "");
    // It stays over.
    place.run(["resume", &place.ids()[0]]).exits(1).says(&["policy.deadline is 1s"]);
}

#[test]
fn a_deadline_that_is_none_is_refused() {
    let place = Place::new();
    for (given, words) in [("0", "leaves no time"), ("-5", "leaves no time"), ("soon", "is not a length of time")] {
        let run = ["run", "--map", "x=[1]", "--deadline", given, "--", "true"];
        place.run(run).exits(2).says(&["policy.deadline", words]);
    }
    assert!(!place.path(".batchmap").exists(), "nothing was begun");
}

#[test]
fn an_abort_says_what_has_not_ended_and_goes_on_when_repeated() {
    let place = Place::new();
    let (driver, held) = started(&place);
    signal(&driver, Signal::SIGTERM);
    Ran::of(driver.wait_with_output().unwrap()).exits(6);
    until_gone(held);
    let id = place.ids().remove(0);
    let ran = place.run(["abort", &id, "--timeout", "0s"]).exits(6);
    ran.says(&[
        "is not over: 3 children of 1 array have not ended",
        "array 0 (job ",
        "; not told to end yet",
        &format!("batchmap abort {id}"),
    ]);
    let told = place.run(["abort", &id, "--timeout", "0s", "--format", "json"]).exits(6).json();
    assert_eq!((&told["ended"], &told["unended"][0]["children"]), (&json!(false), &json!(3)), "{told}");
    let told = place.run(["abort", &id, "--format", "json"]).exits(0).json();
    assert_eq!(
        (&told["ended"], &told["unended"], &told["summary"]["phase"]),
        (&json!(true), &json!([]), &json!("aborted"))
    );
    place.run(["abort", &id]).exits(0).says(&["is over already"]);
    place.run(["wait", &id]).exits(3);
}

#[test]
fn why_nothing_starts_is_said_while_it_runs_and_in_its_status() {
    let place = Place::new();
    let emulator = Emulator::with(&place, &["--fault", "shortage=capacity"]);
    let at = ["--endpoint", &emulator.url];
    let run = ["run", "--progress", "plain", "--map", "x=[1,2]"].iter().chain(&at).chain(&["--", "true"]);
    let mut driver = place.spawn(run);
    until_said(&mut driver, "nothing starts: AWS has no free instance");
    let status = |more: &[&str]| place.run(["status"].iter().chain(&at).chain(more)).exits(0);
    let told = status(&[]).out;
    assert!(told.contains("nothing starts: ") && told.contains("allow more instance types"), "{told}");
    let told: Value = status(&["--format", "json"]).json();
    assert_eq!(told["summary"]["stuck"]["code"], json!("CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"), "{told}");
    let id = told["id"].as_str().unwrap();
    place.run(["abort", id].iter().chain(&at)).exits(0);
    assert_eq!(driver.wait().unwrap().code(), Some(3));
}

#[test]
fn old_executions_are_removed_and_the_rest_is_kept() {
    let place = Place::new();
    place.run(["run", "--map", "x=[1,2]", "--", "echo", "{{.inputs.x}}"]).exits(0);
    place.run(["run", "--map", "x=[1]", "--", "false"]).exits(1);
    let ids = place.ids();
    let (failed, succeeded) = (&ids[0], &ids[1]);
    let gc = |more: &[&str]| place.run(["gc"].iter().chain(more)).exits(0).out;
    let kept = gc(&["--older-than", "30d"]);
    assert!(kept.contains("0 executions removed: 0 objects") && kept.contains("kept, not old enough: "), "{kept}");
    let dry = gc(&["--older-than", "0s", "--state", "failed", "--dry-run"]);
    assert!(dry.contains(&format!("would remove {failed} (failed): ")), "{dry}");
    assert!(dry.contains(&format!("kept, succeeded (not asked for by --state): {succeeded}")), "{dry}");
    assert_eq!(place.ids(), ids, "a dry run removes nothing");
    let told: Value =
        serde_json::from_str(&gc(&["--older-than", "0s", "--state", "failed", "--format", "json"])).unwrap();
    assert_eq!(told["report"]["removed"][0]["id"], json!(failed), "{told}");
    assert_eq!(place.ids(), std::slice::from_ref(succeeded));
    assert_eq!(place.run(["outputs", succeeded]).exits(0).out, "[\"1\", \"2\"]\n");
    gc(&["--older-than", "0s"]);
    assert_eq!(place.ids(), Vec::<String>::new());
    place.run(["resume", succeeded]).exits(2).says(&["there is no such execution"]);
    place.run(["gc"]).exits(2).says(&["--older-than"]);
    place.run(["gc", "--older-than", "long"]).exits(2);
}
