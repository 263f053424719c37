//! Of the Go plugin's risks, those that show only from outside; the others are in `tests/driver/go_plugin_risks.rs`.

use super::place::Place;

#[test]
fn the_job_definition_is_registered_once() {
    let place = Place::new();
    let run = |more: &[&str]| {
        let args = [&["run", "--map", "x=[1,2]", "--stats"], more, &["--", "true"]].concat();
        let stats = place.run(args).exits(0).stats();
        stats["requests"].get("RegisterJobDefinition").cloned()
    };
    assert_eq!(run(&[]), Some(1.into()));
    assert_eq!(run(&[]), None, "an equal one is there");
    assert_eq!(run(&["--concurrency", "1"]), None, "what a submission can say is not in it");
    assert_eq!(run(&["--cpu", "2"]), Some(1.into()));
}
