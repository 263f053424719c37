//! What an array is submitted with.

use std::collections::BTreeMap;

use crate::aws::batch::{RetryRule, SubmitRequest};
use crate::idl::record::TaskRecord;
use crate::map::event::Queue;
use crate::map::execution::Array;
use crate::map::flyte::stock::{self, Rendered, SHORTEST_TIMEOUT_SECONDS};
use crate::map::inject;
use crate::map::layout::{self, Root};
use crate::map::plan::Packs;
use crate::map::policy::{REPEATED_REASON, REPEATED_STATUS};

/// The largest SubmitJob payload that AWS takes, in bytes. Not adjustable.
const MAX_PAYLOAD: usize = 30 * 1024;

/// The largest container overrides (command, environment and their JSON punctuation) that ECS takes, in characters. Over
/// it SubmitJob succeeds and every child fails at dispatch, so it is checked before.
const MAX_OVERRIDES: usize = 8192;

/// The shortest timeout that Batch takes, in seconds.
const MIN_TIMEOUT: u64 = 60;

/// Seconds that the worker has, after a timeout it enforces itself, to stop the command and say so in S3 before
/// Batch's own timeout ends the container.
const TIMEOUT_GRACE: u64 = 60;

/// What all arrays of an execution are submitted with.
#[derive(Clone, Debug)]
pub struct Template {
    /// The execution's bucket.
    pub bucket: String,
    /// The execution's keys.
    pub root: Root,
    /// Name or ARN of the default queue.
    pub queue: String,
    /// Name or ARN of the interruptible queue; the default one when absent.
    pub interruptible_queue: Option<String>,
    /// ARN of the job definition.
    pub definition: String,
}

/// Why an execution cannot be submitted at all.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    /// Over ECS's limit.
    #[error(
        "command and environment take {size} characters together, and AWS takes {MAX_OVERRIDES}: move long arguments or variables into inputs"
    )]
    Overrides {
        /// Characters.
        size: usize,
    },
    /// Over Batch's limit.
    #[error(
        "the submission takes {size} bytes, and AWS takes {MAX_PAYLOAD}: move long arguments or variables into inputs"
    )]
    Payload {
        /// Bytes.
        size: usize,
    },
}

impl Template {
    /// The name or ARN of a queue.
    pub fn queue(&self, queue: Queue) -> &str {
        match (queue, &self.interruptible_queue) {
            (Queue::Interruptible, Some(name)) => name,
            _ => &self.queue,
        }
    }

    /// The submission of array `number`. `previous` says whether a child of it may go on from a checkpoint that its array
    /// has the address of: where no worker is, which finds it itself.
    pub fn request(
        &self,
        number: u32,
        array: &Array,
        record: &TaskRecord,
        packs: &Packs,
        previous: bool,
    ) -> SubmitRequest {
        let Rendered { command, environment } = match stock::runner(record) {
            Some(runner) => {
                let (bucket, root, members, attempts) = (&*self.bucket, &self.root, &array.members, array.attempts);
                let array = stock::Array { bucket, root, number, members, packs, attempts, previous };
                stock::render(record, runner, &array)
            }
            None => self.for_worker(number, array, record, packs),
        };
        let mut tags = record.batch.as_ref().map(|batch| batch.tags.clone()).unwrap_or_default();
        tags.insert("batchmap:execution".to_owned(), self.root.id().to_owned());
        SubmitRequest {
            name: layout::job_name(self.root.id(), number),
            queue: self.queue(array.queue).to_owned(),
            definition: self.definition.clone(),
            size: array.members.len(),
            command,
            environment,
            container: inject::of_record(record).map(|_| inject::MAIN.to_owned()),
            attempts: array.attempts,
            retry_rules: retry_rules(),
            timeout_seconds: timeout_seconds(record),
            tags,
            propagate_tags: record.batch.as_ref().is_some_and(|batch| batch.propagate_tags),
            scheduling_priority: record.batch.as_ref().and_then(|batch| batch.scheduling_priority),
        }
    }

