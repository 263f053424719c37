//! The service as clients see it: gRPC and HTTP on a loopback port, over a bucket in memory and a scripted Batch.

mod access;
#[path = "../driver/batch.rs"]
#[allow(dead_code)]
mod batch;
#[path = "../support/certificates.rs"]
mod certificates;
mod entities;
mod executions;
mod files;
mod hostile;
#[path = "../flow/line.rs"]
#[allow(dead_code)]
mod line;
mod lists;
mod metrics;
mod peer;
mod running;
#[path = "../support/skip.rs"]
mod skip;
#[path = "../driver/stock_children.rs"]
mod stock_children;
#[path = "../driver/store.rs"]
#[allow(dead_code)]
mod store;
mod tls;
#[path = "../flow/world.rs"]
mod world;
