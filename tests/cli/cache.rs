//! Cached outputs, as a user meets them.

use serde_json::{Value, json};

use super::place::{Place, Ran};

/// Runs a map that notes each start in `starts`, with `more` arguments.
fn run(place: &Place, list: &str, more: &[&str]) -> Ran {
    let map = format!("x={list}");
    let task = ["--map", &map, "--bind", "b=word", "--output", "o0:string", "--stats"];
    let script = "echo $1 >> starts; echo $1-$2";
    let command = ["--", "sh", "-c", script, "sh", "{{.inputs.x}}", "{{.inputs.b}}"];
    place.run([&["run", "--cache", "--cache-version", "1"], &task[..], more, &command].concat())
}

/// How many children have been started since the last question.
fn starts(place: &Place) -> usize {
    let lines = place.read("starts").lines().count();
    place.write("starts", "");
    lines
}

/// That nothing of Batch was called.
#[track_caller]
fn calls_nothing_of_batch(ran: &Ran) {
    let stats = ran.stats();
    let called: Vec<&String> = stats["requests"].as_object().unwrap().keys().collect();
    let s3 = ["GetObject", "PutObject", "ListObjectsV2"];
    assert!(called.iter().all(|operation| s3.contains(&operation.as_str())), "{called:?}");
}

#[test]
fn a_second_run_submits_nothing_and_prints_the_same() {
    let place = Place::new();
    let first = run(&place, "[1,2,3]", &[]).exits(0);
    assert_eq!((first.json(), starts(&place)), (json!(["1-word", "2-word", "3-word"]), 3));
    let second = run(&place, "[1,2,3]", &[]).exits(0).says(&["3 of 3 succeeded, 3 of 3 from the cache"]);
    assert_eq!((second.json(), starts(&place)), (first.json(), 0));
    calls_nothing_of_batch(&second);
    let status = place.run(["status", "--format", "json"]).exits(0).json();
    assert_eq!(status["summary"]["cached"], 3);
    assert!(place.run(["status"]).exits(0).out.contains("3/3 succeeded, 3 from the cache"));
    assert_eq!(place.run(["outputs"]).exits(0).json(), first.json());
    let id = &place.ids()[0];
    place.run(["logs", id, "1"]).exits(2).says(&["its outputs came from the cache"]);
}

#[test]
fn only_what_is_new_runs() {
    let place = Place::new();
    run(&place, "[1,2,3]", &[]).exits(0);
    starts(&place);
    let ran = run(&place, "[0,1,2,9,3]", &[]).exits(0).says(&["5 of 5 succeeded, 3 of 5 from the cache"]);
    assert_eq!(ran.json(), json!(["0-word", "1-word", "2-word", "9-word", "3-word"]));
    assert_eq!((starts(&place), &ran.stats()["requests"]["SubmitJob"]), (2, &json!(1)));
    calls_nothing_of_batch(&run(&place, "[9,0]", &[]).exits(0));
}

#[test]
fn what_makes_a_task_another_one() {
    let place = Place::new();
    run(&place, "[1,2]", &[]).exits(0);
    starts(&place);
    let task = |version: &str, bind: &str, more: &[&str]| {
        let script = "echo $1 >> starts; echo $1-$2";
        let flags = ["run", "--cache", "--cache-version", version, "--map", "x=[1,2]", "--bind", bind];
        let command = ["--output", "o0:string", "--", "sh", "-c", script, "sh", "{{.inputs.x}}", "{{.inputs.b}}"];
        place.run([&flags[..], more, &command].concat()).exits(0);
        starts(&place)
    };
    assert_eq!(task("1", "b=word", &["--concurrency", "1", "--retries", "1", "--cpu", "2"]), 0, "these do not");
    assert_eq!(task("2", "b=word", &[]), 2);
    assert_eq!(task("1", "b=other", &[]), 2);
    assert_eq!(task("1", "b=word", &["--name", "named"]), 2);
    assert_eq!(task("1", "b=word", &["--input", "x:float"]), 2);
    assert_eq!(task("1", "b=word", &["--env", "A=b"]), 0);
}

#[test]
fn an_ignored_input_does_not_matter() {
    let place = Place::new();
    let task = |bind: &str| {
        let script = "echo $1 >> starts; echo $1";
        let bind = format!("b={bind}");
        let flags = ["run", "--cache", "--cache-version", "1", "--cache-ignore-input", "b", "--map", "x=[1,2]"];
        place.run([&flags[..], &["--bind", &bind, "--", "sh", "-c", script, "sh", "{{.inputs.x}}"]].concat()).exits(0)
    };
    task("one");
    assert_eq!(starts(&place), 2);
    task("other");
    assert_eq!(starts(&place), 0);
}

#[test]
fn overwriting_runs_everything_and_replaces_what_is_cached() {
    let place = Place::new();
    place.write("said", "old");
    let task = |more: &[&str]| {
        let flags = ["run", "--cache", "--cache-version", "1", "--map", "x=[1,2]"];
        place.run([&flags[..], more, &["--", "sh", "-c", "cat said"]].concat()).exits(0).json()
    };
    assert_eq!(task(&[]), json!(["old", "old"]));
    place.write("said", "new");
    assert_eq!(task(&[]), json!(["old", "old"]));
    assert_eq!(task(&["--cache-overwrite"]), json!(["new", "new"]));
    assert_eq!(task(&[]), json!(["new", "new"]));
}

