//! The files behind signed paths, over plain HTTP.

use std::io::Write;
use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::{StreamExt, stream};
use md5::{Digest, Md5};

use super::sign::{Action, Refusal};
use super::{Data, hex};
use crate::aws::store::StoreError;
use crate::idl::base64;

/// Bytes of one upload.
const LARGEST: u64 = 5 << 30;

/// Bytes of a download that are read at once.
const CHUNK: u64 = 4 << 20;

type Signed = Path<(String, String, String, String)>;

/// The routes of files.
pub(in crate::service) fn routes(data: Arc<Data>) -> Router {
    Router::new().route("/files/{action}/{expires}/{signature}/{*key}", get(download).put(upload)).with_state(data)
}

async fn upload(State(data): State<Arc<Data>>, Path(path): Signed, headers: HeaderMap, body: Body) -> Response {
    let (action, expires, signature, key) = path;
    let due = match data.signer.check((&action, &expires, &signature), &key, SystemTime::now()) {
        Ok(Action::Upload { md5 }) => md5,
        Ok(Action::Download) => return refuse(StatusCode::METHOD_NOT_ALLOWED, "this address is for reading"),
        Err(refusal) => return refused(refusal),
    };
    let said = headers.get("content-md5").map(|value| value.to_str().unwrap_or_default().to_owned());
    let (file, found) = match spool(body).await {
        Ok(spooled) => spooled,
        Err((code, message)) => return refuse(code, &message),
    };
    if !due.is_empty() && due != hex(&found) {
        let message = format!(
            "the body's MD5 is {}, and the address is for {due}: send the file that it was asked for",
            hex(&found)
        );
        return refuse(StatusCode::BAD_REQUEST, &message);
    }
    if said.is_some_and(|said| said != base64::encode(&found)) {
        return refuse(
            StatusCode::BAD_REQUEST,
            "Content-MD5 is not the body's: it was damaged on its way; send it again",
        );
    }
    match data.store.upload(&key, file.path()).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => failed(&error),
    }
}

/// Takes a body to a file, for it may be large, and digests it on its way.
async fn spool(body: Body) -> Result<(tempfile::NamedTempFile, Vec<u8>), (StatusCode, String)> {
    let disk = |error: std::io::Error| {
        let folder = std::env::temp_dir();
        let message =
            format!("cannot keep the upload in {}: {error}; make room there, or set TMPDIR", folder.display());
        (StatusCode::INSUFFICIENT_STORAGE, message)
    };
    let mut file = tempfile::NamedTempFile::new().map_err(disk)?;
    let (mut digest, mut size) = (Md5::new(), 0_u64);
    let mut body = body.into_data_stream();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| (StatusCode::BAD_REQUEST, format!("the body broke off: {error}")))?;
        size += chunk.len() as u64;
        if size > LARGEST {
            return Err((StatusCode::PAYLOAD_TOO_LARGE, format!("at most {LARGEST} bytes are taken")));
        }
        digest.update(&chunk);
        file.write_all(&chunk).map_err(disk)?;
    }
    Ok((file, digest.finalize().to_vec()))
}

async fn download(State(data): State<Arc<Data>>, Path(path): Signed) -> Response {
    let (action, expires, signature, key) = path;
    match data.signer.check((&action, &expires, &signature), &key, SystemTime::now()) {
        Ok(Action::Download) => {}
        Ok(Action::Upload { .. }) => return refuse(StatusCode::METHOD_NOT_ALLOWED, "this address is for writing"),
        Err(refusal) => return refused(refusal),
    }
    // The first key that begins so is the object itself, if it is there.
    let size = match data.store.list(&key, None).await {
        Ok(page) => page.objects.first().filter(|object| object.key == key).map(|object| object.size),
        Err(error) => return failed(&error),
    };
    let Some(size) = size else {
        return refuse(StatusCode::NOT_FOUND, "there is no such object any more");
    };
    let chunks = stream::unfold((data, key, 0), move |(data, key, at)| async move {
        if at >= size {
            return None;
        }
        let end = (at + CHUNK).min(size);
        let chunk = data.store.get_range(&key, at..end).await;
        // After an error nothing more is read: the client sees a body that breaks off.
        let next = if chunk.is_ok() { end } else { size };
        Some((chunk, (data, key, next)))
    });
    let headers = [(CONTENT_LENGTH, size.to_string()), (CONTENT_TYPE, "application/octet-stream".to_owned())];
    (headers, Body::from_stream(chunks)).into_response()
}

fn refused(refusal: Refusal) -> Response {
    match refusal {
        Refusal::Forged => refuse(StatusCode::FORBIDDEN, "this server has not signed this address"),
        Refusal::Expired => refuse(StatusCode::FORBIDDEN, "the address's time is over: ask for another one"),
    }
}

fn refuse(code: StatusCode, message: &str) -> Response {
    (code, format!("{message}\n")).into_response()
}

fn failed(error: &StoreError) -> Response {
    tracing::warn!(%error, "a file could not be moved");
    let code = match error {
        StoreError::Unreachable { .. } => StatusCode::BAD_GATEWAY,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    refuse(code, &error.to_string())
}
