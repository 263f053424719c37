//! batchmap as a user runs it: the binary in a folder of its own, on the embedded endpoint.

mod around;
mod bad_input;
mod cache;
mod checkpoint;
mod concurrency;
mod doctor;
mod edges;
mod elsewhere;
mod examples;
mod go_plugin_risks;
mod interrupts;
mod limits;
mod outcomes;
mod place;
mod recover;
mod serve;
#[path = "../support/skip.rs"]
mod skip;
