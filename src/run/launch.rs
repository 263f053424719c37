//! From a staged execution, new or known, to its driver.

mod replay;

use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::time::Instant;

use super::driver::{Driver, Patience};
use super::journal::{End, Growth, Journal, JournalError};
use super::submit::{self, Template, TooLarge};
use super::{Ports, random};
use crate::aws::store::{Store, StoreError};
use crate::idl::record::flyte::Runner;
use crate::idl::record::{self, TaskRecord};
use crate::map::event::{Decision, Event, Queue};
use crate::map::execution::{Action, Array, Execution, IllegalEvent, Terms};
use crate::map::flyte::stock;
use crate::map::index::OriginalIndex;
use crate::map::layout::{RECORD_VERSION, Root};
use crate::map::pack::MAX_ELEMENTS;
use crate::map::plan::{Members, Packs};
use crate::map::task::{Completion, ConcurrencyMode};

/// Why an execution could not be started or opened.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// There is no such execution, or its staging was never completed.
    #[error("there is no execution {id} in {place}; `batchmap list` shows those there are")]
    Unknown {
        /// The id asked for.
        id: String,
        /// Where it was looked for.
        place: String,
    },
    /// `task.pb` is damaged or of a newer format.
    #[error("the record of execution {id} cannot be read: {problem}")]
    Unreadable {
        /// The execution.
        id: String,
        /// What is wrong.
        problem: String,
    },
    /// The execution was staged but never begun: there is nothing to take up.
    #[error("execution {id} was staged and never begun: run it again")]
    NeverBegun {
        /// The execution.
        id: String,
    },
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A damaged journal.
    #[error(transparent)]
    Illegal(#[from] IllegalEvent),
    /// S3.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl LaunchError {
    /// Whether waiting may help.
    fn is_transient(&self) -> bool {
        let (LaunchError::Store(error) | LaunchError::Journal(JournalError::Store(error))) = self else { return false };
        matches!(error, StoreError::Unreachable { .. })
    }
}

/// How long a takeover tries to read what it takes over.
const LONGEST_READ: Duration = Duration::from_secs(60);

/// The first pause between two tries of that; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The names that an execution's submissions use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// ARN of the job definition.
    pub definition: String,
    /// Name or ARN of the default queue.
    pub queue: String,
    /// Name or ARN of the interruptible queue, where there is one.
    pub interruptible_queue: Option<String>,
}

/// An execution as the bucket has it.
pub struct Known {
    /// Its immutable record.
    pub record: TaskRecord,
    /// Its machine, replayed.
    pub execution: Execution,
    /// Its names; absent when it was never begun.
    pub names: Option<Names>,
    /// When its first and its last record were written, in milliseconds since 1970.
    pub times: Option<(u64, u64)>,
    /// The number of its journal's records.
    pub records: u64,
    /// How far the journal has grown since its newest snapshot.
    pub growth: Growth,
}

/// A new execution's id: the time in UTC, so that ids sort by it (to the millisecond, for the newest is what commands
/// take that are given none), and a random part.
pub fn new_id(now_ms: u64) -> String {
    let now = OffsetDateTime::from_unix_timestamp((now_ms / 1000) as i64).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (date, time) = (now.date(), now.time());
    format!(
        "{:04}{:02}{:02}t{:02}{:02}{:02}-{:03x}{:06x}",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.hour(),
        time.minute(),
        time.second(),
        now_ms % 1000,
        random() & 0xff_ffff
    )
}

/// The id of the map execution of a workflow's node. A workflow that fans out makes thousands within a millisecond, and
/// two nodes of one id would be given one another's outputs: the random part is 64 bits long.
pub fn node_id(now_ms: u64) -> String {
    format!("{}{:010x}", new_id(now_ms), random() & 0xff_ffff_ffff)
}

