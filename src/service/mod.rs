//! The service: FlyteAdmin's part for flytekit, in front of AWS Batch.
//!
//! ```text
//! flytekit ──gRPC──► admin ──► entities: registered tasks, workflows, launch plans (S3)
//!     │                └─────► executions ──► run::flow: one driver a workflow, one map execution a node
//!     └──HTTP──► data: files behind signed addresses; pages, health, metrics
//! ```
//! Before all of them stand `tls` and `auth`, where they are asked for.
//!
//! All state is in the bucket, so that any server of it answers the same.

mod admin;
pub mod auth;
mod data;
mod entities;
mod executions;
mod lesser;
mod metrics;
mod pages;
mod proxy;
mod registry;
pub mod server;
mod status;
pub mod tls;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use tonic::service::Routes;

use self::admin::Admin;
use self::auth::{Gate, Roster};
use self::data::Data;
use self::entities::Entities;
use self::executions::Executions;
use self::lesser::Lesser;
use self::metrics::Calls;
use self::proxy::Proxy;
use self::registry::Registry;
use self::rpc::admin_service_server::AdminServiceServer;
use self::rpc::auth_metadata_service_server::AuthMetadataServiceServer;
use self::rpc::data_proxy_service_server::DataProxyServiceServer;
use self::rpc::identity_service_server::IdentityServiceServer;
use self::rpc::signal_service_server::SignalServiceServer;
use crate::run::flow::{Flows, Host};

/// Bytes of one request: inputs of an execution come in it.
const LARGEST_REQUEST: usize = 64 << 20;

/// The gRPC services, generated from `proto/flyteidl/service`.
#[allow(missing_docs, clippy::all, rustdoc::all)]
pub mod rpc {
    include!(concat!(env!("OUT_DIR"), "/services/flyteidl.service.rs"));
}

/// A server's state, and what answers its requests.
pub struct Service {
    flows: Arc<Flows>,
    entities: Arc<Entities>,
    executions: Arc<Executions>,
    data: Arc<Data>,
    face: Face,
}

/// How the service meets its clients; without anything said, in clear and whoever they are.
#[derive(Clone, Debug, Default)]
pub struct Face {
    /// Whether connections are encrypted, so that addresses begin with `https`.
    pub tls: bool,
    /// What addresses begin with, where clients reach the server by another way than their requests say: `https://HOST`.
    pub public_url: Option<String>,
    /// Those who may call.
    pub roster: Option<Arc<Roster>>,
    /// Whether metrics are open to everybody even so.
    pub open_metrics: bool,
    /// Whether only this machine can reach the server: then a name that a stranger could have given it is none of its own.
    pub local: bool,
}

impl Service {
    /// Opens the bucket, and begins to drive what nobody drives.
    ///
    /// # Errors
    /// When the bucket cannot be used; the message says why.
    pub async fn open(host: Host) -> Result<Service, String> {
        let (store, root) = (host.ports.store.clone(), host.root.clone());
        let data = Data::open(store.clone(), root.clone(), host.direct_uploads)
            .await
            .map_err(|status| status.message().to_owned())?;
        let data = Arc::new(data);
        let (registry, definitions) = (Arc::new(Registry::new(store, root)), host.definitions.clone());
        let entities = Arc::new(Entities::new(registry, definitions, host.runner));
        let flows = Arc::new(Flows::open(host));
        let executions = Arc::new(Executions::new(flows.clone(), entities.clone(), data.clone()));
        Ok(Service { flows, entities, executions, data, face: Face::default() })
    }

    /// The same, meeting its clients like this.
    #[must_use]
    pub fn facing(self, face: Face) -> Service {
        Service { face, ..self }
    }

    /// Everything on one port: gRPC, files, pages, health and metrics.
    pub fn router(&self) -> Router {
        let Face { roster, open_metrics, .. } = &self.face;
        let gate = roster.as_ref().map(|roster| {
            let key = self.data.derive_key(auth::CONTEXT);
            Arc::new(Gate::new(roster.clone(), key, *open_metrics))
        });
        let signed_in = gate.is_some();
        let admin = Admin { entities: self.entities.clone(), executions: self.executions.clone() };
        let proxy = Proxy { data: self.data.clone(), executions: self.executions.clone() };
        let admin = AdminServiceServer::new(admin).max_decoding_message_size(LARGEST_REQUEST);
        let grpc = Routes::new(admin)
            .add_service(DataProxyServiceServer::new(proxy))
            .add_service(AuthMetadataServiceServer::new(Lesser { signed_in }))
            .add_service(IdentityServiceServer::new(Lesser { signed_in }))
            .add_service(SignalServiceServer::new(Lesser { signed_in }));
        let plain = Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .with_state(self.flows.clone());
        let calls = Arc::new(Calls::default());
        let counted = Router::new().route("/metrics", get(metrics)).with_state((self.flows.clone(), calls.clone()));
        let all = grpc.into_axum_router().merge(plain).merge(counted).merge(data::routes(self.data.clone()));
        let all = all.merge(pages::routes(self.executions.clone()));
        let all = match gate {
            Some(gate) => {
                all.merge(auth::routes(gate.clone())).layer(axum::middleware::from_fn_with_state(gate, auth::gate))
            }
            None => all,
        };
        let outermost = (calls, Arc::new(self.face.clone()));
        all.layer(axum::middleware::from_fn_with_state(outermost, server::guard))
    }

    /// Stops driving: nothing new is begun, and what AWS Batch holds goes on. Requests must have ended.
    pub async fn stop(self) {
        self.flows.stop().await;
    }
}

/// Whether the bucket answers.
async fn ready(State(flows): State<Arc<Flows>>) -> impl IntoResponse {
    match flows.host().ports.store.now().await {
        Ok(_) => (StatusCode::OK, "ready\n".to_owned()),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    }
}

/// Prometheus's text format.
async fn metrics(State((flows, calls)): State<(Arc<Flows>, Arc<Calls>)>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics::text(&flows, &calls))
}