    /// The worker's command, and how it finds its element.
    fn for_worker(&self, number: u32, array: &Array, record: &TaskRecord, packs: &Packs) -> Rendered {
        let program = inject::program(inject::of_record(record).is_some());
        let mut command: Vec<String> = [&*program, "worker", "--"].map(str::to_owned).into();
        if record.flyte.is_some() {
            // The worker finds it in the record: Batch takes no empty argument, and flytekit's may have one.
            command.pop();
        } else {
            command.extend(record.command.iter().cloned());
        }
        // The task's own variables are not among these: they are the command's, and the worker sets them from the record.
        // Here they would also be the worker's, and an AWS_ENDPOINT_URL meant for the command would lead it astray.
        let mut environment: BTreeMap<String, String> = BTreeMap::new();
        environment.insert(layout::ENV_EXECUTION.to_owned(), self.root.url(&self.bucket));
        environment.insert(layout::ENV_ARRAY.to_owned(), number.to_string());
        environment.insert(layout::ENV_PLACE.to_owned(), packs.place(&array.members).to_string());
        environment.insert(layout::ENV_WIDTH.to_owned(), layout::index_width(record.mapped.len()).to_string());
        if !record.inputs_of.is_empty() {
            environment.insert(layout::ENV_INPUTS.to_owned(), record.inputs_of.clone());
        }
        Rendered { command, environment }
    }
}

/// Which ends of an attempt Batch may retry by itself: losses of host, start and agent (see
/// [`crate::map::policy::batch_repeats`]). Everything else is for us to judge,
/// and since Batch retries what no rule matches, the last rule matches all.
fn retry_rules() -> Vec<RetryRule> {
    let lost =
        |reason: &str| RetryRule { on_status_reason: Some(reason.to_owned()), retry: true, ..RetryRule::default() };
    let agent = RetryRule { on_reason: Some(format!("{REPEATED_REASON}*")), retry: true, ..RetryRule::default() };
    let rest = RetryRule { on_reason: Some("*".to_owned()), retry: false, ..RetryRule::default() };
    // AWS takes five rules at most.
    REPEATED_STATUS.iter().map(|reason| lost(&format!("{reason}*"))).chain([agent, rest]).collect()
}

fn timeout_seconds(record: &TaskRecord) -> Option<u32> {
    let timeout = record.policy.as_ref().map_or(0, |policy| policy.timeout_ms);
    // Without a worker Batch's own timeout is the only one.
    let (grace, shortest) = match stock::runner(record) {
        Some(_) => (0, SHORTEST_TIMEOUT_SECONDS),
        None => (TIMEOUT_GRACE, MIN_TIMEOUT),
    };
    (timeout > 0).then(|| {
        let seconds = timeout.div_ceil(1000).saturating_add(grace).max(shortest);
        // AWS counts in 32 bits with a sign.
        seconds.min(i32::MAX as u64) as u32
    })
}