/// Makes sure that an execution that was never begun never will be: whoever still stages it finds that it is over. Nothing
/// of it has been submitted, for the first record comes before that.
///
/// # Errors
/// [`JournalError::Overtaken`] when it has been begun; otherwise when S3 fails.
pub async fn forestall(ports: &Ports, root: &Root, reason: &str) -> Result<(), LaunchError> {
    let (journal, records) = Journal::open(ports.store.clone(), root.clone(), writer()).await?;
    if let Some(first) = records.first() {
        return Err(JournalError::Overtaken { sequence: 1, writer: first.writer.clone() }.into());
    }
    let reason = reason.to_owned();
    let events = vec![
        // Names of nothing: no submission uses them.
        Event::Started { definition: String::new(), queue: String::new(), interruptible_queue: None },
        Event::AbortRequested { reason: reason.clone() },
        Event::Decided { decision: Decision::Aborted { reason } },
        Event::Finished,
    ];
    Ok(journal.timed_by(ports.clock.clone()).append(ports.clock.now_ms(), events).await?)
}

/// The terms that a record's policy sets.
pub fn terms(record: &TaskRecord) -> Terms {
    let policy = record.policy.unwrap_or_default();
    Terms {
        min_successes: policy.min_successes,
        concurrency: policy.concurrency,
        mode: match policy.concurrency_mode() {
            record::policy::ConcurrencyMode::Rolling => ConcurrencyMode::Rolling,
            record::policy::ConcurrencyMode::Batches => ConcurrencyMode::Batches,
        },
        completion: match policy.completion() {
            record::policy::Completion::Settled => Completion::Settled,
            record::policy::Completion::Satisfied => Completion::Satisfied,
        },
        retries: policy.retries,
        interruptible: policy.interruptible,
        run_all: policy.run_all_sub_nodes,
    }
}

/// The machine of a record, before anything has happened.
pub fn machine(record: &TaskRecord) -> Execution {
    Execution::new(terms(record), packs(record))
}

/// Where the staged inputs of a record are. A child without a worker reads all that its array reads.
fn packs(record: &TaskRecord) -> Packs {
    let packs = Packs::new(record.pack_starts.clone(), record.size);
    if stock::runner(record).is_some() { packs.apart() } else { packs }
}

/// The driver of an execution that was just staged. Its first record is in the journal when this returns.
///
/// # Errors
/// When the journal cannot be written.
pub async fn begin(
    ports: &Ports,
    root: &Root,
    record: TaskRecord,
    names: Names,
    patience: Patience,
) -> Result<Driver, LaunchError> {
    begin_reusing(ports, root, record, names, patience, Vec::new()).await
}

/// Whether anything is to be submitted when what `reused` says is there already.
///
/// # Errors
/// When the events do not fit the record.
pub fn has_work(record: &TaskRecord, reused: &[Event]) -> Result<bool, LaunchError> {
    let mut execution = machine(record);
    reused.iter().try_for_each(|event| execution.handle(event))?;
    // Whoever computes what others wait for may fail, and then it is run after all.
    let held = !execution.held().is_empty();
    Ok(held || matches!(execution.next_action(), Some(Action::Record(Event::Planned { .. }))))
}

/// The same as [`begin`], where outputs are there already: `reused` stands in the first record too, so that whoever
/// takes over knows of them or finds that nothing was begun.
///
/// # Errors
/// When the journal cannot be written, or the events do not fit the record.
pub async fn begin_reusing(
    ports: &Ports,
    root: &Root,
    record: TaskRecord,
    names: Names,
    patience: Patience,
    reused: Vec<Event>,
) -> Result<Driver, LaunchError> {
    let mut execution = machine(&record);
    reused.iter().try_for_each(|event| execution.handle(event))?;
    let template = template(ports, root, &names);
    let (mut journal, records) = Journal::open(ports.store.clone(), root.clone(), writer()).await?;
    // The sign that it is ours is the first record's.
    journal = journal.timed_by(ports.clock.clone());
    if let Some(first) = records.first() {
        return Err(JournalError::Overtaken { sequence: 1, writer: first.writer.clone() }.into());
    }
    let Names { definition, queue, interruptible_queue } = names;
    let now = ports.clock.now_ms();
    let started = Event::Started { definition, queue, interruptible_queue };
    journal.append(now, std::iter::once(started).chain(reused).collect()).await?;
    Ok(Driver::new(ports.clone(), record, template, patience, (journal, execution)).begun_at(now, now))
}

