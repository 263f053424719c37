//! Every S3 key, job name and environment variable that driver and worker agree on.
//!
//! Keys are relative to the bucket. An execution's keys live under its [`Root`]:
//!
//! ```text
//! <prefix>/executions/<id>/task.pb
//! <prefix>/executions/<id>/journal/00000001
//! <prefix>/executions/<id>/snapshots/00000064
//! <prefix>/executions/<id>/inputs/<p>.pb, <p>.idx, <p>.keys
//! <prefix>/executions/<id>/arrays/<k>/indices, inputs.pb, previous.json
//! <prefix>/executions/<id>/children/outputs/<k>/<job>/<child>/<attempt>/outputs.pb, error.pb
//! <prefix>/executions/<id>/children/checkpoints/<k>/<job>/<child>/<attempt>/...
//! <prefix>/executions/<id>/subtasks/<index>/outputs.pb, <attempt>/error.pb
//! <prefix>/executions/<id>/subtasks/<index>/checkpoint/<attempt>/..., <attempt>.saved/...
//! <prefix>/raw/<id>/...
//! <prefix>/executions/<id>/heartbeat
//! <prefix>/cache/<key>
//! <prefix>/leases/<key>/00000001
//! ```
//!
//! Children without a worker write below `children/` and `raw/` only, those with one below `subtasks/` and `raw/`: so a
//! job role can be denied everything else. What the service keeps is in [`flyte`].

pub mod flyte;

use super::cache::Key;
use super::index::OriginalIndex;
use crate::idl::record::TaskRecord;

/// Where the execution lives, as `s3://bucket/<prefix>/executions/<id>`: set by the driver, read by the worker.
pub const ENV_EXECUTION: &str = "BATCHMAP_EXECUTION";
/// The number of the array that the child belongs to, decimal.
pub const ENV_ARRAY: &str = "BATCHMAP_ARRAY";
/// How the child finds its element: see [`Place`].
pub const ENV_PLACE: &str = "BATCHMAP_PLACE";
/// Bytes of one entry of a pack's index, decimal: see [`index_width`].
pub const ENV_WIDTH: &str = "BATCHMAP_WIDTH";

/// The directory whose files the next attempt is given: set by the worker for the command, where the task uses it.
pub const ENV_CHECKPOINT_DIR: &str = "BATCHMAP_CHECKPOINT_DIR";
/// The id of the execution whose packs the child reads, where they are not its own: see [`Root::sibling`].
pub const ENV_INPUTS: &str = "BATCHMAP_INPUTS";

/// Set where children are processes of one machine, not containers: there they share its directories.
pub const ENV_PROCESS: &str = "BATCHMAP_PROCESS";
/// Which element of its inputs a mapped command of Flyte's takes: always 0, for it is given its own only.
pub const ENV_ELEMENT: &str = "BATCHMAP_ELEMENT";

/// The format of `task.pb`, the packs and the arrays that this program writes, and the only one it reads.
pub const RECORD_VERSION: u32 = 1;

/// Bytes of one entry of `arrays/<k>/indices`: original index u64, pack u32, position in the pack u32, little-endian.
pub const INDICES_WIDTH: u64 = 16;

/// Bytes of one entry of a pack's index when `mapped` lists are mapped: the head's length u32, then for each list, in
/// the order of the names, offset u32 and length u32 of the element's `Literal` in the pack; little-endian.
pub const fn index_width(mapped: usize) -> u64 {
    4 + 8 * mapped as u64
}

/// How a child finds its element, as the value of [`ENV_PLACE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `range:<pack>:<position>:<first>`: child 0 is at `position` of pack `pack` and has original index `first`;
    /// each further child is one further on.
    Range {
        /// Number of the pack.
        pack: u32,
        /// Place of child 0 in the pack, in elements.
        position: u32,
        /// Original index of child 0.
        first: OriginalIndex,
    },
    /// `list`: child c is entry c of `arrays/<k>/indices`.
    List,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Range { pack, position, first } => write!(f, "range:{pack}:{position}:{first}"),
            Place::List => f.write_str("list"),
        }
    }
}

impl std::str::FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{ENV_PLACE} is {text:?}; expected `list` or `range:<pack>:<position>:<first>`");
        if text == "list" {
            return Ok(Place::List);
        }
        let mut parts = text.strip_prefix("range:").ok_or_else(bad)?.split(':');
        let mut next = || parts.next().ok_or_else(bad);
        let pack = next()?.parse().map_err(|_| bad())?;
        let position = next()?.parse().map_err(|_| bad())?;
        let first = next()?.parse().map_err(|_| bad())?;
        match parts.next() {
            None => Ok(Place::Range { pack, position, first: OriginalIndex(first) }),
            Some(_) => Err(bad()),
        }
    }
}

