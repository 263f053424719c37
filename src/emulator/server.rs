//! The endpoint: one port for all services, as one `AWS_ENDPOINT_URL` wants it.
//!
//! ```text
//! bind(addr) ─► Bound: the URL is known, children can be told ─► serve(services) ─► Endpoint ─► stop()
//! ```

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::s3;

/// The path that tells one endpoint from another: no bucket can have that name.
pub const IDENTITY_PATH: &str = "/.batchmap";

/// How long [`Endpoint::stop`] waits for requests under way before it breaks them off.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long to wait after the system could not hand out a connection (too many open files, most often).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What an endpoint serves.
#[derive(Debug)]
pub struct EndpointConfig {
    /// The address to listen on; port 0 takes a free one. Anyone who can reach it can use it: there is no access check.
    pub listen: SocketAddr,
    /// The directory of the endpoint's state; objects are under `s3/` in it.
    pub data: PathBuf,
    /// AWS Batch and CloudWatch Logs. Without it their requests get 501.
    pub batch: Option<Router>,
    /// See [`s3::Config::durable`].
    pub durable: bool,
    /// See [`s3::Config::read_only`].
    pub read_only: bool,
    /// Buckets to make.
    pub buckets: Vec<String>,
}

/// An address taken, and not served yet: connections wait.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    addr: SocketAddr,
}

/// An endpoint at work. Dropping it breaks it off; see [`Endpoint::stop`].
#[derive(Debug)]
pub struct Endpoint {
    addr: SocketAddr,
    id: String,
    stopping: CancellationToken,
    breaking: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Clone)]
struct Services {
    s3: s3::Service,
    id: String,
}

impl Bound {
    /// `http://<address>:<port>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Begins to serve: S3 by `s3`, all else by `batch`.
    pub fn serve(self, s3: s3::Service, batch: Option<Router>) -> Endpoint {
        let id = identity(self.addr);
        let services = Services { s3, id: id.clone() };
        let unserved = || async { (StatusCode::NOT_IMPLEMENTED, "this endpoint serves S3 only\n") };
        // The layer wraps the fallback as well, so it sees every request.
        let router = batch.unwrap_or_else(|| Router::new().fallback(unserved));
        let router = router.layer(axum::middleware::from_fn_with_state(services, dispatch));
        let (stopping, breaking) = (CancellationToken::new(), CancellationToken::new());
        let tasks = TaskTracker::new();
        let accept = accept(self.listener, router, stopping.clone(), breaking.clone(), tasks.clone());
        tasks.spawn(accept);
        tasks.close();
        Endpoint { addr: self.addr, id, stopping, breaking, tasks }
    }
}

impl Endpoint {
    /// Takes an address.
    ///
    /// # Errors
    /// When it cannot be had: in use, not of this machine, or a port that needs privileges.
    pub async fn bind(listen: SocketAddr) -> io::Result<Bound> {
        let listener = TcpListener::bind(listen).await?;
        let addr = listener.local_addr()?;
        Ok(Bound { listener, addr })
    }

    /// Binds, opens the store and serves.
    ///
    /// # Errors
    /// When the address cannot be had or the store not be opened.
    pub async fn start(config: EndpointConfig) -> io::Result<Endpoint> {
        let bound = Endpoint::bind(config.listen).await?;
        let EndpointConfig { data, batch, durable, read_only, buckets, .. } = config;
        let s3 = s3::Config { root: data.join("s3"), durable, read_only, buckets };
        let s3 = tokio::task::spawn_blocking(|| s3::Service::open(s3)).await.map_err(io::Error::other)??;
        Ok(bound.serve(s3, batch))
    }

    /// `http://<address>:<port>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What [`IDENTITY_PATH`] answers: unlike that of any endpoint before or beside this one.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Stops: takes no further connection, answers the requests under way, and after five seconds breaks off what is
    /// left.
    pub async fn stop(self) {
        self.stopping.cancel();
        if tokio::time::timeout(PATIENCE, self.tasks.wait()).await.is_err() {
            tracing::warn!("requests were still under way when the endpoint stopped");
            self.breaking.cancel();
            self.tasks.wait().await;
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.stopping.cancel();
        self.breaking.cancel();
    }
}

fn identity(addr: SocketAddr) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let seed = format!("{addr}/{}/{}", std::process::id(), now.as_nanos());
    blake3::hash(seed.as_bytes()).to_hex()[..32].to_owned()
}

