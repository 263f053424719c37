//! The driver end to end over an honest Batch and a bucket in memory, on a paused clock.

mod batch;
mod cache;
mod crash;
mod fence;
mod gc;
mod go_plugin_risks;
mod harness;
mod hearing;
mod last_look;
mod limits;
mod outage;
mod outcomes;
mod recover;
mod snapshots;
mod store;
mod submission;
mod sweep;
mod terminate;
mod waiting;
