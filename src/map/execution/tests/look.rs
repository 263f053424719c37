//! What polls say, and what they must not do.

use super::script::{Script, terms};
use crate::map::execution::{Look, Seen, Terms};
use crate::map::status::JobStatus::{self, Failed, Pending, Runnable, Running, Starting, Succeeded};

#[test]
fn counts_settle_nothing() {
    let mut script = Script::new(Terms { concurrency: 8, ..terms(20) }, 20);
    script.submitted(0);
    let before = script.machine.outcomes().clone();
    script.poll(0, &[(Succeeded, 5), (Failed, 3)]);
    assert_eq!(script.machine.outcomes(), &before);
    assert_eq!(script.machine.decision(), None);
}

#[test]
fn a_summary_adds_up() {
    let mut script = Script::new(Terms { concurrency: 8, ..terms(16) }, 20);
    script.submitted(0);
    script.poll(0, &[(Runnable, 3), (Starting, 1), (Running, 2), (Succeeded, 1), (Failed, 1)]);
    let summary = script.machine.summary();
    assert_eq!((summary.running, summary.settling), (3, 2));
    // Three of the first array wait for Batch, and the two that took the free places.
    assert_eq!((summary.queued, summary.waiting), (5, 10));
    let counted = summary.running + summary.settling + summary.queued + summary.waiting;
    assert_eq!(counted + summary.succeeded + summary.failed, summary.size);
}

#[test]
fn a_plain_job_is_seen_by_its_own_state() {
    let mut script = Script::new(terms(1), 1);
    script.submitted(0);
    let seen = |status: JobStatus| Seen { status: Some(status), ..Seen::default() };
    assert_eq!(script.machine.observe(0, &seen(Runnable)), Look::Away);
    assert_eq!(script.machine.summary().running, 0);
    assert_eq!(script.machine.observe(0, &seen(Running)), Look::Away);
    assert_eq!(script.machine.summary().running, 1);
    assert_eq!(script.machine.observe(0, &seen(Failed)), Look::AtAll);
}

#[test]
fn after_the_decision_only_the_end_is_of_interest() {
    let mut script = Script::new(Terms { retries: 1, ..terms(3) }, 3);
    script.submitted(0).settled(0, &[], super::script::fatal(&[0]));
    let seen = |status, children: &[_]| Seen { status: Some(status), children: children.iter().copied().collect() };
    assert_eq!(script.machine.observe(0, &seen(Pending, &[(Failed, 2)])), Look::Away);
    assert_eq!(script.machine.observe(0, &seen(Failed, &[(Failed, 3)])), Look::AtAll);
}
