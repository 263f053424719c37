//! AWS Batch and S3 on one machine.
//!
//! [`server`] is the endpoint: one loopback port for all services. [`s3`] is the object store behind it; AWS Batch and
//! CloudWatch Logs are handed in as a router. [`folder`] decides which of the processes that share a `.batchmap/`
//! serves it.

pub mod folder;
pub mod s3;
pub mod server;
