//! Uploads and downloads: addresses on this server's own port that stand for objects of the bucket.
//!
//! They are signed, so that whoever has one can use it for its time and its object alone, and they hold no `?`: flytekit
//! takes one for a pattern. Any server of the bucket takes what another one has signed.

mod http;
mod sign;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tonic::Status;

pub(super) use self::http::routes;
use self::sign::{Action, Signer};
use super::registry::fits_a_key;
use super::status;
use crate::aws::store::{Presigned, Store};
use crate::idl::base64;
use crate::idl::service::{
    CreateDownloadLocationRequest, CreateDownloadLocationResponse, CreateUploadLocationRequest,
    CreateUploadLocationResponse,
};
use crate::map::layout::flyte::FlyteRoot;

/// How long an address holds when the client does not say.
const LIFE: Duration = Duration::from_secs(3600);

/// How long it holds at most.
const LONGEST_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

/// What an uploaded object is marked with, as in FlyteAdmin.
const MD5_METADATA: &str = "flyteContentMD5";

/// Characters of a file's name.
const LONGEST_NAME: usize = 255;

/// The way to and from the bucket for clients that know only this server.
pub struct Data {
    store: Arc<dyn Store>,
    root: FlyteRoot,
    signer: Signer,
    direct: bool,
}

impl Data {
    /// Opens the bucket's own secret, or makes it. With `direct`, clients can reach the bucket, and write to it themselves.
    ///
    /// # Errors
    /// When the bucket cannot be used.
    pub async fn open(store: Arc<dyn Store>, root: FlyteRoot, direct: bool) -> Result<Data, Status> {
        let signer = Signer::open(store.as_ref(), &root).await?;
        Ok(Data { store, root, signer, direct })
    }

    /// CreateUploadLocation. `server` is `http://HOST:PORT` or `https://...`, as the client reaches this server.
    ///
    /// # Errors
    /// INVALID_ARGUMENT when the request says neither where to put the file nor what is in it; as for the bucket when no
    /// address can be signed.
    pub async fn upload_location(
        &self,
        request: &CreateUploadLocationRequest,
        server: &str,
    ) -> Result<CreateUploadLocationResponse, Status> {
        for (name, value) in [("project", &request.project), ("domain", &request.domain)] {
            if value.is_empty() {
                return Err(status::invalid(format!("{name} is empty: name the one that the file is for")));
            }
        }
        for (name, value) in [("filename", &request.filename), ("filename_root", &request.filename_root)] {
            if value.chars().count() > LONGEST_NAME {
                return Err(status::invalid(format!("{name} has more than {LONGEST_NAME} characters")));
            }
        }
        fits_a_key("the upload", &[&request.project, &request.domain, &request.filename_root, &request.filename])?;
        let md5 = hex(&request.content_md5);
        if !md5.is_empty() && md5.len() != 32 {
            let found = request.content_md5.len();
            return Err(status::invalid(format!("content_md5 has {found} bytes: an MD5 digest has 16")));
        }
        let folder = match request.filename_root.as_str() {
            "" if md5.is_empty() => {
                return Err(status::invalid("content_md5 and filename_root are both missing: give one of them"));
            }
            "" => md5.clone(),
            root => part(root),
        };
        let file = match request.filename.as_str() {
            "" => format!("{:016x}", crate::run::random()),
            name => part(name),
        };
        let key = format!("{}{folder}/{file}", self.root.uploads(&request.project, &request.domain));
        let expires = expires(request.expires_in.as_ref());
        let (signed_url, headers) = match self.presigned(request, &key, expires).await? {
            Some(Presigned { url, headers }) => (url, headers),
            None => {
                let path = self.signer.path(&Action::Upload { md5 }, expires, &key);
                (format!("{server}{path}"), BTreeMap::new())
            }
        };
        Ok(CreateUploadLocationResponse {
            signed_url,
            native_url: format!("s3://{}/{key}", self.store.bucket()),
            expires_at: Some(expires.into()),
            headers: headers.into_iter().collect(),
        })
    }