/// The prefix of all executions under `prefix`.
pub fn executions_prefix(prefix: &str) -> String {
    match prefix.trim_matches('/') {
        "" => "executions/".to_owned(),
        prefix => format!("{prefix}/executions/"),
    }
}

/// The prefix of all executions' files under `prefix`.
pub fn raw_prefix(prefix: &str) -> String {
    format!("{}raw/", parent(prefix))
}

/// The prefix of all cached outputs under `prefix`.
pub fn cache_prefix(prefix: &str) -> String {
    format!("{}cache/", parent(prefix))
}

/// The prefix of all leases of cache keys under `prefix`.
pub fn leases_prefix(prefix: &str) -> String {
    format!("{}leases/", parent(prefix))
}

fn parent(prefix: &str) -> String {
    match prefix.trim_matches('/') {
        "" => String::new(),
        prefix => format!("{prefix}/"),
    }
}

/// The keys of one execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    prefix: String,
    id: String,
}

impl Root {
    /// The root of execution `id` under `prefix` (no slash at either end; empty for the bucket's own root).
    pub fn new(prefix: &str, id: &str) -> Self {
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Root { prefix, id: id.to_owned() }
    }

    /// Splits the value of [`ENV_EXECUTION`] into its bucket and its root.
    ///
    /// # Errors
    /// When the value is not `s3://bucket/[prefix/]executions/id`.
    pub fn parse(url: &str) -> Result<(String, Self), String> {
        let bad = || format!("{ENV_EXECUTION} is {url:?}; expected s3://<bucket>/[<prefix>/]executions/<id>");
        let (bucket, path) = url.strip_prefix("s3://").and_then(|rest| rest.split_once('/')).ok_or_else(bad)?;
        let (parent, id) = path.rsplit_once('/').ok_or_else(bad)?;
        let prefix = parent.strip_suffix("executions").ok_or_else(bad)?;
        if bucket.is_empty() || id.is_empty() || !(prefix.is_empty() || prefix.ends_with('/')) {
            return Err(bad());
        }
        Ok((bucket.to_owned(), Root::new(prefix, id)))
    }

    /// The value of [`ENV_EXECUTION`] for this root in `bucket`.
    pub fn url(&self, bucket: &str) -> String {
        format!("s3://{bucket}/{}", self.base())
    }

