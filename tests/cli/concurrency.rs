//! The cap on children alive at once, seen from inside the children.

use super::place::Place;

/// Counts itself and the others alive while it runs for a while that differs from child to child.
const PROBE: &str = "\
mkdir -p alive; : > alive/$1; ls alive | wc -l; sleep 0.$((2 + $1 * 7 % 4)); ls alive | wc -l >> peaks; rm alive/$1";

fn peak_within_seven(mode: &str) {
    let place = Place::new();
    let list: Vec<u32> = (0..200).collect();
    let ran = place
        .run([
            "run",
            "--map",
            &format!("x={}", serde_json::to_string(&list).unwrap()),
            "--output",
            "o0:integer",
            "--concurrency",
            "7",
            "--concurrency-mode",
            mode,
            "--slots",
            "32",
            "--",
            "sh",
            "-c",
            PROBE,
            "sh",
            "{{.inputs.x}}",
        ])
        .exits(0);
    let before = ran.json().as_array().unwrap().iter().map(|seen| seen.as_u64().unwrap()).max().unwrap();
    let after = place.read("peaks").lines().map(|line| line.trim().parse().unwrap()).max().unwrap();
    let peak = before.max(after);
    // How near they come to it is the machine's affair, and its load's.
    assert!(peak > 1 && peak <= 7, "the peak in mode {mode} is {peak}");
}

#[test]
fn rolling_runs_several_and_never_exceeds_the_concurrency() {
    peak_within_seven("rolling");
}

#[test]
fn batches_run_several_and_never_exceed_the_concurrency() {
    peak_within_seven("batches");
}

#[test]
fn a_straggler_does_not_hold_the_others_back() {
    let place = Place::new();
    let list: Vec<u32> = (0..40).collect();
    // The first child ends only when all others have: it would wait for ever if they waited for it.
    let script = "\
if [ $1 = 0 ]; then until [ \"$(ls done 2>/dev/null | wc -l)\" = 39 ]; do sleep 0.1; done; \
else mkdir -p done; : > done/$1; fi";
    place
        .run([
            "run",
            "--map",
            &format!("x={}", serde_json::to_string(&list).unwrap()),
            "--concurrency",
            "4",
            "--slots",
            "8",
            "--",
            "sh",
            "-c",
            script,
            "sh",
            "{{.inputs.x}}",
        ])
        .exits(0);
}
