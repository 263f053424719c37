//! The service as clients see it: gRPC and HTTP on a loopback port, over a bucket in memory and a scripted Batch.

#[path = "../driver/batch.rs"]
#[allow(dead_code)]
mod batch;
mod entities;
mod executions;
mod files;
#[path = "../flow/line.rs"]
#[allow(dead_code)]
mod line;
mod peer;
#[path = "../driver/stock_children.rs"]
mod stock_children;
#[path = "../driver/store.rs"]
#[allow(dead_code)]
mod store;
#[path = "../flow/world.rs"]
mod world;