async fn accept(
    listener: TcpListener,
    router: Router,
    stopping: CancellationToken,
    breaking: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        let connection = tokio::select! {
            () = stopping.cancelled() => return,
            connection = listener.accept() => connection,
        };
        match connection {
            Ok((stream, _)) => {
                let (router, stopping, breaking) = (router.clone(), stopping.clone(), breaking.clone());
                tasks.spawn(async move {
                    tokio::select! {
                        () = breaking.cancelled() => {}
                        () = converse(stream, router, stopping) => {}
                    }
                });
            }
            Err(cause) => {
                tracing::warn!(%cause, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection until the client leaves it, or until it is idle once stopping.
async fn converse(stream: TcpStream, router: Router, stopping: CancellationToken) {
    // Answers are small and awaited; delaying them to fill a packet costs 40 ms each.
    if let Err(cause) = stream.set_nodelay(true) {
        tracing::debug!(%cause, "cannot set TCP_NODELAY");
    }
    let builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(cause) = ended {
        tracing::debug!(%cause, "a connection broke");
    }
}

/// Whose request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    Identity,
    S3,
    Other,
}

async fn dispatch(State(services): State<Services>, request: Request<Body>, next: Next) -> Response {
    match service(request.method(), request.uri().path(), request.uri().query(), request.headers()) {
        Service::S3 => services.s3.call(request).await,
        Service::Other => next.run(request).await,
        Service::Identity => services.id.into_response(),
    }
}

/// Tells the services apart: by the header that only the JSON services send, by the service a signature is for, and, of
/// an unsigned request, by its path.
fn service(method: &Method, path: &str, query: Option<&str>, headers: &HeaderMap) -> Service {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if path == IDENTITY_PATH {
        return Service::Identity;
    }
    if text("x-amz-target").is_some() {
        return Service::Other;
    }
    let scope = text(AUTHORIZATION.as_str()).and_then(|value| value.split_once("Credential=")).map(|(_, scope)| scope);
    if let Some(service) = scope.and_then(|scope| scope.split([',', ' ']).next()?.split('/').nth(3)) {
        return if service == "s3" { Service::S3 } else { Service::Other };
    }
    let operation = path.strip_prefix("/v1/").filter(|op| !op.is_empty() && op.bytes().all(|b| b.is_ascii_lowercase()));
    match (method, operation, query) {
        (&Method::POST, Some(_), None) => Service::Other,
        _ => Service::S3,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn told(method: Method, uri: &str, headers: &[(&'static str, &str)]) -> Service {
        let pair = |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), value.parse().unwrap());
        let headers = headers.iter().map(pair).collect();
        let uri: axum::http::Uri = uri.parse().unwrap();
        service(&method, uri.path(), uri.query(), &headers)
    }

    fn signed(service: &str) -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential=AKIA/20261122/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
        )
    }

    #[test]
    fn requests_find_their_service() {
        assert_eq!(told(Method::POST, "/v1/submitjob", &[("authorization", &signed("batch"))]), Service::Other);
        assert_eq!(told(Method::GET, "/v1/tags/arn%3Ax", &[("authorization", &signed("batch"))]), Service::Other);
        assert_eq!(told(Method::POST, "/", &[("x-amz-target", "Logs_20140328.GetLogEvents")]), Service::Other);
        assert_eq!(told(Method::POST, "/v1/describejobs", &[]), Service::Other);
        // A bucket may be called v1.
        assert_eq!(told(Method::PUT, "/v1/object", &[("authorization", &signed("s3"))]), Service::S3);
        assert_eq!(told(Method::POST, "/v1/object?uploads", &[]), Service::S3);
        assert_eq!(told(Method::GET, "/bucket/key?X-Amz-Signature=0", &[]), Service::S3);
        assert_eq!(told(Method::GET, "/bucket/key", &[("authorization", "AWS AKIA:signature")]), Service::S3);
        assert_eq!(told(Method::GET, IDENTITY_PATH, &[]), Service::Identity);
    }
}
