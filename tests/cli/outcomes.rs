//! How executions end: successes, failures, retries, and what they cost in requests.

use serde_json::json;

use super::place::Place;

fn numbers(n: u64) -> String {
    serde_json::to_string(&(0..n).collect::<Vec<_>>()).unwrap()
}

#[test]
fn a_thousand_children_cost_one_submission_and_one_description_a_poll() {
    let place = Place::new();
    let list = numbers(1000);
    let ran = place.run(["run", "--map", &format!("x={list}"), "--slots", "16", "--stats", "--", "true"]).exits(0);
    assert_eq!(ran.json().as_array().unwrap().len(), 1000);
    let stats = ran.stats();
    let requests = &stats["requests"];
    assert_eq!(requests["SubmitJob"], 1, "{stats}");
    assert_eq!(requests.get("ListJobs"), None, "{stats}");
    assert_eq!(requests["DescribeJobs"], stats["polls"], "{stats}");
}

#[test]
fn two_failures_of_ten_are_allowed_by_a_ratio_of_four_fifths() {
    let place = Place::new();
    let ran = place
        .run([
            "run",
            "--map",
            &format!("x={}", numbers(10)),
            "--min-success-ratio",
            "0.8",
            "--output",
            "o0:integer",
            "--",
            "sh",
            "-c",
            "test $1 != 3 && test $1 != 7 && echo $1",
            "sh",
            "{{.inputs.x}}",
        ])
        .exits(0)
        .says(&["2 of 10 failed: [3],[7]", "batchmap logs", "8 of 10 succeeded, 8 needed"]);
    assert_eq!(ran.json(), json!([0, 1, 2, null, 4, 5, 6, null, 8, 9]));
}

#[test]
fn three_failures_of_ten_fail_it_and_nothing_starts_afterwards() {
    let place = Place::new();
    place.write("starts", "");
    // The first three fail; the rest would run for ever, and at most four of them can have been started by then.
    let script = "echo $1 >> starts; if [ $1 -lt 3 ]; then echo the sky is falling >&2; exit 1; fi; exec sleep 1000";
    let ran = place
        .run([
            "run",
            "--map",
            &format!("x={}", numbers(10)),
            "--min-success-ratio",
            "0.8",
            "--slots",
            "4",
            "--",
            "sh",
            "-c",
            script,
            "sh",
            "{{.inputs.x}}",
        ])
        .exits(1)
        .says(&["the sky is falling", "3 of 10 subtasks failed, and 8 must succeed"]);
    assert_eq!(ran.out, "", "a failed map prints no outputs");
    assert!(place.read("starts").lines().count() <= 7, "{}", place.read("starts"));
    let outputs = place.run(["outputs"]).exits(1);
    assert_eq!(outputs.json(), json!(vec![json!(null); 10]));
}

#[test]
fn a_recoverable_failure_runs_again_alone() {
    let place = Place::new();
    place.write("runs", "");
    let script = "echo $1 >> runs; if [ $1 = 2 ] && [ $(grep -c '^2$' runs) -lt 3 ]; then exit 75; fi; echo done-$1";
    let ran = place
        .run([
            "run",
            "--map",
            &format!("x={}", numbers(5)),
            "--retries",
            "2",
            "--",
            "sh",
            "-c",
            script,
            "sh",
            "{{.inputs.x}}",
        ])
        .exits(0);
    assert_eq!(ran.json(), json!(["done-0", "done-1", "done-2", "done-3", "done-4"]));
    let mut runs: Vec<String> = place.read("runs").lines().map(str::to_owned).collect();
    runs.sort();
    assert_eq!(runs, ["0", "1", "2", "2", "2", "3", "4"]);
}

#[test]
fn a_budget_that_is_used_up_fails() {
    let place = Place::new();
    place
        .run(["run", "--map", "x=[1]", "--retries", "1", "--", "sh", "-c", "exit 75"])
        .exits(1)
        .says(&["1 of 1 failed: [0]: USER:Recoverable"]);
}

#[test]
fn an_empty_list_succeeds_at_once_and_sends_nothing() {
    let place = Place::new();
    let ran = place.run(["run", "--map", "x=[]", "--input", "x:integer", "--stats", "--", "false"]).exits(0);
    assert_eq!(ran.out, "[]\n");
    assert_eq!(ran.stats()["requests"], json!({}), "nothing was sent: {}", ran.err);
}

