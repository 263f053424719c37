//! What the integration tests share.

// Each test binary uses its own part of it.
#![allow(dead_code)]

use batchmap::aws::sdk::{Clients, Target, connect};
use batchmap::emulator::server::EndpointConfig;

/// The bucket of the embedded endpoint.
pub const BUCKET: &str = "batchmap";

/// An endpoint's configuration over `data`.
pub fn config(data: &std::path::Path, read_only: bool) -> EndpointConfig {
    EndpointConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        data: data.to_owned(),
        batch: None,
        durable: false,
        read_only,
        buckets: vec![BUCKET.to_owned()],
    }
}

/// The SDK's ports on the endpoint at `url`.
pub async fn clients(url: &str) -> Clients {
    let target = Target { endpoint: Some(url.to_owned()), bucket: BUCKET.to_owned(), ..Target::default() };
    connect(&target).await
}
