//! Flyte map tasks on AWS Batch array jobs, with no Kubernetes.

pub mod aws;
pub mod idl;
pub mod map;
pub mod worker;
