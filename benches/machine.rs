//! Plan and bitset at ten million subtasks: what the driver's own decisions cost, without any I/O.

use std::hint::black_box;
use std::time::Instant;

use batchmap::map::event::Event;
use batchmap::map::execution::{Action, Execution, Terms};
use batchmap::map::index::OriginalIndex;
use batchmap::map::plan::Packs;
use batchmap::map::ranges::Ranges;
use batchmap::map::task::{Completion, ConcurrencyMode};

const SUBTASKS: u64 = 10_000_000;
const PACK: u64 = 10_000;

fn main() {
    let packs = || Packs::new((0..SUBTASKS).step_by(PACK as usize).collect(), SUBTASKS);
    let terms = Terms {
        min_successes: SUBTASKS - 1000,
        concurrency: 0,
        mode: ConcurrencyMode::Rolling,
        completion: Completion::Settled,
        retries: 1,
        interruptible: false,
        run_all: false,
    };
    let mut execution = timed("plan 10 million subtasks into arrays", SUBTASKS, || {
        let mut execution = Execution::new(terms, packs());
        while let Some(Action::Record(event)) = execution.next_action() {
            execution.handle(&event).expect("a decision of its own");
        }
        execution
    });
    println!("  {} arrays, {} bytes of outcomes", execution.arrays().len(), execution.outcomes().bytes());
    for array in 0..execution.arrays().len() as u32 {
        execution.handle(&Event::Submitted { array, job: format!("job-{array}") }).expect("it was planned");
    }
    timed("settle 10 million successes, an array at a time", SUBTASKS, || {
        for array in 0..(SUBTASKS / PACK) as u32 {
            let succeeded = Ranges::span(OriginalIndex(u64::from(array) * PACK), PACK);
            let event = Event::Settled { array, succeeded, failures: Vec::new(), ended: true };
            execution.handle(&event).expect("it runs");
        }
    });
    timed("count and fold the summary", 1, || black_box(execution.summary()));
    timed("walk 10 million outcomes", SUBTASKS, || {
        (0..SUBTASKS)
            .filter(|&index| {
                execution.outcomes().get(OriginalIndex(index)) == batchmap::map::bitset::Outcome::Succeeded
            })
            .count()
    });
    many_arrays();
}

/// A million children at a small concurrency: a million arrays, nearly all of them over.
fn many_arrays() {
    const ARRAYS: u32 = 1_000_000;
    let size = u64::from(ARRAYS);
    let terms = Terms {
        min_successes: size,
        concurrency: 1,
        mode: ConcurrencyMode::Rolling,
        completion: Completion::Settled,
        retries: 0,
        interruptible: false,
        run_all: false,
    };
    let packs = || Packs::new((0..size).step_by(PACK as usize).collect(), size);
    let mut execution = Execution::new(terms.clone(), packs());
    timed("plan, submit and end a million arrays of one", size, || {
        for array in 0..ARRAYS {
            while let Some(Action::Record(event)) = execution.next_action() {
                execution.handle(&event).expect("a decision of its own");
            }
            let job = format!("{array:08x}-9a3b-4c1d-8e2f-00112233aaff");
            execution.handle(&Event::Submitted { array, job }).expect("it was planned");
            let succeeded = Ranges::span(OriginalIndex(u64::from(array)), 1);
            let event = Event::Settled { array, succeeded, failures: Vec::new(), ended: true };
            execution.handle(&event).expect("it runs");
        }
    });
    println!("  {} bytes for {} arrays", execution.arrays().bytes(), execution.arrays().len());
    let text = timed("write a snapshot of it", size, || serde_json::to_vec(&execution.snapshot()).expect("plain data"));
    println!("  {} bytes of snapshot", text.len());
    let again = timed("read that snapshot", size, || {
        let snapshot = serde_json::from_slice(&text).expect("just written");
        Execution::restore(terms, packs(), snapshot).expect("just written")
    });
    assert_eq!(again.outcomes(), execution.outcomes());
}

fn timed<T>(what: &str, items: u64, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let made = work();
    let took = start.elapsed();
    println!("{what}: {:.1} ms, {:.1} ns each", took.as_secs_f64() * 1e3, took.as_nanos() as f64 / items as f64);
    made
}
