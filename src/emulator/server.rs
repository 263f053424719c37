//! The endpoint: one port for all services, as one `AWS_ENDPOINT_URL` wants it.
//!
//! ```text
//! bind(addr) ─► Bound: the URL is known, children can be told ─► serve(services) ─► Endpoint ─► stop()
//! ```

mod connection;
mod elsewhere;
mod service;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue};
use axum::http::{Request, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::connection::Limits;
use self::connection::{Open, Patient};
pub(super) use self::service::{Service, service};
use super::faults::{Faulty, Gate};
use super::record::{self, Recorder};
use super::s3;
use crate::run::browser;

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
    limits: Limits,
    recorder: Option<Arc<Recorder>>,
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
    limits: Limits,
    recorder: Option<Arc<Recorder>>,
}

impl Bound {
    /// `http://<address>:<port>`, as this machine reaches it.
    pub fn url(&self) -> String {
        url(self.addr)
    }

    /// The address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Sets what clients may take.
    pub fn limited(self, limits: Limits) -> Bound {
        Bound { limits, ..self }
    }

    /// Records what IAM would be asked, elsewhere than the environment says.
    pub fn recording(self, recorder: Arc<Recorder>) -> Bound {
        Bound { recorder: Some(recorder), ..self }
    }

    /// Begins to serve: S3 by `s3`, all else by `batch`.
    pub fn serve(self, s3: s3::Service, batch: Option<Router>) -> Endpoint {
        self.serve_behind(None, s3, batch)
    }

    /// The same behind a gate that makes requests fail on purpose.
    pub fn serve_behind(self, gate: Option<Arc<Gate>>, s3: s3::Service, batch: Option<Router>) -> Endpoint {
        let id = identity(self.addr);
        let limits = self.limits;
        let services = Services { s3, id: id.clone(), limits, recorder: self.recorder };
        let unserved = || async { (StatusCode::NOT_IMPLEMENTED, "this endpoint serves S3 only\n") };
        // The layer wraps the fallback as well, so it sees every request.
        let router = batch.unwrap_or_else(|| Router::new().fallback(unserved));
        let router = router.layer(axum::middleware::from_fn_with_state(services, dispatch));
        let (stopping, breaking) = (CancellationToken::new(), CancellationToken::new());
        let tasks = TaskTracker::new();
        let service = Faulty::new(router, gate, self.addr.ip().is_loopback());
        let accept = accept(self.listener, service, limits, stopping.clone(), breaking.clone(), tasks.clone());
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
        Ok(Bound { listener, addr, limits: Limits::default(), recorder: Recorder::of_environment() })
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

    /// `http://<address>:<port>`, as this machine reaches it.
    pub fn url(&self) -> String {
        url(self.addr)
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

/// The answer to a request of a web page, in the form of AWS's errors; none to all others.
pub(super) fn page(headers: &HeaderMap, local: bool) -> Option<Response> {
    let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or("?"));
    let why = browser::refusal(text(ORIGIN), text(HOST), local)?;
    let body = format!("{}\n", serde_json::json!({ "message": why }));
    let kind = [("x-amzn-errortype", "AccessDeniedException")];
    Some((StatusCode::FORBIDDEN, kind, [(CONTENT_TYPE, "application/json")], body).into_response())
}

/// An address that stands for all of a machine's is called by its loopback.
fn url(addr: SocketAddr) -> String {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, addr.port()))
}

fn identity(addr: SocketAddr) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let seed = format!("{addr}/{}/{}", std::process::id(), now.as_nanos());
    blake3::hash(seed.as_bytes()).to_hex()[..32].to_owned()
}

