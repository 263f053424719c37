//! Flyte map tasks on AWS Batch array jobs, with no Kubernetes.

pub mod aws;
pub mod emulator;
pub mod idl;
pub mod map;
