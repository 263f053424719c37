//! Signed paths: `/files/<action>/<expires>/<signature>/<key>`.

use std::io::Read;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tonic::{Code, Status};

use crate::aws::store::{Store, StoreError};
use crate::map::layout::flyte::FlyteRoot;
use crate::service::status;

/// What an address allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Writing an object; of this MD5, in hexadecimal, unless it is empty.
    Upload {
        /// The digest.
        md5: String,
    },
    /// Reading an object.
    Download,
}

impl Action {
    /// As one part of a path.
    fn part(&self) -> String {
        match self {
            Action::Upload { md5 } if md5.is_empty() => "put".to_owned(),
            Action::Upload { md5 } => format!("put-{md5}"),
            Action::Download => "get".to_owned(),
        }
    }

    fn parse(part: &str) -> Option<Action> {
        match part {
            "get" => Some(Action::Download),
            "put" => Some(Action::Upload { md5: String::new() }),
            part => Some(Action::Upload { md5: part.strip_prefix("put-")?.to_owned() }),
        }
    }
}

/// Why a path is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is no signed path, or not one of ours.
    Forged,
    /// Its time is over.
    Expired,
}

/// Signs paths and checks them.
pub(super) struct Signer {
    secret: [u8; 32],
}

impl Signer {
    /// Reads the bucket's secret; the first server makes it.
    pub(super) async fn open(store: &dyn Store, root: &FlyteRoot) -> Result<Signer, Status> {
        let key = root.secret();
        let mut secret = [0; 32];
        match store.get(&key).await {
            Ok(body) => return Signer::read(&key, &body),
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(status::store(error)),
        }
        std::fs::File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut secret)).map_err(|error| {
            status::status(Code::Internal, format!("cannot read /dev/urandom to make a secret: {error}"))
        })?;
        match store.put_new(&key, Bytes::copy_from_slice(&secret)).await {
            Ok(()) => Ok(Signer { secret }),
            // Another server was first, or this one was and did not hear of it.
            Err(StoreError::AlreadyExists { .. }) => Signer::read(&key, &store.get(&key).await.map_err(status::store)?),
            Err(error) => Err(status::store(error)),
        }
    }

    fn read(key: &str, body: &[u8]) -> Result<Signer, Status> {
        let secret = body.try_into().map_err(|_| status::damaged(key, "32 bytes are due; delete it for a new one"))?;
        Ok(Signer { secret })
    }

    /// The path that allows `action` on the object `key` until `expires`. Keys consist of what [`escape`] leaves and of
    /// slashes, or are escaped here.
    ///
    /// [`escape`]: crate::map::layout::flyte::escape
    pub(super) fn path(&self, action: &Action, expires: SystemTime, key: &str) -> String {
        let expires = expires.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let (action, signature) = (action.part(), self.signature(&action.part(), expires, key));
        // A percent sign of the key is one of the path's own only when it is escaped again.
        let key: String = key.bytes().map(written).collect();
        format!("/files/{action}/{expires}/{signature}/{key}")
    }

    /// What a path allows. `key` is the rest of the path, unescaped once.
    pub(super) fn check(&self, parts: (&str, &str, &str), key: &str, now: SystemTime) -> Result<Action, Refusal> {
        let (action, expires, signature) = parts;
        let until: u64 = expires.parse().map_err(|_| Refusal::Forged)?;
        // Compared as hashes are: in a time that does not tell how much of it was right.
        let given = blake3::Hash::from_hex(signature).map_err(|_| Refusal::Forged)?;
        let due = self.hash(action, until, key);
        if given != due {
            return Err(Refusal::Forged);
        }
        if now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() > until {
            return Err(Refusal::Expired);
        }
        Action::parse(action).ok_or(Refusal::Forged)
    }

    /// A key for another use.
    pub(super) fn derive_key(&self, context: &str) -> [u8; 32] {
        blake3::derive_key(context, &self.secret)
    }

    fn signature(&self, action: &str, expires: u64, key: &str) -> String {
        self.hash(action, expires, key).to_hex().to_string()
    }

    fn hash(&self, action: &str, expires: u64, key: &str) -> blake3::Hash {
        blake3::keyed_hash(&self.secret, format!("{action}\n{expires}\n{key}").as_bytes())
    }
}

/// A byte of a key as a path has it.
fn written(byte: u8) -> String {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'/' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn signed(path: &str) -> ((&str, &str, &str), String) {
        let mut parts = path.strip_prefix("/files/").unwrap().splitn(4, '/');
        let mut next = || parts.next().unwrap();
        let first = (next(), next(), next());
        (first, next().replace("%25", "%"))
    }

    #[test]
    fn a_path_allows_its_own_action_key_and_time() {
        let signer = Signer { secret: [7; 32] };
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        let upload = Action::Upload { md5: "0".repeat(32) };
        for action in [upload, Action::Upload { md5: String::new() }, Action::Download] {
            let path = signer.path(&action, now, "a/b%2fc");
            assert!(!path.contains('?'));
            let (parts, key) = signed(&path);
            assert_eq!(key, "a/b%2fc");
            assert_eq!(signer.check(parts, &key, now), Ok(action));
            assert_eq!(signer.check(parts, &key, now + Duration::from_secs(1)), Err(Refusal::Expired));
            assert_eq!(signer.check(parts, "a/b", now), Err(Refusal::Forged));
            assert_eq!(signer.check(("get", "9999", parts.2), &key, now), Err(Refusal::Forged));
            assert_eq!(signer.check((parts.0, parts.1, "00"), &key, now), Err(Refusal::Forged));
            assert_eq!(Signer { secret: [8; 32] }.check(parts, &key, now), Err(Refusal::Forged));
        }
    }
}