async fn accept(
    listener: TcpListener,
    service: Faulty,
    limits: Limits,
    stopping: CancellationToken,
    breaking: CancellationToken,
    tasks: TaskTracker,
) {
    let mut open = Open::default();
    loop {
        let connection = tokio::select! {
            () = stopping.cancelled() => return,
            connection = listener.accept() => connection,
        };
        match connection {
            Ok((stream, _)) => {
                let (service, breaking) = (service.for_connection(), breaking.clone());
                let (end, ended) = open.enter(limits.connections, &stopping);
                tasks.spawn(async move {
                    let _ended = ended;
                    tokio::select! {
                        () = breaking.cancelled() => {}
                        () = converse(stream, service, limits, end) => {}
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

/// Serves one connection until the client leaves it, or until it is idle once told to end.
async fn converse(stream: TcpStream, service: Faulty, limits: Limits, end: CancellationToken) {
    // Answers are small and awaited; delaying them to fill a packet costs 40 ms each.
    if let Err(cause) = stream.set_nodelay(true) {
        tracing::debug!(%cause, "cannot set TCP_NODELAY");
    }
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    // A client that says it sends no more still wants its answer: half-closed connections are served.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.head).half_close(true);
    builder.http1().max_buf_size(limits.head_bytes);
    let stream = TokioIo::new(Patient::new(stream, limits.answer));
    let asked = service.asked();
    let connection = builder.serve_connection(stream, service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = end.cancelled() => {
            connection.as_mut().graceful_shutdown();
            if !asked.load(Ordering::Relaxed) {
                // There is nothing to finish: it has sent no request, or has not done so yet.
                return;
            }
            connection.await
        }
    };
    if let Err(cause) = ended {
        tracing::debug!(%cause, "a connection broke");
    }
}

async fn dispatch(State(services): State<Services>, request: Request<Body>, next: Next) -> Response {
    let expects = request.headers().contains_key(EXPECT);
    let empty = request.headers().get(CONTENT_LENGTH).is_some_and(|length| length == "0");
    let mut request = request.map(|body| connection::impatient(body, services.limits.body));
    let mut noted = None;
    if let Some(recorder) = &services.recorder {
        (request, noted) = match recorder.note(record::operation(&request), request).await {
            Ok(noted) => noted,
            Err(status) => return status.into_response(),
        };
    }
    let mut response = match service(request.method(), request.uri().path(), request.uri().query(), request.headers()) {
        Service::S3 => services.s3.call(request).await,
        Service::Router => next.run(request).await,
        Service::Identity => services.id.into_response(),
        Service::Identities => elsewhere::identify(request, &services.id).await,
        Service::Unserved(name) => elsewhere::unserved(&name, &request, &services.id),
    };
    if let Some(noted) = noted {
        noted.answered(response.status());
    }
    // A client that waited for "100 Continue" and is refused sends no body, though it has announced one. On a kept
    // connection the beginning of its next request would be taken for that body. One that announces a body of no bytes is not
    // told to go on either, and older boto3 then misreads the next answer on that connection.
    if expects && (empty || !response.status().is_success()) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_no_answer_is_let_go() {
        let endless = || async {
            let piece = bytes::Bytes::from_static(&[b'x'; 1 << 16]);
            Body::from_stream(futures::stream::repeat_with(move || Ok::<_, io::Error>(piece.clone())))
        };
        let service = Faulty::new(Router::new().fallback(endless), None, true);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let mut deaf = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        deaf.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let (limits, end) = (Limits::default(), CancellationToken::new());
        let given_up = converse(stream, service.for_connection(), limits, end);
        // Virtual time: it passes when nothing else is left to do.
        tokio::time::timeout(limits.answer * 10, given_up).await.expect("it does not wait for ever");
        let mut answer = Vec::new();
        // What the system held comes, and then an end, in whatever form.
        let _ = deaf.read_to_end(&mut answer).await;
        assert!(answer.starts_with(b"HTTP/1.1 200"), "it was answered");
    }

    /// An endpoint with a bucket called `bucket`, and a connection to it.
    async fn connected(data: &std::path::Path) -> (Endpoint, TcpStream) {
        let config = EndpointConfig {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            data: data.to_owned(),
            batch: None,
            durable: false,
            read_only: false,
            buckets: vec!["bucket".to_owned()],
        };
        let endpoint = Endpoint::start(config).await.unwrap();
        let client = TcpStream::connect(endpoint.addr()).await.unwrap();
        (endpoint, client)
    }

    /// Reads up to and with `end`.
    async fn read_until(client: &mut TcpStream, end: &str) -> String {
        let mut read = Vec::new();
        while !read.ends_with(end.as_bytes()) {
            read.push(client.read_u8().await.unwrap_or_else(|error| {
                panic!("{error} after {:?}", String::from_utf8_lossy(&read));
            }));
        }
        String::from_utf8(read).unwrap()
    }

    const LIST: &[u8] = b"GET /bucket?list-type=2 HTTP/1.1\r\nhost: x\r\n\r\n";

    #[tokio::test]
    async fn a_refusal_of_who_waits_to_send_a_body_ends_the_connection() {
        let data = tempfile::tempdir().unwrap();
        let (endpoint, mut client) = connected(data.path()).await;
        let put = "PUT /missing/key HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 500\r\n\r\n";
        client.write_all(put.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
        assert!(answer.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{answer}");
        assert!(answer.ends_with("</Error>"), "one answer and the end, no word of going on: {answer}");
        // The next request on that connection reaches nobody, and is nobody's body.
        let _ = client.write_all(&[LIST, &[b'x'; 500]].concat()).await;
        let mut more = Vec::new();
        let _ = client.read_to_end(&mut more).await;
        assert_eq!(more, b"");
        let mut next = TcpStream::connect(endpoint.addr()).await.unwrap();
        next.write_all(LIST).await.unwrap();
        let listing = read_until(&mut next, "</ListBucketResult>").await;
        assert!(listing.starts_with("HTTP/1.1 200") && listing.contains("<KeyCount>0<"), "{listing}");
        endpoint.stop().await;
    }

    #[tokio::test]
    async fn who_waits_to_send_nothing_is_answered_and_let_go() {
        let data = tempfile::tempdir().unwrap();
        let (endpoint, mut client) = connected(data.path()).await;
        let put = "PUT /bucket/empty HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 0\r\n\r\n";
        client.write_all(put.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        let answer = answer.to_ascii_lowercase();
        assert!(answer.starts_with("http/1.1 200") && answer.contains("\r\nconnection: close\r\n"), "{answer}");
        endpoint.stop().await;
    }

    #[tokio::test]
    async fn who_may_send_a_body_is_told_so_and_keeps_the_connection() {
        let data = tempfile::tempdir().unwrap();
        let (endpoint, mut client) = connected(data.path()).await;
        for key in ["one", "two"] {
            let put =
                format!("PUT /bucket/{key} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n");
            client.write_all(put.as_bytes()).await.unwrap();
            assert_eq!(read_until(&mut client, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
            client.write_all(b"hello").await.unwrap();
            let answer = read_until(&mut client, "\r\n\r\n").await.to_ascii_lowercase();
            assert!(answer.starts_with("http/1.1 200") && !answer.contains("connection: close"), "{answer}");
            assert!(answer.contains("\r\ncontent-length: 0\r\n"), "{answer}");
        }
        client.write_all(LIST).await.unwrap();
        let listing = read_until(&mut client, "</ListBucketResult>").await;
        assert!(listing.contains("<KeyCount>2<") && listing.contains("<Size>5<"), "{listing}");
        endpoint.stop().await;
    }
}
