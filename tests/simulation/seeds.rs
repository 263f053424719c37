//! Many cases on all cores, each reported with the command that runs it alone.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::script::Script;
use crate::world::{Report, World};

/// Failures after which the rest is left out.
const ENOUGH: usize = 5;

/// Runs a script in a runtime of its own: one thread, and time that passes when nothing is left to do.
pub fn simulate(script: Script) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async { World::new(script).run().await })
}

/// Runs every case; `command` is how to run one alone.
///
/// # Panics
/// When one fails, with the command of each that did.
pub fn all<T: Sync>(cases: &[T], run: impl Fn(&T) + Sync, command: impl Fn(&T) -> String + Sync) {
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            if failures.lock().unwrap().len() >= ENOUGH {
                return;
            }
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(case))) {
                let failure = format!("{}\n    replay it with: {}", words(&panic), command(case));
                // At once as well: whoever waits for the rest may want to begin.
                eprintln!("{failure}");
                failures.lock().unwrap().push(failure);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get());
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
}

fn words(panic: &Box<dyn Any + Send>) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words")
}