#[test]
fn files_count_by_what_is_in_them() {
    let place = Place::new();
    place.write("a/f", "one");
    place.write("b/g", "two");
    place.write("model", "m");
    let task = || {
        let script = "echo . >> starts; cat \"$1\" > $BATCHMAP_OUTPUT_DIR/o0";
        let flags = ["run", "--cache", "--cache-version", "1", "--map", "x=[\"a/f\",\"b/g\"]", "--input", "x:file"];
        let rest = ["--bind", "m=file:model", "--output", "o0:file", "--", "sh", "-c", script, "sh", "{{.inputs.x}}"];
        place.run([&flags[..], &rest].concat()).exits(0).json()
    };
    let first = task();
    assert_eq!(starts(&place), 2);
    assert_eq!((task(), starts(&place)), (first.clone(), 0), "the files of the first run are the outputs");
    place.write("b/g", "three");
    let third = task();
    assert_eq!((&third[0], starts(&place)), (&first[0], 1));
    assert_ne!(third[1], first[1]);
    place.write("model", "n");
    task();
    assert_eq!(starts(&place), 2);
}

#[test]
fn a_file_that_is_gone_is_made_again() {
    let place = Place::new();
    let task = || {
        let script = "echo . >> starts; echo made > $BATCHMAP_OUTPUT_DIR/o0";
        let flags = ["run", "--cache", "--cache-version", "1", "--map", "x=[1,2]", "--output", "o0:file"];
        place.run([&flags[..], &["--", "sh", "-c", script]].concat()).exits(0).json()
    };
    let outputs = task();
    assert_eq!(starts(&place), 2);
    let key = outputs[1].as_str().and_then(|uri| uri.strip_prefix("s3://")).unwrap().to_owned();
    let removed = remove(&place.path(".batchmap"), key.rsplit_once('/').unwrap().0);
    assert!(removed, "{key}");
    let again = task();
    assert_eq!((starts(&place), &again[0]), (1, &outputs[0]));
    assert_ne!(again[1], outputs[1]);
}

/// Removes the folder under `place` whose path ends in the last parts of `key`.
fn remove(place: &std::path::Path, key: &str) -> bool {
    let tail: Vec<&str> = key.split('/').skip(1).collect();
    let mut folders = vec![place.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() && path.ends_with(tail.join("/")) {
                std::fs::remove_dir_all(path).unwrap();
                return true;
            }
            folders.extend(path.is_dir().then_some(path));
        }
    }
    false
}

#[test]
fn a_failed_map_keeps_what_has_succeeded() {
    let place = Place::new();
    let task = |broken: &str| {
        let script = "echo $1 >> starts; test $1 != $2 && echo $1";
        let bind = format!("b={broken}");
        let flags = ["run", "--cache", "--cache-version", "1", "--cache-ignore-input", "b", "--run-all-sub-nodes"];
        let rest = ["--map", "x=[1,2,3]", "--bind", &bind, "--", "sh", "-c", script, "sh", "{{.inputs.x}}"];
        place.run([&flags[..], &rest, &["{{.inputs.b}}"]].concat())
    };
    task("2").exits(1);
    assert_eq!(starts(&place), 3);
    let ran = task("0").exits(0).says(&["2 of 3 from the cache"]);
    assert_eq!((ran.json(), starts(&place)), (json!(["1", "2", "3"]), 1));
}

#[test]
fn a_cache_without_a_version_is_refused() {
    let place = Place::new();
    place.run(["run", "--cache", "--map", "x=[1]", "--", "true"]).exits(2).says(&["policy.cache_version", "\"1\""]);
    let flags = ["run", "--map", "x=[1]", "--cache-overwrite", "--cache-ignore-input", "y", "--", "true"];
    place.run(flags).exits(2).says(&["policy.cache_overwrite: there is no cache", "\"y\": names no input"]);
    assert_eq!(Value::from(place.path(".batchmap").exists()), json!(false));
}

/// Two runs at once over the same elements: each is computed once, whichever of them does it.
#[test]
fn two_runs_at_once_compute_everything_once() {
    let place = Place::new();
    let gate = place.fifo("gate");
    // The first element waits until somebody writes to the gate, so that both runs are under way by then.
    let script = "echo $1 >> starts; test $1 = 0 && read line < gate; echo $1";
    let flags = ["run", "--cache", "--cache-version", "1", "--cache-serialize", "--slots", "2", "--map"];
    let command = ["--output", "o0:string", "--", "sh", "-c", script, "sh", "{{.inputs.x}}"];
    let first = place.spawn([&flags[..], &["x=[0,1,2]"], &command].concat());
    until("its first child has started", || place.read("starts").contains('0'));
    let second = place.spawn([&flags[..], &["x=[2,3,0]"], &command].concat());
    until("the second one waits", || {
        let ids = place.ids();
        ids.len() == 2 && {
            let status = place.run(["status", ids.iter().max().unwrap(), "--format", "json"]);
            status.code == 0 && status.json()["summary"]["held"] == json!(2) && place.read("starts").contains('3')
        }
    });
    std::fs::write(&gate, "go\n").unwrap();
    let (first, second) = (Ran::of(first.wait_with_output().unwrap()), Ran::of(second.wait_with_output().unwrap()));
    assert_eq!(first.exits(0).json(), json!(["0", "1", "2"]));
    let second = second.exits(0).says(&["3 of 3 succeeded, 2 of 3 from the cache"]);
    assert_eq!(second.json(), json!(["2", "3", "0"]));
    let read = place.read("starts");
    let mut starts: Vec<&str> = read.lines().collect();
    starts.sort_unstable();
    assert_eq!(starts, ["0", "1", "2", "3"]);
}

/// Asks until it is so: other processes have to come to it.
#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed().as_secs() < 120, "not so after two minutes: {what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
