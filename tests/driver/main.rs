//! The driver end to end over an honest Batch and a bucket in memory, on a paused clock.

mod batch;
mod cache;
mod crash;
mod harness;
mod outage;
mod outcomes;
mod recover;
mod store;
mod submission;
