//! One port for gRPC and plain HTTP.
//!
//! ```text
//! bind(addr) ─► Bound: the address is known ─► serve(router) ─► Serving ─► stop()
//! ```

use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HOST, ORIGIN};
use axum::http::{HeaderValue, Method, StatusCode, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt;
use futures::FutureExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::metrics::Calls;
use super::tls::{Certificates, TlsListener};
use super::{Face, status};
use crate::run::browser;

/// How long [`Serving::stop`] waits for requests under way.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the generated code says of a request that is none.
const UNREADABLE: &str = "failed to decode Protobuf message";

/// How a client reaches this server: `http://HOST:PORT`, or `https://...`.
#[derive(Clone, Debug)]
pub(super) struct ServerUrl(pub String);

/// An address taken, and not served yet: connections wait.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    addr: SocketAddr,
}

/// A server at work.
#[derive(Debug)]
pub struct Serving {
    addr: SocketAddr,
    stopping: CancellationToken,
    task: JoinHandle<io::Result<()>>,
}

/// Takes an address; port 0 takes a free one.
///
/// # Errors
/// When it cannot be had.
pub async fn bind(addr: SocketAddr) -> io::Result<Bound> {
    let listener = TcpListener::bind(addr).await?;
    let addr = listener.local_addr()?;
    Ok(Bound { listener, addr })
}

impl Bound {
    /// The address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Begins to serve, in clear.
    pub fn serve(self, router: Router) -> Serving {
        let stopping = CancellationToken::new();
        let stopped = stopping.clone().cancelled_owned();
        // An answer is more than one write, and a client that has the first one waits for the others before it says so.
        let listener = self.listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection is slower than it need be");
            }
        });
        let serving = axum::serve(listener, router).with_graceful_shutdown(stopped);
        Serving { addr: self.addr, stopping, task: tokio::spawn(serving.into_future()) }
    }

    /// Begins to serve over TLS alone: HTTP/2 and HTTP/1.1, as the client chooses in its handshake.
    ///
    /// # Errors
    /// When TLS cannot be set up at all.
    pub fn serve_tls(self, router: Router, certificates: Arc<Certificates>) -> io::Result<Serving> {
        let config = certificates.server_config().map_err(io::Error::other)?;
        let stopping = CancellationToken::new();
        let stopped = stopping.clone().cancelled_owned();
        let listener = TlsListener::new(self.listener, self.addr, config);
        let serving = axum::serve(listener, router).with_graceful_shutdown(stopped);
        Ok(Serving { addr: self.addr, stopping, task: tokio::spawn(serving.into_future()) })
    }
}

impl Serving {
    /// The address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Takes no new connection, lets requests under way end, and returns when they have, or after five seconds: a client
    /// that has gone to sleep in the middle of one is not waited for.
    ///
    /// # Errors
    /// When serving had failed.
    pub async fn stop(mut self) -> io::Result<()> {
        self.stopping.cancel();
        match tokio::time::timeout(PATIENCE, &mut self.task).await {
            Ok(ended) => ended.map_err(io::Error::other)?,
            Err(_) => {
                tracing::warn!("requests were still under way when the server stopped");
                self.task.abort();
                Ok(())
            }
        }
    }
}

/// Around every request: tells handlers how the client reaches this server, turns a panic into INTERNAL, and gives what
/// is not served a sentence.
pub(super) async fn guard(
    State((calls, face)): State<(Arc<Calls>, Arc<Face>)>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path().to_owned();
    let grpc = is_grpc(request.headers().get(CONTENT_TYPE));
    if let Some(refused) = unfit(&face, &request, grpc) {
        return refused;
    }
    let url = ServerUrl(server_url(&face, &request));
    request.extensions_mut().insert(url);
    let began = Instant::now();
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) if grpc => {
            let response = explained(response, &path);
            calls.count(&path, response.headers(), began.elapsed());
            response
        }
        // The generated code answers every path that it does not know, whoever asks.
        Ok(response) if response.headers().contains_key("grpc-status") => {
            (StatusCode::NOT_FOUND, format!("there is nothing at {path}\n")).into_response()
        }
        Ok(response) => response,
        Err(_) => {
            tracing::error!(path, "a request broke its handler");
            let message = "batchmap has a fault of its own here; the server's log says more";
            if grpc {
                let response = status::status(Code::Internal, message).into_http::<Body>();
                calls.count(&path, response.headers(), began.elapsed());
                response
            } else {
                (StatusCode::INTERNAL_SERVER_ERROR, format!("{message}\n")).into_response()
            }
        }
    }
}

/// The answer to what no client of ours sends: requests of web pages, and calls that are not gRPC's own. The generated code
/// would carry out any body that it can read, and a browser sends some kinds of bodies without asking anybody first.
fn unfit(face: &Face, request: &Request, grpc: bool) -> Option<Response> {
    let host = host(request);
    let public = face.public_url.as_deref().and_then(|url| url.split_once("://")).map(|(_, host)| host);
    let local = face.local && (public.is_none() || public != host.as_deref());
    let origin = request.headers().get(ORIGIN).map(|origin| origin.to_str().unwrap_or("?"));
    if let Some(why) = browser::refusal(origin, host.as_deref(), local) {
        return Some(match grpc {
            true => status::status(Code::PermissionDenied, why).into_http::<Body>(),
            false => (StatusCode::FORBIDDEN, format!("{why}\n")).into_response(),
        });
    }
    let fits = grpc && *request.method() == Method::POST && request.version() == Version::HTTP_2;
    if !request.uri().path().starts_with("/flyteidl.") || fits {
        return None;
    }
    let message = "gRPC is due here: a POST of application/grpc over HTTP/2\n";
    Some((StatusCode::UNSUPPORTED_MEDIA_TYPE, message).into_response())
}

/// What the client calls this server.
fn host(request: &Request) -> Option<String> {
    let authority = request.uri().authority().map(|authority| authority.as_str().to_owned());
    authority.or_else(|| request.headers().get(HOST)?.to_str().ok().map(str::to_owned))
}

/// How the client of a request reaches this server.
fn server_url(face: &Face, request: &Request) -> String {
    if let Some(url) = &face.public_url {
        return url.clone();
    }
    let scheme = if face.tls { "https" } else { "http" };
    format!("{scheme}://{}", host(request).unwrap_or_default())
}

pub(super) fn is_grpc(content_type: Option<&HeaderValue>) -> bool {
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// What is not served is answered UNIMPLEMENTED without a word by the generated code, and what cannot be read INTERNAL.
fn explained(response: Response, path: &str) -> Response {
    let told = Status::from_header_map(response.headers());
    let status = match told {
        Some(told) if told.code() == Code::Unimplemented && told.message().is_empty() => {
            status::unimplemented(format!("batchmap does not serve {}", path.trim_start_matches('/')))
        }
        // The caller's mistake, and none of the server's.
        Some(told) if told.code() == Code::Internal && told.message().starts_with(UNREADABLE) => {
            status::invalid(format!("the request cannot be read: {}", told.message()))
        }
        _ => return response,
    };
    status.into_http::<Body>()
}
