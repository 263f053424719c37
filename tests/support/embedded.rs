//! The embedded endpoint, with no more than S3.

use batchmap::aws::sdk::Clients;
use batchmap::emulator::server::Endpoint;

use crate::support::{clients, config};

/// An endpoint of its own, on a directory of its own.
pub struct Embedded {
    pub endpoint: Endpoint,
    pub directory: tempfile::TempDir,
}

impl Embedded {
    pub async fn start() -> Embedded {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let endpoint = Endpoint::start(config(directory.path(), false)).await.expect("the endpoint starts");
        Embedded { endpoint, directory }
    }

    pub async fn clients(&self) -> Clients {
        clients(&self.endpoint.url()).await
    }

    pub async fn stop(self) {
        self.endpoint.stop().await;
    }
}