    /// The execution's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    fn base(&self) -> String {
        format!("{}executions/{}", self.prefix, self.id)
    }

    /// The prefix of everything of the execution but its files.
    pub fn everything(&self) -> String {
        format!("{}/", self.base())
    }

    /// The prefix of its packs.
    pub fn packs(&self) -> String {
        format!("{}/inputs/", self.base())
    }

    /// The prefix of the parts of outputs that are too large for one object.
    pub fn result_parts(&self) -> String {
        format!("{}/outputs/", self.base())
    }

    /// The execution's immutable record.
    pub fn task(&self) -> String {
        format!("{}/task.pb", self.base())
    }

    /// The prefix of the journal's records.
    pub fn journal(&self) -> String {
        format!("{}/journal/", self.base())
    }

    /// The journal's record number `n`, from 1.
    pub fn journal_record(&self, n: u64) -> String {
        format!("{}/journal/{n:08}", self.base())
    }

    /// The prefix of the journal's snapshots.
    pub fn snapshots(&self) -> String {
        format!("{}/snapshots/", self.base())
    }

    /// What records 1 to `n` of the journal add up to.
    pub fn snapshot(&self, n: u64) -> String {
        format!("{}/snapshots/{n:08}", self.base())
    }

    /// The pack number `p`, from 0.
    pub fn pack(&self, p: u32) -> String {
        format!("{}/inputs/{p:06}.pb", self.base())
    }

    /// The index of pack `p`.
    pub fn pack_index(&self, p: u32) -> String {
        format!("{}/inputs/{p:06}.idx", self.base())
    }

    /// The cache's keys of pack `p`'s elements, of [`KEY_BYTES`](super::cache::KEY_BYTES) bytes each.
    pub fn pack_keys(&self, p: u32) -> String {
        format!("{}/inputs/{p:06}.keys", self.base())
    }

    /// The cached outputs of whatever has this key.
    pub fn cached(&self, key: &Key) -> String {
        format!("{}cache/{key}", self.prefix)
    }

    /// The prefix of all leases of this key: who computes it, and who has.
    pub fn leases(&self, key: &Key) -> String {
        format!("{}leases/{key}/", self.prefix)
    }

    /// The lease number `n`, from 1, of this key. The greatest that there is counts.
    pub fn lease(&self, key: &Key, n: u64) -> String {
        format!("{}leases/{key}/{n:08}", self.prefix)
    }

    /// What is written anew, again and again, by whoever drives the execution: its leases live as long as this does.
    pub fn heartbeat(&self) -> String {
        format!("{}/heartbeat", self.base())
    }

    /// The keys of another execution under the same prefix.
    pub fn sibling(&self, id: &str) -> Root {
        Root { prefix: self.prefix.clone(), id: id.to_owned() }
    }

    /// The keys of the execution whose packs the one with this record reads: itself, or the one that it has recovered.
    pub fn inputs(&self, record: &TaskRecord) -> Root {
        if record.inputs_of.is_empty() { self.clone() } else { self.sibling(&record.inputs_of) }
    }

    /// The members of compacted array `k`.
    pub fn array_indices(&self, k: u32) -> String {
        format!("{}/arrays/{k:06}/indices", self.base())
    }

    /// The pack of compacted array `k`, whose children have no worker: their elements in the order of the children.
    pub fn array_inputs(&self, k: u32) -> String {
        format!("{}/arrays/{k:06}/inputs.pb", self.base())
    }

    /// Where earlier attempts of the children of array `k` have left checkpoints, of those without a worker: an object of
    /// JSON with an address for each child that has one.
    pub fn array_previous(&self, k: u32) -> String {
        format!("{}/arrays/{k:06}/previous.json", self.base())
    }

    /// The prefix of what the children of array `k` leave where no worker is; they add `<job>/<child>/<attempt>/`.
    pub fn children_outputs(&self, k: u32) -> String {
        format!("{}/children/outputs/{k:06}/", self.base())
    }

    /// The prefix of what they leave for their next attempts.
    pub fn children_checkpoints(&self, k: u32) -> String {
        format!("{}/children/checkpoints/{k:06}/", self.base())
    }

    /// The prefix of their files.
    pub fn children_raw(&self, k: u32) -> String {
        format!("{}children/{k:06}/", self.raw())
    }

    /// The prefix of all subtasks.
    pub fn subtasks(&self) -> String {
        format!("{}/subtasks/", self.base())
    }

    /// The prefix of one subtask; zero-padded, so that listing goes in the caller's order.
    pub fn subtask(&self, index: OriginalIndex) -> String {
        format!("{}/subtasks/{:010}/", self.base(), index.0)
    }

    /// Where a subtask's outputs appear once it has succeeded.
    pub fn outputs(&self, index: OriginalIndex) -> String {
        format!("{}outputs.pb", self.subtask(index))
    }

    /// The page that a subtask's command has made of itself: Flyte's deck.
    pub fn deck(&self, index: OriginalIndex) -> String {
        format!("{}deck.html", self.subtask(index))
    }

    /// Where attempt `attempt` (see [`attempt`]) of a subtask says why it failed.
    pub fn error(&self, index: OriginalIndex, attempt: &str) -> String {
        format!("{}{attempt}/error.pb", self.subtask(index))
    }

    /// The prefix of all that a subtask's attempts leave for the next ones.
    pub fn checkpoints(&self, index: OriginalIndex) -> String {
        format!("{}checkpoint/", self.subtask(index))
    }

    /// The prefix under which the command of an attempt itself leaves something for the next one.
    pub fn checkpoint(&self, index: OriginalIndex, attempt: &str) -> String {
        format!("{}{attempt}/", self.checkpoints(index))
    }

    /// The prefix under which the worker saves an attempt's checkpoint directory.
    pub fn saved_checkpoint(&self, index: OriginalIndex, attempt: &str) -> String {
        format!("{}{attempt}{SAVED}/", self.checkpoints(index))
    }

    /// The prefix of one attempt's files. `job` is the id of the job that makes it: a submission of unknown outcome may
    /// have made two jobs of one array, whose attempts have the same names; but the outputs of the one that is first name
    /// files that the other must not replace.
    pub fn raw_attempt(&self, index: OriginalIndex, attempt: &str, job: &str) -> String {
        format!("{}{:010}/{}/", self.raw(), index.0, raw_name(attempt, job))
    }

    /// The prefix of the execution's files: staged input files and children's output files.
    pub fn raw(&self) -> String {
        format!("{}raw/{}/", self.prefix, self.id)
    }

    /// The execution's assembled outputs.
    pub fn result(&self) -> String {
        format!("{}/outputs.pb", self.base())
    }

    /// Part `n` of outputs that are too large for one object.
    pub fn result_part(&self, n: u64) -> String {
        format!("{}/outputs/{n:06}.pb", self.base())
    }

    /// The list of those parts.
    pub fn result_manifest(&self) -> String {
        format!("{}/outputs/manifest.json", self.base())
    }
}

