//! The driver end to end over an honest Batch and a bucket in memory, on a paused clock.

mod batch;
mod cache;
mod cache_serialize;
mod crash;
mod fence;
mod gc;
mod gc_races;
mod go_plugin_risks;
mod harness;
mod hearing;
mod last_look;
mod limits;
mod outage;
mod outcomes;
mod recover;
mod snapshots;
mod stock;
mod stock_children;
mod store;
mod submission;
mod sweep;
mod terminate;
mod waiting;
