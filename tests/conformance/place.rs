//! Where the checks of Batch run: an endpoint's ports, and what may be asked of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use batchmap::aws::batch::{Batch, Definition, JobDetail, JobStatus, JobSummary, RetryRule, SubmitRequest};
use batchmap::aws::logs::Logs;
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// Calls that no driver makes, so that the port does not have them; the checks need them.
#[async_trait]
pub trait Beyond: Send + Sync {
    /// CancelJob.
    async fn cancel(&self, id: &str, reason: &str);
    /// DeregisterJobDefinition, by ARN.
    async fn deregister(&self, definition: &str);
}

/// An endpoint under test. Everything made there has a name that begins with `prefix`; [`Place::clean`] ends it.
pub struct Place {
    pub batch: Arc<dyn Batch>,
    pub logs: Arc<dyn Logs>,
    pub beyond: Arc<dyn Beyond>,
    pub queue: String,
    pub prefix: String,
    /// What jobs run in; its name is set by who registers it.
    pub definition: Definition,
    /// Children are cheap here and thousands do no harm.
    pub cheap: bool,
    /// Minutes may be spent waiting for a timeout.
    pub patient: bool,
    /// Between two looks.
    pub pause: Duration,
    /// For one job to end.
    pub deadline: Duration,
    /// The definition that all submissions share.
    shared: OnceCell<String>,
    submitted: Mutex<Vec<String>>,
    defined: Mutex<Vec<String>>,
    names: AtomicU32,
}

/// A definition that any endpoint takes.
pub fn small() -> Definition {
    Definition {
        name: String::new(),
        image: "public.ecr.aws/docker/library/busybox:stable".to_owned(),
        platform: "EC2".to_owned(),
        vcpus: "1".to_owned(),
        memory_mib: 128,
        gpus: 0,
        job_role: None,
        execution_role: None,
        log_group: None,
        assign_public_ip: false,
        secrets: BTreeMap::new(),
        shared_memory_mib: 0,
        arm64: false,
        injection: None,
    }
}

/// Retry or not on this exit code.
pub fn on_code(code: &str, retry: bool) -> RetryRule {
    RetryRule { on_exit_code: Some(code.to_owned()), retry, ..RetryRule::default() }
}

/// Retry or not on this status reason.
pub fn on_status(reason: &str, retry: bool) -> RetryRule {
    RetryRule { on_status_reason: Some(reason.to_owned()), retry, ..RetryRule::default() }
}

impl Place {
    pub fn new(batch: Arc<dyn Batch>, logs: Arc<dyn Logs>, beyond: Arc<dyn Beyond>, queue: &str) -> Place {
        Place {
            batch,
            logs,
            beyond,
            queue: queue.to_owned(),
            prefix: format!("batchmap-test-{:08x}", random()),
            definition: small(),
            cheap: true,
            patient: crate::endpoints::variable("SLOW").is_some(),
            pause: Duration::from_millis(10),
            deadline: Duration::from_secs(120),
            shared: OnceCell::new(),
            submitted: Mutex::default(),
            defined: Mutex::default(),
            names: AtomicU32::new(0),
        }
    }

    /// A name that nothing else has.
    pub fn name(&self, what: &str) -> String {
        format!("{}-{what}-{}", self.prefix, self.names.fetch_add(1, Ordering::Relaxed))
    }

    /// Registers, and remembers to take it back.
    pub async fn register(&self, name: &str) -> String {
        let definition = Definition { name: name.to_owned(), ..self.definition.clone() };
        let arn = self.batch.register(&definition).await.expect("a definition");
        self.defined.lock().expect("no panic").push(arn.clone());
        arn
    }

    /// A submission of `size` shells.
    pub async fn request(&self, what: &str, size: u32, script: &str) -> SubmitRequest {
        let name = format!("{}-shared", self.prefix);
        let definition = self.shared.get_or_init(|| self.register(&name)).await.clone();
        SubmitRequest {
            name: self.name(what),
            queue: self.queue.clone(),
            definition,
            size,
            command: ["sh", "-c", script].map(str::to_owned).to_vec(),
            environment: BTreeMap::new(),
            container: None,
            attempts: 1,
            retry_rules: Vec::new(),
            timeout_seconds: None,
            tags: BTreeMap::new(),
            propagate_tags: false,
            scheduling_priority: None,
        }
    }

    /// Submits, and remembers to end it.
    pub async fn submit(&self, request: &SubmitRequest) -> String {
        let id = self.batch.submit(request).await.expect("a submission");
        self.submitted.lock().expect("no panic").push(id.clone());
        id
    }

