//! S3 on a directory: the protocol by the crate `s3s`, the store our own.
//!
//! Any credentials do, and so does none: the endpoint is on this machine, and clients come with whatever the user's
//! environment holds. Signatures are therefore taken off before `s3s` sees the request, and with them goes its decoding
//! of `aws-chunked` bodies, which we do ourselves (`chunked`). All that is looked at of a signature is what it says of the
//! body (`x-amz-content-sha256`) and of its own time: a presigned URL that has expired is refused.

mod api;
mod bucket;
mod chunked;
mod digest;
mod disk;
mod intake;
mod listing;
mod name;
mod object;
mod request;
mod upload;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, Response, StatusCode};
use s3s::host::{S3Host, VirtualHost};
use s3s::service::{S3Service, S3ServiceBuilder};

use bucket::Care;
use disk::Disk;

/// How the object store is kept.
#[derive(Clone, Debug)]
pub struct Config {
    /// The directory that holds a directory for each bucket.
    pub root: PathBuf,
    /// Whether a write is answered only when it is on the disk. It costs a few milliseconds each, so an endpoint that
    /// lives no longer than its driver does without: what a power cut takes from it the run can make again.
    pub durable: bool,
    /// Whether to refuse every write. What a second process opens while an owner may be at work; it lists the objects
    /// there were when it opened.
    pub read_only: bool,
    /// Buckets to make when they are not there.
    pub buckets: Vec<String>,
}

/// The S3 service.
#[derive(Clone)]
pub struct Service(S3Service);

impl Service {
    /// Opens the store.
    ///
    /// # Errors
    /// When the directory cannot be read or, unless `read_only`, written.
    pub fn open(config: Config) -> io::Result<Service> {
        let disk = Disk::open(config.root, Care { durable: config.durable, read_only: config.read_only })?;
        config.buckets.iter().try_for_each(|name| disk.create(name))?;
        let mut builder = S3ServiceBuilder::new(api::Api { disk: Arc::new(disk) });
        builder.set_host(Hosts);
        Ok(Service(builder.build()))
    }

    /// Answers one request.
    pub async fn call(&self, request: Request<Body>) -> Response<Body> {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let id = format!("{:016X}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let answer = match request::prepare(request, time::OffsetDateTime::now_utc()) {
            Ok(request) => self.answer(request).await,
            Err(refused) => refused.to_http_response().map_err(|cause| cause.to_string()),
        };
        let mut answer = match answer {
            // It would have nothing to say: a 304 has no body.
            Ok(answer) if answer.status() == StatusCode::NOT_MODIFIED => answer.map(|_| Body::empty()),
            Ok(answer) => answer.map(Body::new),
            Err(cause) => {
                tracing::error!(cause, "S3 cannot write its answer");
                let mut answer = Response::new(Body::empty());
                *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                answer
            }
        };
        // Clients put it into what they say of errors.
        if let Ok(id) = HeaderValue::from_str(&id) {
            answer.headers_mut().insert("x-amz-request-id", id);
        }
        answer
    }

    async fn answer(&self, mut request: Request<s3s::Body>) -> Result<Response<s3s::Body>, String> {
        let names = |query: &str| query.split('&').any(|pair| pair.split('=').next() == Some("delete"));
        // What is deleted is gone: a request for it must have come as it was sent.
        if request.method() == Method::POST
            && request.uri().query().is_some_and(names)
            && let Err(refused) = intake::check_whole(&mut request).await
        {
            return refused.to_http_response().map_err(|cause| cause.to_string());
        }
        self.0.call(request).await.map_err(|cause| format!("{cause:?}"))
    }
}

/// Buckets as host names: `<bucket>.localhost` and `<bucket>.s3.localhost`, which resolve to this machine. Any other
/// name is the endpoint's own.
struct Hosts;

impl S3Host for Hosts {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> s3s::S3Result<VirtualHost<'a>> {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let own = VirtualHost::new(host);
        let Some(bucket) = name.strip_suffix(".localhost") else { return Ok(own) };
        match bucket.strip_suffix(".s3").unwrap_or(bucket) {
            "s3" => Ok(own),
            bucket => Ok(own.with_bucket(bucket)),
        }
    }
}