/// The driver that takes up an execution where its journal ends.
///
/// # Errors
/// When there is no such execution, it was never begun, or its journal cannot be read.
pub async fn take_over(ports: &Ports, root: &Root, patience: Patience) -> Result<Driver, LaunchError> {
    let (known, seen) = read_patiently(ports, root, patience.outage.min(LONGEST_READ)).await?;
    let end = End { records: known.records, times: known.times, growth: known.growth, seen };
    let journal = Journal::after(ports.store.clone(), root.clone(), writer(), end, ports.clock.clone());
    let names = known.names.ok_or_else(|| LaunchError::NeverBegun { id: root.id().to_owned() })?;
    let template = template(ports, root, &names);
    let mut execution = known.execution;
    execution.resume();
    let now = ports.clock.now_ms();
    let first = known.times.map_or(now, |(first, _)| first);
    let driver = Driver::new(ports.clone(), known.record, template, patience, (journal, execution));
    Ok(driver.inheriting().begun_at(first, now))
}

/// Reads an execution, again and again while S3 is out of reach, and when the reading began. Whoever wants to take over may
/// do so because the driver before has met the same outage.
async fn read_patiently(ports: &Ports, root: &Root, limit: Duration) -> Result<(Known, (Instant, u64)), LaunchError> {
    let (begun, mut pause) = (Instant::now(), FIRST_PAUSE);
    loop {
        let seen = (Instant::now(), ports.clock.now_ms());
        match read(&ports.store, root).await {
            Ok(known) => return Ok((known, seen)),
            Err(error) if error.is_transient() && begun.elapsed() + pause <= limit => {
                tracing::warn!(%error, "the execution could not be read: trying again");
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Reads an execution without touching it.
///
/// # Errors
/// When there is no such execution or it cannot be read.
pub async fn read(store: &Arc<dyn Store>, root: &Root) -> Result<Known, LaunchError> {
    let record = read_record(store, root).await?;
    replay::replay(store, root, record).await
}

/// Reads `task.pb`.
///
/// # Errors
/// When it is not there, or not of this version.
pub async fn read_record(store: &Arc<dyn Store>, root: &Root) -> Result<TaskRecord, LaunchError> {
    let id = root.id().to_owned();
    let body = match store.get(&root.task()).await {
        Ok(body) => body,
        Err(StoreError::NotFound { .. }) => {
            return Err(LaunchError::Unknown { id, place: format!("s3://{}", store.bucket()) });
        }
        Err(error) => return Err(error.into()),
    };
    let record = TaskRecord::decode(body)
        .map_err(|error| LaunchError::Unreadable { id: id.clone(), problem: error.to_string() })?;
    if record.version != RECORD_VERSION {
        let problem = format!("its format is {}, and this batchmap knows {RECORD_VERSION}", record.version);
        return Err(LaunchError::Unreadable { id, problem });
    }
    if let Some(runner) =
        record.flyte.as_ref().map(|flyte| flyte.runner).filter(|runner| Runner::try_from(*runner).is_err())
    {
        let problem = format!("its command is run in a way, {runner}, that this batchmap does not know");
        return Err(LaunchError::Unreadable { id, problem });
    }
    let starts = &record.pack_starts;
    // The machine takes memory by the size, so no damaged number may stand for it.
    let room = (starts.len() as u64).saturating_mul(MAX_ELEMENTS as u64);
    let ordered =
        starts.windows(2).all(|pair| pair[0] < pair[1]) && starts.last().is_none_or(|&last| last < record.size);
    if !ordered
        || record.size > room
        || starts.first().copied().unwrap_or(0) != 0
        || starts.is_empty() != (record.size == 0)
    {
        let problem = "its packs do not cover its subtasks: the object is damaged".to_owned();
        return Err(LaunchError::Unreadable { id, problem });
    }
    Ok(record)
}

fn template(ports: &Ports, root: &Root, names: &Names) -> Template {
    Template {
        bucket: ports.store.bucket().to_owned(),
        root: root.clone(),
        queue: names.queue.clone(),
        interruptible_queue: names.interruptible_queue.clone(),
        definition: names.definition.clone(),
    }
}

/// Checks the longest submission that an execution of `command` over `mapped` lists could make, before anything is
/// staged for it.
///
/// # Errors
/// When it would be over AWS's limits.
pub fn check_limits(
    bucket: &str,
    root: &Root,
    command: &[String],
    mapped: usize,
    injected: bool,
) -> Result<(), TooLarge> {
    let template = Template {
        bucket: bucket.to_owned(),
        root: root.clone(),
        // Neither is part of what is limited to 8192 characters, and ARNs of the longest kind fit the 30 KiB beside it.
        queue: String::new(),
        interruptible_queue: None,
        definition: String::new(),
    };
    // Whatever can be run can be recovered: the submissions of that name the execution that holds the packs.
    let (command, mapped, inputs_of) = (command.to_vec(), vec![String::new(); mapped], root.id().to_owned());
    let injection = injected.then(record::Injection::default);
    let batch = Some(record::BatchOptions { injection, ..record::BatchOptions::default() });
    let record = TaskRecord { command, mapped, inputs_of, batch, ..TaskRecord::default() };
    longest(&template, &record, |far| far.range_from(OriginalIndex(u64::MAX - 1), 1))
}

/// The same of an execution that is staged, where its command is run without a worker: it is all in the submission.
///
/// # Errors
/// When it would be over AWS's limits.
pub fn check_stock(bucket: &str, root: &Root, record: &TaskRecord) -> Result<(), TooLarge> {
    if stock::runner(record).is_none() {
        return Ok(());
    }
    let (bucket, root, none) = (bucket.to_owned(), root.clone(), String::new());
    let template = Template { bucket, root, queue: none.clone(), interruptible_queue: None, definition: none };
    // A compacted array has the longer address of its inputs.
    longest(&template, record, |_| Members::List([0, 2].map(OriginalIndex).into_iter().collect()))
}

fn longest(template: &Template, record: &TaskRecord, members: impl Fn(&Packs) -> Members) -> Result<(), TooLarge> {
    // Places are written longer the further they are.
    let far = Packs::new(vec![0, u64::MAX - 1], u64::MAX);
    let array = Array::of(members(&far), Queue::Default, 1);
    submit::check(&template.request(u32::MAX, &array, record, &far, true))
}

/// A name for this driver that no other has.
fn writer() -> String {
    format!("{}-{:016x}", std::process::id(), random())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_nodes_differ_within_a_millisecond() {
        let ids: std::collections::BTreeSet<_> = (0..20_000).map(|_| node_id(1_795_379_892_000)).collect();
        assert_eq!(ids.len(), 20_000);
        assert!(ids.iter().all(|id| id.len() == 35 && id.starts_with("20261122t")));
    }

    #[test]
    fn ids_sort_by_time_and_fit_a_job_name() {
        let times = [1_795_379_892_000, 1_795_379_892_001, 1_795_379_892_999, 1_795_379_893_000];
        let ids = times.map(new_id);
        assert!(ids.is_sorted_by(|early, late| early < late), "{ids:?}");
        let early = &ids[0];
        assert!(early.starts_with("20261122t"), "{early}");
        assert!(early.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
    }
}
