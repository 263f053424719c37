//! Executions of workflows over a bucket in memory and a scripted Batch: hosts that die, hand over and meet, and a bucket
//! that is out of reach.

mod abort;
#[path = "../driver/batch.rs"]
#[allow(dead_code)]
mod batch;
mod crash;
mod gc;
mod kinds;
mod lease;
mod line;
mod outage;
mod pooled;
mod steps;
#[path = "../driver/stock_children.rs"]
mod stock_children;
#[path = "../driver/store.rs"]
#[allow(dead_code)]
mod store;
mod views;
mod world;