#[test]
fn one_element_is_a_plain_job() {
    let place = Place::new();
    let script = "echo \"${AWS_BATCH_JOB_ARRAY_INDEX-none} $1\"";
    let ran = place.run(["run", "--map", "x=[7]", "--", "sh", "-c", script, "sh", "{{.inputs.x}}"]).exits(0);
    assert_eq!(ran.json(), json!(["none 7"]));
}

#[test]
fn satisfied_stops_the_rest_once_enough_have_succeeded() {
    let place = Place::new();
    let script = "if [ $1 -lt 3 ]; then echo $1; else exec sleep 1000; fi";
    let ran = place
        .run([
            "run",
            "--map",
            &format!("x={}", numbers(6)),
            "--min-successes",
            "3",
            "--completion",
            "satisfied",
            "--slots",
            "6",
            "--",
            "sh",
            "-c",
            script,
            "sh",
            "{{.inputs.x}}",
        ])
        .exits(0);
    assert_eq!(ran.json(), json!(["0", "1", "2", null, null, null]));
}

#[test]
fn a_timeout_below_batchs_minimum_is_held() {
    let place = Place::new();
    place
        .run(["run", "--map", "x=[1]", "--timeout", "1s", "--", "sleep", "1000"])
        .exits(1)
        .says(&["1 of 1 failed", "imeout"]);
}

#[test]
fn inputs_come_from_files_lines_and_standard_input() {
    let place = Place::new();
    place.write("a.json", "[1, 2, 3]");
    place.write("b.jsonl", "\"x\"\n\"y\"\n\n\"z\"\n");
    let ran = place
        .run_with(
            [
                "run",
                "--map",
                "a=@a.json",
                "--map",
                "b=@b.jsonl",
                "--map",
                "c=-",
                "--format",
                "jsonl",
                "--",
                "echo",
                "{{.inputs.a}}{{.inputs.b}}{{.inputs.c}}",
            ],
            b"{\"k\":1}\n{\"k\":2}\n{\"k\":3}\n",
        )
        .exits(0);
    assert_eq!(ran.out, "\"1x{\\\"k\\\":1}\"\n\"2y{\\\"k\\\":2}\"\n\"3z{\\\"k\\\":3}\"\n");
}

#[test]
fn an_earlier_executions_output_can_be_bound() {
    let place = Place::new();
    place.run(["run", "--map", "x=[3,4]", "--output", "o0:integer", "--", "echo", "{{.inputs.x}}"]).exits(0);
    let id = place.ids().remove(0);
    let bound = format!("earlier=@{id}");
    let ran = place
        .run(["run", "--map", "y=[1]", "--bind", &bound, "--", "echo", "{{.inputs.earlier}} {{.inputs.y}}"])
        .exits(0);
    assert_eq!(ran.json(), json!(["[3,4] 1"]));
}

#[test]
fn a_specifications_values_are_overridden_by_flags() {
    let place = Place::new();
    place.write(
        "task.json",
        r#"{"command": ["echo", "{{.inputs.x}}-{{.inputs.y}}"], "map": {"x": [1, 2]}, "bind": {"y": "file"}}"#,
    );
    let ran = place.run(["run", "task.json", "--bind", "y=flag"]).exits(0);
    assert_eq!(ran.json(), json!(["1-flag", "2-flag"]));
}

#[test]
fn a_tasks_own_variables_reach_the_command_and_lead_nobody_astray() {
    let place = Place::new();
    let ran = place
        .run([
            "run",
            "--map",
            "x=[1]",
            "--env",
            "PATH=/usr/bin:/bin",
            "--env",
            "AWS_ENDPOINT_URL=http://127.0.0.1:1",
            "--",
            "sh",
            "-c",
            "echo $PATH $AWS_ENDPOINT_URL",
        ])
        .exits(0);
    assert_eq!(ran.json(), json!(["/usr/bin:/bin http://127.0.0.1:1"]));
}

#[test]
fn a_closed_pipe_ends_nothing_early() {
    let place = Place::new();
    let status = place
        .command(["run", "--map", "x=[1,2]", "--", "sh", "-c", "echo done >> done"])
        .stdout(std::fs::File::options().write(true).open("/dev/full").unwrap())
        .stderr(std::fs::File::options().write(true).open("/dev/full").unwrap())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(5), "the outputs could not be printed");
    assert_eq!(place.read("done"), "done\ndone\n");
}

#[test]
fn the_last_words_of_a_long_error_are_shown() {
    let place = Place::new();
    place
        .run(["run", "--map", "x=[1]", "--", "sh", "-c", "seq 1 500 >&2; echo the real reason >&2; exit 3"])
        .exits(1)
        .says(&["the real reason"]);
}
