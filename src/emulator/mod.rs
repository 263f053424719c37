//! AWS Batch on one machine.

pub mod batch;
pub mod logs;
pub mod runner;