    /// Submits shells and waits for their end.
    pub async fn run(&self, what: &str, size: u32, script: &str) -> JobDetail {
        let request = self.request(what, size, script).await;
        self.ended(&self.submit(&request).await).await
    }

    pub async fn describe(&self, id: &str) -> JobDetail {
        let mut jobs = self.batch.describe(&[id.to_owned()]).await.expect("a description");
        assert_eq!(jobs.iter().map(|job| job.id.as_str()).collect::<Vec<_>>(), [id]);
        jobs.remove(0)
    }

    /// Asks until there is an answer.
    pub async fn until<T>(&self, what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + self.deadline;
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            assert!(Instant::now() < deadline, "within {:?}: {what}", self.deadline);
            tokio::time::sleep(self.pause).await;
        }
    }

    /// Waits until a job is as wanted; what it passes through must be in order.
    pub async fn reaches(&self, id: &str, what: &str, wanted: impl Fn(&JobDetail) -> bool) -> JobDetail {
        self.until(&format!("job {id} {what}"), async || {
            let job = self.describe(id).await;
            in_order(&job);
            wanted(&job).then_some(job)
        })
        .await
    }

    pub async fn ended(&self, id: &str) -> JobDetail {
        let job = self.reaches(id, "ends", |job| job.status.is_terminal()).await;
        let counted: u32 = job.summary.values().sum();
        let ends = [JobStatus::Succeeded, JobStatus::Failed].map(|status| job.summary.get(&status).copied());
        assert_eq!(counted, ends.iter().flatten().sum::<u32>(), "all children of an ended parent have ended: {job:?}");
        job
    }

    pub async fn running(&self, id: &str) -> JobDetail {
        let past = |job: &JobDetail| job.status == JobStatus::Running || job.status.is_terminal();
        let job = self.reaches(id, "runs", past).await;
        assert_eq!(job.status, JobStatus::Running, "{job:?}");
        job
    }

    /// All children in a state, page after page.
    pub async fn children(&self, parent: &str, status: JobStatus) -> Vec<JobSummary> {
        let (mut all, mut token) = (Vec::new(), None);
        loop {
            let page = self.batch.list_children(parent, status, token.as_deref()).await.expect("a page");
            assert!(page.jobs.len() <= 1000);
            all.extend(page.jobs);
            token = page.next;
            if token.is_none() {
                return all;
            }
        }
    }

    /// Every line of a stream, once the last of them is there: logs come late on AWS.
    pub async fn lines(&self, stream: &str, last: &str) -> Vec<String> {
        let group = self.definition.log_group.as_deref().unwrap_or("/aws/batch/job");
        self.until(&format!("{stream} ends with {last:?}"), async || {
            let (mut lines, mut token) = (Vec::new(), None);
            loop {
                let page = self.logs.page(group, stream, token.as_deref()).await.ok()?;
                lines.extend(page.events.into_iter().map(|event| event.message));
                if page.next == token {
                    return (lines.last().map(String::as_str) == Some(last)).then_some(lines);
                }
                token = page.next;
            }
        })
        .await
    }

    /// Ends what still runs, and takes back what was defined.
    pub async fn clean(&self) {
        let submitted = std::mem::take(&mut *self.submitted.lock().expect("no panic"));
        for ids in submitted.chunks(100) {
            for job in self.batch.describe(ids).await.unwrap_or_default() {
                if !job.status.is_terminal() {
                    let _ = self.batch.terminate(&job.id, "the test is over").await;
                }
            }
        }
        let defined = std::mem::take(&mut *self.defined.lock().expect("no panic"));
        for arn in defined {
            self.beyond.deregister(&arn).await;
        }
    }
}

/// What holds of every job at every moment.
fn in_order(job: &JobDetail) {
    use JobStatus::{Failed, Pending, Submitted, Succeeded};
    if job.summary.is_empty() {
        return;
    }
    assert!(matches!(job.status, Submitted | Pending | Succeeded | Failed), "a parent is never so: {job:?}");
    let count = |status| job.summary.get(&status).copied().unwrap_or_default();
    match job.status {
        Succeeded => assert_eq!(count(Failed), 0, "{job:?}"),
        Failed => assert!(count(Failed) > 0, "{job:?}"),
        _ => {}
    }
}

fn random() -> u32 {
    // RandomState is seeded by the system.
    std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), std::process::id()) as u32
}
