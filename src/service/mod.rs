//! The service: FlyteAdmin's part for flytekit, in front of AWS Batch.
//!
//! ```text
//! flytekit ──gRPC──► admin ──► entities: registered tasks, workflows, launch plans (S3)
//!     │                └─────► executions ──► run::flow: one driver a workflow, one map execution a node
//!     └──HTTP──► data: files behind signed addresses; health, metrics
//! ```
//!
//! All state is in the bucket, so that any server of it answers the same.

mod admin;
mod data;
mod entities;
mod lesser;
mod registry;
pub mod server;
mod status;

/// The gRPC services, generated from `proto/flyteidl/service`.
#[allow(missing_docs, clippy::all, rustdoc::all)]
pub mod rpc {
    include!(concat!(env!("OUT_DIR"), "/services/flyteidl.service.rs"));
}
