//! Flyte's tasks: their conversion, their staging and the worker that runs their commands, with and without flytekit.

#[path = "../support/child.rs"]
#[allow(dead_code)]
mod child;
#[path = "../support/definition.rs"]
mod definition;
#[path = "../support/emulator.rs"]
mod emulator;
#[path = "../support/flytekit.rs"]
mod flytekit;
#[path = "../support/skip.rs"]
mod skip;

mod convert;
mod kit;
mod shell;
mod staging;
mod stock;
mod worker;

/// Not a test: the process in which the others run the worker.
#[test]
#[ignore = "other tests start it"]
fn worker_process() {
    // Asked for by name without a test around it, it has nothing to do.
    if let Some(folder) = child::worker_folder() {
        std::process::exit(child::worker_process(&folder));
    }
}
