//! The driver end to end over an honest Batch and a bucket in memory, on a paused clock.

mod batch;
mod crash;
mod go_plugin_risks;
mod harness;
mod outage;
mod outcomes;
mod store;
mod submission;