/// The name of the folder of one attempt's files, `job` being the id of the job that makes it: see [`Root::raw_attempt`].
pub fn raw_name(attempt: &str, job: &str) -> String {
    let own = job.split(':').next().unwrap_or_default();
    let sign: String = own.chars().filter(char::is_ascii_alphanumeric).take(JOB_SIGN).collect();
    let dot = if sign.is_empty() { "" } else { "." };
    format!("{attempt}{dot}{sign}")
}

/// Characters of a job's id that tell its files from those of another job of the same array: 48 bits of a UUID.
const JOB_SIGN: usize = 12;

/// What follows an attempt's name where the worker saves its checkpoint directory.
pub const SAVED: &str = ".saved";

/// The name of one attempt: the array's number, then Batch's own attempt within it, so that later ones sort later.
pub fn attempt(array: u32, batch_attempt: u32) -> String {
    format!("{array:06}-{batch_attempt:02}")
}

/// Batch's own attempt, from 1, in the name that [`attempt`] has given.
pub fn batch_attempt(name: &str) -> Option<u32> {
    name.split_once('-')?.1.parse().ok()
}

/// What the names of all attempts of array `array` begin with.
pub fn attempt_prefix(array: u32) -> String {
    format!("{array:06}-")
}

/// What the job names of all arrays of execution `id` begin with.
pub fn job_name_prefix(id: &str) -> String {
    format!("{id}-")
}

/// The number of the array of execution `id` that a job of this name is, if it is one: the name is compared to the letter,
/// for executions' ids may begin alike.
pub fn array_of(id: &str, name: &str) -> Option<u32> {
    let digits = name.strip_prefix(id)?.strip_prefix('-')?;
    let number = digits.parse().ok()?;
    (job_name(id, number) == name).then_some(number)
}

/// The Batch job name of array `k` of execution `id`: unique and the same on every try, so that it can be looked up.
pub fn job_name(id: &str, k: u32) -> String {
    format!("{id}-{k:06}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_survives_its_url() {
        for prefix in ["", "a", "a/b"] {
            let root = Root::new(prefix, "20261122t203812-x");
            assert_eq!(Root::parse(&root.url("bucket")), Ok(("bucket".to_owned(), root)));
        }
    }

    #[test]
    fn a_url_of_another_shape_is_refused() {
        for url in ["", "s3://", "s3://b", "s3://b/executions/", "s3://b/xexecutions/id", "file://b/executions/id"] {
            assert!(Root::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn an_array_is_known_by_its_job_name_and_nothing_else_is() {
        for number in [0, 7, 999_999, 1_000_000, u32::MAX] {
            assert_eq!(array_of("20261122t203812-ab", &job_name("20261122t203812-ab", number)), Some(number));
        }
        let others = ["x", "x-", "x-1", "x-00001", "x-0000001", "x-+00001", "X-000001", "xy-000001", "x-y-000001"];
        for name in others.into_iter().chain(["x-000001-000002", "x-000001 ", "x-4294967296", "-000001", "000001"]) {
            assert_eq!(array_of("x", name), None, "{name}");
        }
    }

    #[test]
    fn an_attempts_name_tells_its_number() {
        assert_eq!(batch_attempt(&attempt(7, 3)), Some(3));
        assert_eq!(batch_attempt(&attempt(1_234_567, 123)), Some(123));
        assert_eq!(batch_attempt("elsewhere"), None);
    }

    #[test]
    fn twin_jobs_of_an_array_write_their_files_apart() {
        let root = Root::new("p", "x");
        let of = |job: &str| root.raw_attempt(OriginalIndex(7), &attempt(3, 1), job);
        assert_eq!(of("0f3a1b2c-9d8e-4f00-8000-000000000001:7"), "p/raw/x/0000000007/000003-01.0f3a1b2c9d8e/");
        assert_eq!(of(""), "p/raw/x/0000000007/000003-01/");
        assert_ne!(of("0f3a1b2c-9d8e-4f00-8000-000000000001:7"), of("1f3a1b2c-9d8e-4f00-8000-000000000001:7"));
    }

    #[test]
    fn a_place_survives_its_text() {
        for place in [Place::List, Place::Range { pack: 3, position: 17, first: OriginalIndex(30_017) }] {
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        for text in ["", "lists", "range:1:2", "range:1:2:3:4", "range:a:2:3"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
