//! What IAM would be asked: every request as a principal, an action and a resource, each once, for the proof that the
//! policies of `terraform/` allow all that batchmap does and no more than that.
//!
//! A line of JSON for each, in a form that does not depend on the test that made it:
//!
//! ```text
//! {"principal":"child","action":"s3:PutObject","resource":"arn:aws:s3:::{bucket}/{prefix}raw/id/x","operation":"PutObject",...}
//! ```
//! What stands in braces is another in every account: the bucket, the configured prefix, the queues, the roles, the
//! account and the region. Parts of keys that are another in every execution are one word.

mod caller;
mod place;
mod uses;

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use axum::body::{Body, to_bytes};
use axum::http::request::Parts;
use axum::http::{Request, StatusCode};
use serde::Serialize;

use super::faults::operation::{self, Operation};
pub use caller::Principal;

/// The variable that names the directory to which every process of batchmap records what its endpoint was asked.
pub const ENV_RECORD: &str = "BATCHMAP_RECORD";

/// The largest body that is looked into: more than any of the requests that are can have.
const BODY: usize = 4 << 20;

/// One thing that IAM is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
struct Use {
    principal: Principal,
    /// `s3:GetObject`.
    action: &'static str,
    /// Its ARN, with names in braces.
    resource: String,
    /// Condition keys and their values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    context: BTreeMap<String, Vec<String>>,
    /// The operation of the API; for what S3 asks of who reads an object that is not there, `absence`.
    operation: &'static str,
}

/// A use without its principal.
type Asked = (&'static str, String, BTreeMap<String, Vec<String>>);

/// Where uses go.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    program: String,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    uses: HashSet<Use>,
    file: Option<File>,
}

/// A request whose answer tells what else it has asked for.
#[derive(Debug)]
pub struct Noted {
    recorder: Arc<Recorder>,
    principal: Principal,
    absence: Option<Asked>,
}

impl Recorder {
    /// Records to a file; lines are added to what it holds.
    pub fn to_file(path: &Path) -> Arc<Recorder> {
        let exe = std::env::current_exe().ok();
        let stem = exe.as_deref().and_then(Path::file_stem).map(|stem| stem.to_string_lossy().into_owned());
        // A test's binary has the hash of its build after its name.
        let program = stem.map(|stem| stem.split_once('-').map_or(stem.clone(), |(name, _)| name.to_owned()));
        let program = program.unwrap_or_default();
        Arc::new(Recorder { path: path.to_owned(), program, seen: Mutex::default() })
    }

    /// The recorder that [`ENV_RECORD`] asks for: one for the process, with a file of its own.
    pub fn of_environment() -> Option<Arc<Recorder>> {
        static OF_PROCESS: OnceLock<Option<Arc<Recorder>>> = OnceLock::new();
        OF_PROCESS
            .get_or_init(|| {
                let folder = std::env::var_os(ENV_RECORD).filter(|folder| !folder.is_empty())?;
                let name = format!("{}-{:016x}.jsonl", std::process::id(), crate::run::random());
                Some(Recorder::to_file(&Path::new(&folder).join(name)))
            })
            .clone()
    }

    /// Notes a request that batchmap or one of its children has sent; hands it on as it was. What the answer tells is
    /// noted by [`Noted::answered`].
    ///
    /// # Errors
    /// When the body cannot be read to its end; the status says why.
    pub(super) async fn note(
        self: &Arc<Self>,
        operation: Option<Operation>,
        request: Request<Body>,
    ) -> Result<(Request<Body>, Option<Noted>), StatusCode> {
        let principal = caller::principal(request.uri().query(), request.headers());
        let (Some(operation), Some(principal)) = (operation, principal) else { return Ok((request, None)) };
        let (head, body) = request.into_parts();
        let (body, bytes) = if uses::is_in_body(operation) {
            let bytes = to_bytes(body, BODY).await.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
            (Body::from(bytes.clone()), bytes)
        } else {
            (body, bytes::Bytes::new())
        };
        let absence = self.note_parts(principal, operation, &head, &bytes);
        let noted = Noted { recorder: Arc::clone(self), principal, absence };
        Ok((Request::from_parts(head, body), Some(noted)))
    }

