//! The engine on the emulator's model under virtual time: whole executions with throttling, lost and late calls, stale
//! answers, lost hosts, failing children, clocks that jump, and drivers that die, sleep and meet at any moment.
//!
//! ```text
//! script (a seed) ─► world ─► drivers, each: life ─► Driver ─► wire (gate, trouble, trace) ─► cloud: model, bucket
//!                      │                                                                        │      children
//!                      └──────────► oracle: what must come of it          watch: every step ◄───┘
//! ```
//!
//! A seed replays exactly: `BATCHMAP_TEST_SEEDS=17..18 cargo test --test simulation every_seed`; with
//! `BATCHMAP_TEST_TRACE=1` and `-- --nocapture` it shows every call.

mod acts;
mod children;
mod cloud;
mod crash;
#[path = "../support/definition.rs"]
mod definition;
mod dice;
mod gate;
mod guard;
mod life;
mod oracle;
mod script;
mod seeds;
mod trace;
mod trouble;
mod values;
mod watch;
mod wire;
mod world;

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use script::Script;
use seeds::{all, simulate};

/// The seeds to run: `BATCHMAP_TEST_SEEDS`, or a number that CI has time for.
fn seeds() -> Range<u64> {
    let given = std::env::var("BATCHMAP_TEST_SEEDS").ok();
    let range = given.as_deref().map(|text| {
        let ends = text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
        ends.unwrap_or_else(|| panic!("BATCHMAP_TEST_SEEDS is {text:?}; give such as 17..18"))
    });
    range.unwrap_or(0..2000)
}

fn command(seed: &u64) -> String {
    format!("BATCHMAP_TEST_SEEDS={seed}..{} cargo test --test simulation every_seed", seed + 1)
}

#[test]
fn every_seed_ends_as_its_oracle_says() {
    let (drivers, calls, begun) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let (doubles, hours) = (AtomicU64::new(0), AtomicU64::new(0));
    let (cached, taken) = (AtomicU64::new(0), AtomicU64::new(0));
    let (recovered, removed) = (AtomicU64::new(0), AtomicU64::new(0));
    let run = |seed: &u64| {
        let report = simulate(Script::new(*seed));
        drivers.fetch_add(report.calls.len() as u64, Ordering::Relaxed);
        calls.fetch_add(report.calls.iter().sum(), Ordering::Relaxed);
        begun.fetch_add(report.begun, Ordering::Relaxed);
        doubles.fetch_add(report.doubles, Ordering::Relaxed);
        cached.fetch_add(report.reused.0, Ordering::Relaxed);
        taken.fetch_add(report.reused.1, Ordering::Relaxed);
        recovered.fetch_add(report.recovered, Ordering::Relaxed);
        removed.fetch_add(report.removed, Ordering::Relaxed);
        hours.fetch_add(report.lasted / script::HOUR, Ordering::Relaxed);
    };
    let seeds: Vec<u64> = seeds().collect();
    all(&seeds, run, command);
    println!(
        "{} seeds: {drivers:?} drivers, {calls:?} calls, {begun:?} children begun, {doubles:?} jobs submitted twice, \
         {cached:?} from the cache, {taken:?} taken over by {recovered:?} recoveries, {removed:?} executions removed, \
         {hours:?} hours",
        seeds.len()
    );
}

#[test]
fn a_seed_replays_exactly() {
    let seeds: Vec<u64> = (0..60).collect();
    all(
        &seeds,
        |seed| {
            let (first, second) = (simulate(Script::new(*seed)), simulate(Script::new(*seed)));
            assert_eq!(first.folds, second.folds, "seed {seed} goes another way the second time");
        },
        command,
    );
}
