//! The driver end to end over an honest Batch and a bucket in memory, on a paused clock.

mod batch;
mod crash;
mod harness;
mod limits;
mod outage;
mod outcomes;
mod store;
mod submission;
mod waiting;
