//! Flyte map tasks on AWS Batch array jobs, with no Kubernetes.

pub mod aws;
pub mod cli;
pub mod idl;
pub mod map;
pub mod run;
pub mod worker;