    /// The bucket's own address for an upload, with the headers that flytekit does not send by itself.
    async fn presigned(
        &self,
        request: &CreateUploadLocationRequest,
        key: &str,
        expires: SystemTime,
    ) -> Result<Option<Presigned>, Status> {
        if !self.direct {
            return Ok(None);
        }
        let md5 = request.content_md5.as_slice();
        let wanted = request.add_content_md5_metadata && !md5.is_empty();
        let metadata: Vec<_> = wanted.then(|| (MD5_METADATA, base64::encode(md5))).into_iter().collect();
        let life = expires.duration_since(SystemTime::now()).unwrap_or_default().max(Duration::from_secs(1));
        let signed = self.store.presign_put(key, md5, &metadata, life).await.map_err(status::store)?;
        Ok(signed.map(|Presigned { url, mut headers }| {
            headers.retain(|name, _| !name.eq_ignore_ascii_case("content-md5"));
            Presigned { url, headers }
        }))
    }

    /// CreateDownloadLocation.
    ///
    /// # Errors
    /// INVALID_ARGUMENT when the address is none of this bucket.
    pub fn download_location(
        &self,
        request: &CreateDownloadLocationRequest,
        server: &str,
    ) -> Result<CreateDownloadLocationResponse, Status> {
        let key = request.native_url.strip_prefix("s3://").and_then(|rest| rest.split_once('/'));
        let key = key.filter(|(bucket, _)| *bucket == self.store.bucket()).map(|(_, key)| key).ok_or_else(|| {
            let bucket = self.store.bucket();
            status::invalid(format!("native_url is {:?}: give an address in s3://{bucket}/", request.native_url))
        })?;
        if key == self.root.secret() {
            return Err(status::invalid("native_url names what addresses are signed with, which is nobody's to read"));
        }
        let expires = expires(request.expires_in.as_ref());
        let signed_url = self.address(key, expires, server);
        Ok(CreateDownloadLocationResponse { signed_url, expires_at: Some(expires.into()) })
    }

    /// An address to read an object from.
    pub fn address(&self, key: &str, expires: SystemTime, server: &str) -> String {
        format!("{server}{}", self.signer.path(&Action::Download, expires, key))
    }

    /// A key for another use than addresses, which the secret of the bucket makes for every server of it alike.
    pub fn derive_key(&self, context: &str) -> [u8; 32] {
        self.signer.derive_key(context)
    }

    /// The end of an address's time that a client has asked for.
    pub fn expires(asked: Option<&prost_types::Duration>) -> SystemTime {
        expires(asked)
    }

    /// When an address that is made now and asked for nothing else loses its force.
    pub fn soon() -> SystemTime {
        SystemTime::now() + LIFE
    }
}

/// The end of an address's time, to the second.
fn expires(asked: Option<&prost_types::Duration>) -> SystemTime {
    let life = asked.and_then(|asked| Duration::try_from(*asked).ok()).filter(|life| !life.is_zero()).unwrap_or(LIFE);
    let end = SystemTime::now() + life.min(LONGEST_LIFE);
    let seconds = end.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// One part of an upload's key, of a name that a client chose. flytekit undoes percent-escapes in the address of a file
/// that it has uploaded, and takes some characters for patterns: neither may be in it. A folder holds the files of one
/// content, so two names that become one are the same file.
fn part(name: &str) -> String {
    let kept = |c: char| if c.is_control() || "/%?*[]{}#\\".contains(c) { '_' } else { c };
    match name {
        "." | ".." => "_".repeat(name.len()),
        name => name.chars().map(kept).collect(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_stay_what_they_are_where_a_key_can_hold_them() {
        assert_eq!(part("KMJ5ZRRGLUXJ5EIE7XFM3BJSZA======"), "KMJ5ZRRGLUXJ5EIE7XFM3BJSZA======");
        assert_eq!(part("my data (1) \u{e9}.csv"), "my data (1) \u{e9}.csv");
        for (name, kept) in
            [("../a", ".._a"), ("..", "__"), (".", "_"), ("a%3d?*", "a_3d__"), ("{{.input}}", "__.input__")]
        {
            assert_eq!(part(name), kept);
        }
    }
}