/// Checks a submission against AWS's limits.
///
/// # Errors
/// When it is over one of them; the sizes are AWS's own count, taken from above.
pub fn check(request: &SubmitRequest) -> Result<(), TooLarge> {
    let environment: Vec<_> =
        request.environment.iter().map(|(name, value)| serde_json::json!({"name": name, "value": value})).collect();
    let mut overrides = serde_json::json!({"command": request.command, "environment": environment});
    if let Some(name) = &request.container {
        overrides["name"] = name.as_str().into();
        overrides = serde_json::json!({ "containerOverrides": [overrides] });
    }
    let size = overrides.to_string().chars().count();
    if size > MAX_OVERRIDES {
        return Err(TooLarge::Overrides { size });
    }
    let rest = serde_json::to_string(request).map_or(0, |text| text.len());
    match rest {
        size if size > MAX_PAYLOAD => Err(TooLarge::Payload { size }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::idl::record::flyte::Runner;
    use crate::idl::record::{Flyte, Policy};
    use crate::map::execution::{Execution, Terms};
    use crate::map::task::{Completion, ConcurrencyMode};
    use crate::run::launch;

    fn request(record: &TaskRecord) -> SubmitRequest {
        let terms = Terms {
            min_successes: 0,
            concurrency: 0,
            mode: ConcurrencyMode::Rolling,
            completion: Completion::Settled,
            retries: 0,
            interruptible: true,
            run_all: true,
        };
        let mut execution = Execution::new(terms, Packs::new(vec![0], 5));
        while let Some(crate::map::execution::Action::Record(event)) = execution.next_action() {
            execution.handle(&event).unwrap();
        }
        let template = Template {
            bucket: "b".to_owned(),
            root: Root::new("p", "id"),
            queue: "q".to_owned(),
            interruptible_queue: Some("spot".to_owned()),
            definition: "d:1".to_owned(),
        };
        template.request(0, execution.array(0).unwrap(), record, execution.packs(), false)
    }

    #[test]
    fn the_worker_learns_where_its_element_is() {
        let record =
            TaskRecord { command: vec!["true".to_owned()], mapped: vec!["x".to_owned()], ..Default::default() };
        let request = request(&record);
        assert_eq!(request.name, "id-000000");
        assert_eq!(request.queue, "spot");
        assert_eq!(request.size, 5);
        assert_eq!(request.command, ["batchmap", "worker", "--", "true"]);
        assert_eq!(request.environment["BATCHMAP_EXECUTION"], "s3://b/p/executions/id");
        assert_eq!(request.environment["BATCHMAP_PLACE"], "range:0:0:0");
        assert_eq!(request.environment["BATCHMAP_WIDTH"], "12");
        assert!(request.retry_rules.last().is_some_and(|rule| !rule.retry && rule.on_reason.as_deref() == Some("*")));
    }

    #[test]
    fn a_flyte_command_stays_in_the_record_and_its_batch_options_go_along() {
        use crate::idl::record::BatchOptions;
        let options = BatchOptions {
            propagate_tags: true,
            scheduling_priority: Some(3),
            tags: BTreeMap::from([("team".to_owned(), "a".to_owned())]),
            ..BatchOptions::default()
        };
        let record = TaskRecord {
            // Batch takes no empty argument.
            command: ["pyflyte-map-execute", "vars", ""].map(str::to_owned).into(),
            flyte: Some(Flyte::default()),
            batch: Some(options),
            ..Default::default()
        };
        let request = request(&record);
        assert_eq!(request.command, ["batchmap", "worker"]);
        assert_eq!((request.propagate_tags, request.scheduling_priority), (true, Some(3)));
        assert_eq!((request.tags["team"].as_str(), request.tags["batchmap:execution"].as_str()), ("a", "id"));
    }

    #[test]
    fn an_injected_worker_is_started_by_its_path_in_the_tasks_own_container() {
        use crate::idl::record::{BatchOptions, Injection};
        let options = BatchOptions { injection: Some(Injection::default()), ..BatchOptions::default() };
        let injected = TaskRecord { command: vec!["true".to_owned()], batch: Some(options), ..TaskRecord::default() };
        let request = request(&injected);
        assert_eq!(request.command, ["/opt/batchmap/bin/batchmap", "worker", "--", "true"]);
        assert_eq!(request.container.as_deref(), Some("main"));
        // The limit counts what is around the overrides as well.
        let longest = |injected| {
            let fits = |count| {
                let command = vec!["x".repeat(count)];
                launch::check_limits("b", &Root::new("p", "id"), &command, 1, injected).is_ok()
            };
            (7_000..8_192).rev().find(|count| fits(*count)).unwrap()
        };
        assert_eq!(
            longest(false) - longest(true),
            "/opt/batchmap/bin/".len() + r#"{"containerOverrides":[,"name":"main"]}"#.len()
        );
    }

    #[test]
    fn a_short_timeout_is_left_to_the_worker() {
        let timeout = |timeout_ms| {
            request(&TaskRecord { policy: Some(Policy { timeout_ms, ..Default::default() }), ..Default::default() })
                .timeout_seconds
        };
        assert_eq!(timeout(0), None);
        assert_eq!(timeout(1500), Some(62));
        assert_eq!(timeout(300_000), Some(360));
        assert_eq!(timeout(u64::MAX), Some(i32::MAX as u32));
        // Where there is none, Batch's own is the only one.
        let flyte = Some(Flyte { runner: Runner::Stock.into(), ..Flyte::default() });
        let stock = |timeout_ms| {
            let policy = Some(Policy { timeout_ms, ..Default::default() });
            request(&TaskRecord { policy, flyte: flyte.clone(), ..Default::default() }).timeout_seconds
        };
        assert_eq!((stock(0), stock(1500), stock(300_000)), (None, Some(60), Some(300)));
    }

    #[test]
    fn too_long_is_found_before_aws_does() {
        let long = |count| request(&TaskRecord { command: vec!["x".repeat(count)], ..Default::default() });
        assert_eq!(check(&long(7_000)), Ok(()));
        assert!(matches!(check(&long(8_200)), Err(TooLarge::Overrides { .. })));
        let flyte = Some(Flyte { runner: Runner::Stock.into(), ..Flyte::default() });
        let stock = |count| TaskRecord { command: vec!["x".repeat(count)], flyte: flyte.clone(), ..Default::default() };
        let check = |count| launch::check_stock("b", &Root::new("p", "id"), &stock(count));
        assert!(check(7_000).is_ok() && check(8_200).is_err());
    }
}
