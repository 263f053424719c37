//! Request bodies on their way to disk, checked against what the client said of them.

use std::path::PathBuf;

use axum::http::{Extensions, HeaderMap};
use bytes::Bytes;
use futures::StreamExt;
use s3s::dto::StreamingBlob;
use s3s::{S3Error, S3Result, s3_error};

use super::chunked::Trailers;
use super::digest::{Algorithm, Checksum, base64};
use super::object::{Closed, Draft};

/// Bytes gathered before they are digested and written, off the threads that serve.
const GATHER: usize = 1024 * 1024;

/// What a request says of its body.
struct Claims {
    length: Option<u64>,
    md5: Option<String>,
    algorithm: Option<Algorithm>,
    checksum: Option<String>,
    trailers: Option<Trailers>,
}

impl Claims {
    fn read(headers: &HeaderMap, extensions: &Extensions) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let in_header = Algorithm::ALL.into_iter().find_map(|a| Some((a, text(a.header())?.to_owned())));
        let announced = || {
            let named = text("x-amz-trailer").map(str::trim);
            let in_trailer =
                Algorithm::ALL.into_iter().find(|a| named.is_some_and(|n| n.eq_ignore_ascii_case(a.header())));
            in_trailer.or_else(|| Algorithm::named(text("x-amz-sdk-checksum-algorithm")?))
        };
        let (algorithm, checksum) = match in_header {
            Some((algorithm, value)) => (Some(algorithm), Some(value)),
            None => (announced(), None),
        };
        Claims {
            length: text("content-length").and_then(|length| length.parse().ok()),
            md5: text("content-md5").map(str::to_owned),
            algorithm,
            checksum,
            trailers: extensions.get::<Trailers>().cloned(),
        }
    }

    fn check(&self, size: u64, md5: &[u8], checksum: Option<&Checksum>) -> S3Result<()> {
        if self.length.is_some_and(|length| length != size) {
            return Err(s3_error!(IncompleteBody, "Content-Length and the body differ"));
        }
        if self.md5.as_deref().is_some_and(|claimed| claimed != base64(md5)) {
            return Err(s3_error!(BadDigest, "Content-MD5 is not that of the body"));
        }
        let Some((algorithm, value)) = checksum else { return Ok(()) };
        let trailer = || self.trailers.as_ref()?.get(algorithm.header());
        match self.checksum.clone().or_else(trailer) {
            Some(claimed) if claimed != *value => {
                Err(s3_error!(BadDigest, "the {} given is not that of the body", algorithm.name()))
            }
            _ => Ok(()),
        }
    }
}

/// A body that has arrived; what is left to do takes the disk.
pub(super) struct Intake {
    draft: Draft,
    gathered: Vec<Bytes>,
    claims: Claims,
}

/// A body that has been written and checked.
pub(super) struct Stored {
    pub(super) md5: Vec<u8>,
    pub(super) checksum: Option<Checksum>,
    pub(super) closed: Closed,
}

impl Intake {
    /// Takes a body in. Of one longer than a mebibyte all but the end is at `path` then.
    pub(super) async fn receive(
        body: Option<StreamingBlob>,
        headers: &HeaderMap,
        extensions: &Extensions,
        path: PathBuf,
    ) -> S3Result<Intake> {
        let claims = Claims::read(headers, extensions);
        let mut draft = Draft::new(path, claims.algorithm);
        let mut gathered = Vec::new();
        let mut size = 0;
        let Some(mut body) = body else { return Ok(Intake { draft, gathered, claims }) };
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|cause| S3Error::with_source(s3s::S3ErrorCode::IncompleteBody, cause))?;
            size += piece.len();
            gathered.push(piece);
            if size >= GATHER {
                let pieces = std::mem::take(&mut gathered);
                draft = blocking(move || add(draft, pieces)).await?;
                size = 0;
            }
        }
        Ok(Intake { draft, gathered, claims })
    }

    /// Writes and checks the rest. Blocks.
    pub(super) fn store(self) -> S3Result<Stored> {
        let draft = add(self.draft, self.gathered)?;
        let size = draft.size();
        let (md5, checksum, closed) = draft.close();
        self.claims.check(size, &md5, checksum.as_ref())?;
        Ok(Stored { md5, checksum, closed })
    }
}

fn add(mut draft: Draft, pieces: Vec<Bytes>) -> S3Result<Draft> {
    pieces.iter().try_for_each(|piece| draft.add(piece)).map_err(S3Error::internal_error)?;
    Ok(draft)
}

/// Does what takes the disk on a thread that may wait.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> S3Result<T> + Send + 'static) -> S3Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(S3Error::internal_error)?
}
