//! The ports: AWS Batch, object storage and logs as small traits, and the SDK behind them.

pub(crate) mod about;
pub mod account;
pub mod batch;
pub mod logs;
pub mod memory;
pub mod pacing;
pub mod pooled;
pub mod sdk;
pub mod store;
pub mod target;
