//! The service: FlyteAdmin for flytekit, in front of AWS Batch.

/// The gRPC services, generated from `proto/flyteidl/service`.
#[allow(missing_docs, clippy::all, rustdoc::all)]
pub mod rpc {
    include!(concat!(env!("OUT_DIR"), "/services/flyteidl.service.rs"));
}
