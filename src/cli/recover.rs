//! `batchmap recover`, and `batchmap retry-failed`, which is the same with another image or size.

use std::ffi::OsString;

use serde_json::{Map, Value, json};

use super::config::TargetArgs;
use super::finish::ShowArgs;
use super::session::Session;
use super::{Exit, Failure, inspect, queues, run};
use crate::idl::record::TaskRecord;
use crate::map::inject;
use crate::map::layout::Root;
use crate::map::ranges::Ranges;
use crate::map::spec;
use crate::map::task::{BatchOptions, Resources};
use crate::run::recover::{self, Recovered};
use crate::run::{launch, now_ms};

/// Arguments of `batchmap recover`.
#[derive(Debug, clap::Args)]
pub struct RecoverArgs {
    /// The execution, which must be over; an unambiguous beginning will do. The newest one when absent.
    #[arg(value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    show: ShowArgs,
    #[command(flatten)]
    target: TargetArgs,
}

/// Arguments of `batchmap retry-failed`.
#[derive(Debug, clap::Args)]
pub struct RetryArgs {
    #[command(flatten)]
    recover: RecoverArgs,
    #[command(flatten)]
    changes: Changes,
}

/// What the rest may be run with instead of what the old execution was.
#[derive(Debug, Default, clap::Args)]
pub struct Changes {
    /// Container image [default: as it was]
    #[arg(long, value_name = "IMAGE", help_heading = "Task")]
    image: Option<OsString>,
    /// vCPUs of each subtask: 2, 0.5, 500m [default: as they were]
    #[arg(long, value_name = "CPUS", help_heading = "Task")]
    cpu: Option<OsString>,
    /// Memory of each subtask: 512Mi, 2Gi, or MiB [default: as it was]
    #[arg(long, value_name = "SIZE", help_heading = "Task")]
    mem: Option<OsString>,
    /// GPUs of each subtask [default: as they were]
    #[arg(long, value_name = "COUNT", help_heading = "Task")]
    gpu: Option<OsString>,
    /// Time limit of one attempt: 90s, 5m, or seconds [default: as it was]
    #[arg(long, value_name = "TIME", help_heading = "Policy", allow_hyphen_values = true)]
    timeout: Option<OsString>,
    /// How often a subtask that failed recoverably is run again [default: as it was]
    #[arg(long, value_name = "COUNT", help_heading = "Policy", allow_hyphen_values = true)]
    retries: Option<OsString>,
    /// Run a subtask that ran into the time limit again, within the retries [default: as it was]
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        help_heading = "Policy"
    )]
    retry_timeouts: Option<OsString>,
    /// Time limit of the new execution, from its beginning on: 2h, 90m, or seconds [default: as it was]
    #[arg(long, value_name = "TIME", help_heading = "Policy", allow_hyphen_values = true)]
    deadline: Option<OsString>,
}

/// Starts a new execution that takes every success of an old one and runs the rest, with the inputs as they were staged
/// then.
///
/// # Errors
/// When there is no such execution, it is not over, or AWS cannot be used.
pub async fn run(args: RecoverArgs) -> Result<Exit, Failure> {
    changed(args, &Changes::default()).await
}

/// The same, running the rest with another image or size.
///
/// # Errors
/// As [`run`], and when a change is wrong.
pub async fn retry_failed(args: RetryArgs) -> Result<Exit, Failure> {
    changed(args.recover, &args.changes).await
}

async fn changed(args: RecoverArgs, changes: &Changes) -> Result<Exit, Failure> {
    // Looked at before anything else: what is wrong with it needs no AWS to be told.
    changes.apply(&mut TaskRecord::default())?;
    let session = Session::open(&args.target, args.show.access()).await?;
    let ended = recover_and_drive(&session, &args, changes).await;
    run::close(session, &args.show, ended).await
}

async fn recover_and_drive(session: &Session, args: &RecoverArgs, changes: &Changes) -> Result<Exit, Failure> {
    let old = inspect::find(session, args.id.as_deref()).await?;
    let known = inspect::read(session, &old).await?;
    let mut recovered = recover::recover(session.ports.store.as_ref(), &old, &known).await?;
    changes.apply(&mut recovered.record)?;
    let root = session.root(&launch::new_id(now_ms()));
    let Recovered { record, reused, .. } = &recovered;
    let bucket = session.ports.store.bucket();
    launch::check_limits(bucket, &root, &record.command, record.mapped.len(), inject::of_record(record).is_some())
        .map_err(|error| Failure::input(error.to_string()))?;
    if record.size > reused.values().map(Ranges::len).sum() {
        queues::check(session, record.policy.is_some_and(|policy| policy.interruptible)).await?;
    }
    let image = Some(record.image.as_str()).filter(|image| !image.is_empty());
    let stored = record.resources.unwrap_or_default();
    let resources = Resources { cpu_milli: stored.cpu_milli, memory_mib: stored.memory_mib, gpus: stored.gpus };
    let options = batch_options(record);
    let definition = run::job_definition(image, &resources, &options, session)?;
    tell(&old, &recovered);
    recover::write(&session.ports.store, &root, record).await?;
    recover::confirm(session.ports.store.as_ref(), &root, record).await?;
    run::begin_and_drive(session, &root, record.clone(), definition, reused.clone(), &args.show).await
}