    fn note_parts(&self, principal: Principal, operation: Operation, head: &Parts, body: &[u8]) -> Option<Asked> {
        for (action, resource, context) in uses::of(operation, head, body) {
            self.write(Use { principal, action, resource, context, operation: operation.name });
        }
        uses::of_absence(operation, head)
    }

    fn write(&self, used: Use) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.uses.insert(used.clone()) {
            return;
        }
        if let Err(cause) = self.append(&mut seen, &used) {
            tracing::warn!(%cause, path = %self.path.display(), "what IAM would be asked cannot be recorded");
        }
    }

    fn append(&self, seen: &mut Seen, used: &Use) -> std::io::Result<()> {
        #[derive(Serialize)]
        struct Line<'a> {
            #[serde(flatten)]
            used: &'a Use,
            program: &'a str,
        }
        if seen.file.is_none() {
            if let Some(folder) = self.path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            seen.file = Some(File::options().append(true).create(true).open(&self.path)?);
        }
        let mut line = serde_json::to_vec(&Line { used, program: &self.program })?;
        line.push(b'\n');
        // In one call, for other processes may add to the same file.
        seen.file.as_mut().map_or(Ok(()), |file| file.write_all(&line))
    }
}

impl Noted {
    /// Notes what the request asked for besides, by its answer.
    pub fn answered(self, status: StatusCode) {
        // Without the right to list, S3 says 403 in place of 404: whoever lives by the difference needs that right.
        if let (StatusCode::NOT_FOUND, Some((action, resource, context))) = (status, self.absence) {
            let operation = uses::ABSENCE;
            self.recorder.write(Use { principal: self.principal, action, resource, context, operation });
        }
    }
}

/// What a request of a service asks for: that of the faults' own table.
pub(super) fn operation(request: &Request<Body>) -> Option<Operation> {
    operation::of_request(request.method(), request.uri(), request.headers())
}

#[cfg(test)]
mod tests {
    use axum::http::Method;

    use super::*;

    fn request(key: &str, method: Method, uri: &str, body: &str) -> Request<Body> {
        let scope = "20261123/us-east-1/s3/aws4_request";
        Request::builder()
            .method(method)
            .uri(uri)
            .header("authorization", format!("AWS4-HMAC-SHA256 Credential={key}/{scope}, Signature=0"))
            .body(Body::from(body.to_owned()))
            .unwrap()
    }

    #[tokio::test]
    async fn each_use_is_one_line_and_the_request_goes_on_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/record.jsonl");
        let recorder = Recorder::to_file(&path);
        let child = super::super::local::CHILD_KEY;
        let body = "<Delete><Object><Key>team/executions/a1/heartbeat</Key></Object></Delete>";
        for _ in 0..2 {
            let asked = request(child, Method::POST, "/batchmap?delete", body);
            let (after, noted) = recorder.note(operation(&asked), asked).await.unwrap();
            assert_eq!(to_bytes(after.into_body(), 1000).await.unwrap(), body);
            noted.unwrap().answered(StatusCode::OK);
        }
        let get = request(child, Method::GET, "/batchmap/team/cache/0123456789abcdef", "");
        let (_, noted) = recorder.note(operation(&get), get).await.unwrap();
        noted.unwrap().answered(StatusCode::NOT_FOUND);
        let strangers = request("any", Method::GET, "/batchmap/k", "");
        assert!(recorder.note(operation(&strangers), strangers).await.unwrap().1.is_none());
        let written = std::fs::read_to_string(path).unwrap();
        let lines: Vec<serde_json::Value> = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let told: Vec<(&str, &str)> =
            lines.iter().map(|l| (l["action"].as_str().unwrap(), l["resource"].as_str().unwrap())).collect();
        assert_eq!(
            told,
            [
                ("s3:DeleteObject", "arn:aws:s3:::{bucket}/{prefix}executions/id/heartbeat"),
                ("s3:GetObject", "arn:aws:s3:::{bucket}/{prefix}cache/x"),
                ("s3:ListBucket", "arn:aws:s3:::{bucket}"),
            ]
        );
        assert_eq!((&lines[0]["principal"], &lines[2]["operation"]), (&"child".into(), &"absence".into()));
    }
}
