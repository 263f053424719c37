//! `batchmap recover`, as a user meets it.

use serde_json::json;

use super::place::{Place, Ran};

/// A map over ten elements of which those in `broken` fail, each start noted in `starts`.
fn run(place: &Place, more: &[&str]) -> Ran {
    let script = "echo $1 >> starts; echo $1 > file; ! grep -qx $1 broken || exit 1; echo $1-$(cat \"$2\")";
    place.write("model", "m");
    let task = ["run", "--map", "x=[0,1,2,3,4,5,6,7,8,9]", "--bind", "m=file:model"];
    let command = ["--", "sh", "-c", script, "sh", "{{.inputs.x}}", "{{.inputs.m}}"];
    place.run([&task[..], more, &command].concat())
}

fn starts(place: &Place) -> Vec<String> {
    let mut starts: Vec<String> = place.read("starts").lines().map(str::to_owned).collect();
    starts.sort();
    place.write("starts", "");
    starts
}

fn all() -> serde_json::Value {
    json!((0..10).map(|index| format!("{index}-m")).collect::<Vec<_>>())
}

#[test]
fn the_two_of_ten_that_failed_run_again() {
    let place = Place::new();
    place.write("broken", "3\n7\n");
    run(&place, &["--run-all-sub-nodes"]).exits(1);
    assert_eq!(starts(&place).len(), 10);
    let old = place.ids().remove(0);
    place.write("broken", "");
    let ran = place.run(["recover", &old[..17]]).exits(0).says(&[
        &format!("{old}: 8 of 10 subtasks have succeeded; running the other 2"),
        "10 of 10 succeeded, 8 of 10 from an earlier execution",
    ]);
    assert_eq!((ran.json(), starts(&place)), (all(), vec!["3".to_owned(), "7".to_owned()]));
    let new = place.ids().remove(0);
    assert_ne!(new, old);
    assert_eq!(place.run(["outputs", &new]).exits(0).json(), all());
    let outputs = place.run(["run", "--map", "y=[1]", "--bind", &format!("e=@{new}"), "--", "echo", "{{.inputs.e}}"]);
    assert!(outputs.exits(0).json()[0].as_str().unwrap().contains("9-m"), "its outputs can be bound");
    place.run(["logs", &new, "0"]).exits(2).says(&[&format!("batchmap logs {old} 0")]);
    place.run(["logs", &new, "3"]).exits(0);
}

#[test]
fn a_recovery_can_be_recovered_and_at_last_there_is_nothing_to_do() {
    let place = Place::new();
    place.write("broken", "3\n7\n");
    run(&place, &["--run-all-sub-nodes"]).exits(1);
    place.write("broken", "7\n");
    place.run(["recover"]).exits(1).says(&["9 of 10 succeeded"]);
    starts(&place);
    place.write("broken", "");
    let ran = place.run(["recover"]).exits(0).says(&["9 of 10 subtasks have succeeded"]);
    assert_eq!((ran.json(), starts(&place)), (all(), vec!["7".to_owned()]));
    let ran = place.run(["recover", "--stats"]).exits(0).says(&["10 of 10 subtasks have succeeded"]);
    assert_eq!((ran.json(), starts(&place).len()), (all(), 0));
    let stats = ran.stats();
    for operation in ["SubmitJob", "RegisterJobDefinition", "DescribeJobDefinitions", "DescribeJobs"] {
        assert_eq!(stats["requests"].get(operation), None, "{stats}");
    }
}

#[test]
fn an_aborted_execution_is_recovered_and_one_that_is_not_over_is_not() {
    let place = Place::new();
    place.write("broken", "");
    place.write("starts", "");
    let wait = place.fifo("wait");
    let script = "echo $1 >> starts; if [ $1 = 2 ]; then read line < wait; fi; echo $1";
    let task = ["run", "--map", "x=[0,1,2]", "--concurrency", "1", "--slots", "1", "--progress", "none", "--"];
    let mut driver = place.spawn([&task[..], &["sh", "-c", script, "sh", "{{.inputs.x}}"]].concat());
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    while place.read("starts").lines().count() < 3 {
        assert!(std::time::Instant::now() < deadline, "{}", place.read("starts"));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let id = place.ids().remove(0);
    place.run(["recover", &id]).exits(2).says(&["is not over", "batchmap resume", "batchmap abort"]);
    place.run(["abort", &id]).exits(0);
    driver.wait().unwrap();
    std::fs::remove_file(&wait).unwrap();
    place.write("wait", "go\n");
    place.write("starts", "");
    let ran = place.run(["recover", &id]).exits(0).says(&["2 of 3 subtasks have succeeded"]);
    assert_eq!((ran.json(), starts(&place)), (json!(["0", "1", "2"]), vec!["2".to_owned()]));
}

#[test]
fn the_rest_of_a_cached_map_is_looked_up_too() {
    let place = Place::new();
    place.write("broken", "3\n7\n");
    let cache = ["--cache", "--cache-version", "1", "--run-all-sub-nodes"];
    run(&place, &cache).exits(1);
    let old = place.ids().remove(0);
    place.write("broken", "7\n");
    run(&place, &cache).exits(1).says(&["8 of 10 from the cache"]);
    place.write("broken", "");
    starts(&place);
    let ran = place.run(["recover", &old]).exits(0).says(&["1 of 10 from the cache, 8 of 10 from an earlier"]);
    assert_eq!((ran.json(), starts(&place)), (all(), vec!["7".to_owned()]));
    run(&place, &cache).exits(0).says(&["10 of 10 from the cache"]);
}

#[test]
fn what_failed_can_be_given_more() {
    let place = Place::new();
    let script = "test $1 = 0 || test -e more || exec sleep 1000; echo $1";
    let task = ["run", "--map", "x=[0,1]", "--timeout", "1s", "--run-all-sub-nodes", "--"];
    place.run([&task[..], &["sh", "-c", script, "sh", "{{.inputs.x}}"]].concat()).exits(1);
    place.run(["retry-failed", "--cpu", "much"]).exits(2).says(&["resources.cpu is \"much\""]);
    place.write("more", "");
    let more = ["--timeout", "10m", "--mem", "4Gi", "--retries", "1", "--retry-timeouts", "--deadline", "1h"];
    let ran = place.run(["retry-failed"].iter().chain(&more)).exits(0);
    assert_eq!(ran.json(), json!(["0", "1"]));
}