/// What of a record's options a job definition follows from.
fn batch_options(record: &TaskRecord) -> BatchOptions {
    let injection = inject::of_record(record);
    let stored = record.batch.clone().unwrap_or_default();
    let platform = stored.platform.parse().ok();
    let (secrets, shared_memory_mib, arm64) = (stored.secrets, stored.shared_memory_mib, stored.arm64);
    BatchOptions { platform, secrets, shared_memory_mib, arm64, injection, ..BatchOptions::default() }
}

impl Changes {
    /// Changes a record as the flags say. They are read as those of a specification are.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    fn apply(&self, record: &mut TaskRecord) -> Result<(), Failure> {
        let mut document = json!({"command": ["-"], "map": {"x": [0]}});
        let groups = [
            ("resources", vec![("cpu", &self.cpu), ("mem", &self.mem), ("gpu", &self.gpu)]),
            (
                "policy",
                vec![
                    ("timeout", &self.timeout),
                    ("retries", &self.retries),
                    ("retry_timeouts", &self.retry_timeouts),
                    ("deadline", &self.deadline),
                ],
            ),
        ];
        for (group, flags) in groups {
            let given = flags.iter().filter_map(|(key, value)| Some(((*key).to_owned(), scalar(value.as_ref()?))));
            document[group] = Value::Object(given.collect::<Map<_, _>>());
        }
        if let Some(image) = &self.image {
            document["image"] = image.to_string_lossy().into_owned().into();
        }
        let task = spec::read(&document).map_err(|faults| Failure::input(faults.to_string()))?;
        let (resources, policy) = (record.resources.get_or_insert_default(), record.policy.get_or_insert_default());
        let set = |flag: &Option<OsString>, place: &mut u32, value: u32| {
            if flag.is_some() {
                *place = value;
            }
        };
        set(&self.cpu, &mut resources.cpu_milli, task.resources.cpu_milli);
        set(&self.mem, &mut resources.memory_mib, task.resources.memory_mib);
        set(&self.gpu, &mut resources.gpus, task.resources.gpus);
        set(&self.retries, &mut policy.retries, task.policy.retries);
        if let Some(timeout) = task.policy.timeout {
            policy.timeout_ms = timeout.as_millis() as u64;
        }
        if let Some(deadline) = task.policy.deadline {
            policy.deadline_ms = deadline.as_millis() as u64;
        }
        if self.retry_timeouts.is_some() {
            policy.retry_timeouts = task.policy.retry_timeouts;
        }
        if let Some(image) = task.image {
            record.image = image;
        }
        Ok(())
    }
}

/// A number or a switch where it is one; anything else as text.
fn scalar(text: &OsString) -> Value {
    let text = text.to_string_lossy();
    match serde_json::from_str(&text) {
        Ok(scalar @ (Value::Number(_) | Value::Bool(_))) => scalar,
        _ => text.into_owned().into(),
    }
}

/// Says what is taken over.
fn tell(old: &Root, recovered: &Recovered) {
    let (id, size) = (old.id(), recovered.record.size);
    let taken: u64 = recovered.reused.values().map(Ranges::len).sum();
    let late = match recovered.late {
        0 => String::new(),
        late => format!(" ({late} of them had come too late for it)"),
    };
    let rest = match size - taken {
        0 => "nothing is left to run".to_owned(),
        left => format!("running the other {left}"),
    };
    note!("{id}: {taken} of {size} subtasks have succeeded{late}; {rest}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::idl::record::{Policy, Resources as Stored};

    #[test]
    fn only_what_is_given_changes() {
        let before = TaskRecord {
            image: "old".to_owned(),
            resources: Some(Stored { cpu_milli: 250, memory_mib: 512, gpus: 1 }),
            policy: Some(Policy { retries: 2, timeout_ms: 5000, concurrency: 7, ..Policy::default() }),
            ..TaskRecord::default()
        };
        let mut record = before.clone();
        Changes::default().apply(&mut record).unwrap();
        assert_eq!(record, before);
        let some = |text: &str| Some(OsString::from(text));
        let changes = Changes { mem: some("2Gi"), timeout: some("1m"), image: some("new:2"), ..Changes::default() };
        changes.apply(&mut record).unwrap();
        assert_eq!(record.resources, Some(Stored { cpu_milli: 250, memory_mib: 2048, gpus: 1 }));
        assert_eq!(record.policy, Some(Policy { timeout_ms: 60_000, ..before.policy.unwrap() }));
        assert_eq!(record.image, "new:2");
        let changes = Changes { retry_timeouts: some("true"), deadline: some("2h"), ..Changes::default() };
        changes.apply(&mut record).unwrap();
        let policy = record.policy.unwrap();
        assert_eq!((policy.retry_timeouts, policy.deadline_ms, policy.timeout_ms), (true, 7_200_000, 60_000));
        let changes = Changes { retry_timeouts: some("false"), ..Changes::default() };
        changes.apply(&mut record).unwrap();
        assert!(!record.policy.unwrap().retry_timeouts);
        let wrong = Changes { retry_timeouts: some("maybe"), deadline: some("soon"), ..Changes::default() };
        let message = wrong.apply(&mut record).unwrap_err().message;
        assert!(message.contains("policy.retry_timeouts") && message.contains("policy.deadline"), "{message}");
        let wrong = Changes { cpu: some("much"), retries: some("-1"), ..Changes::default() };
        let message = wrong.apply(&mut record).unwrap_err().message;
        assert!(message.contains("resources.cpu is \"much\"") && message.contains("policy.retries is -1"), "{message}");
    }
}
