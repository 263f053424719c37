//! One call for many askers.
//!
//! A service follows hundreds of executions with an array or two each. Every one of them asks about its own; what is
//! asked within a moment goes to AWS in one DescribeJobs of up to a hundred jobs. And they run the same few tasks: a job
//! definition that one of them has found or registered serves the others, for these calls have two a second of an
//! account's fifty.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::Instant;

use super::batch::{
    Batch, BatchError, Definition, EnvironmentDetail, Fence, JobDetail, JobPage, JobStatus, QueueDetail, SubmitRequest,
};

/// Jobs that one DescribeJobs takes.
const MOST: usize = 100;

/// How long the first asker waits for others: little beside the seconds between two polls.
const WINDOW: Duration = Duration::from_millis(25);

/// How long a job definition is taken to be there still.
const LASTING: Duration = Duration::from_secs(10 * 60);

/// Job definitions that are remembered.
const REMEMBERED: usize = 1000;

type Answer = Arc<Result<Vec<JobDetail>, BatchError>>;

/// A job definition's ARN, and when it was told. Whoever holds the lock is asking for all.
type Slot = Arc<tokio::sync::Mutex<Option<(Instant, String)>>>;

/// AWS Batch, with what many ask for shared.
pub struct Pooled {
    inner: Arc<dyn Batch>,
    open: Arc<Mutex<Option<Round>>>,
    /// By name, which is a digest of the content.
    definitions: Mutex<BTreeMap<String, Slot>>,
}

/// Questions that go out together.
struct Round {
    jobs: BTreeSet<String>,
    answer: watch::Sender<Option<Answer>>,
}

impl Pooled {
    /// `inner`, its DescribeJobs and its job definitions shared.
    pub fn new(inner: Arc<dyn Batch>) -> Self {
        Pooled { inner, open: Arc::default(), definitions: Mutex::default() }
    }

    fn definition(&self, name: &str) -> Slot {
        let mut definitions = self.definitions();
        if definitions.len() >= REMEMBERED && !definitions.contains_key(name) {
            // Any will do: what is asked for again comes back.
            definitions.pop_first();
        }
        definitions.entry(name.to_owned()).or_default().clone()
    }

    fn definitions(&self) -> MutexGuard<'_, BTreeMap<String, Slot>> {
        self.definitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After a submission: a refused one may have named a definition that somebody has taken away, so all are asked for
    /// anew.
    fn submitted(&self, answer: Result<String, BatchError>) -> Result<String, BatchError> {
        if matches!(answer, Err(BatchError::Refused { .. })) {
            self.definitions().clear();
        }
        answer
    }

    /// Up to [`MOST`] jobs, by one call that others may share.
    async fn describe_some(&self, ids: &[String]) -> Result<Vec<JobDetail>, BatchError> {
        let mut answer = self.join(ids);
        let answer = match answer.wait_for(Option::is_some).await {
            Ok(answer) => answer.clone(),
            // The task that asks is gone, which it is only with the whole runtime.
            Err(_) => None,
        };
        match answer.as_deref() {
            Some(Ok(jobs)) => Ok(jobs.iter().filter(|job| ids.contains(&job.id)).cloned().collect()),
            // Whose job it was that AWS did not like is not known: each finds out alone.
            Some(Err(BatchError::Refused { .. })) | None => self.inner.describe(ids).await,
            Some(Err(error)) => Err(error.clone()),
        }
    }

    /// Puts jobs among those of the open round, or of a new one.
    fn join(&self, ids: &[String]) -> watch::Receiver<Option<Answer>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(round) = open.as_mut().filter(|round| round.jobs.len() + ids.len() <= MOST) {
            round.jobs.extend(ids.iter().cloned());
            return round.answer.subscribe();
        }
        let (answer, answered) = watch::channel(None);
        let full = open.replace(Round { jobs: ids.iter().cloned().collect(), answer });
        // A task of its own: whoever asked first may go away, and the others wait for the answer.
        if let Some(full) = full {
            tokio::spawn(ask(self.inner.clone(), full));
        }
        tokio::spawn(close(self.inner.clone(), self.open.clone(), answered.clone()));
        answered
    }
}

/// Asks what has come together within the window, unless it was full before and is asked already.
async fn close(inner: Arc<dyn Batch>, open: Arc<Mutex<Option<Round>>>, own: watch::Receiver<Option<Answer>>) {
    tokio::time::sleep(WINDOW).await;
    let round = {
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        open.take_if(|round| round.answer.subscribe().same_channel(&own))
    };
    if let Some(round) = round {
        ask(inner, round).await;
    }
}

async fn ask(inner: Arc<dyn Batch>, round: Round) {
    let jobs: Vec<String> = round.jobs.into_iter().collect();
    round.answer.send_replace(Some(Arc::new(inner.describe(&jobs).await)));
}

/// The ARN, if it was told not long ago.
fn lasting(known: &Option<(Instant, String)>) -> Option<String> {
    known.as_ref().filter(|(at, _)| at.elapsed() < LASTING).map(|(_, arn)| arn.clone())
}

#[async_trait]
impl Batch for Pooled {
    async fn submit(&self, request: &SubmitRequest) -> Result<String, BatchError> {
        self.submitted(self.inner.submit(request).await)
    }

    async fn submit_fenced(&self, request: &SubmitRequest, fence: &dyn Fence) -> Result<String, BatchError> {
        // The one who waits and tries again asks the fence: asked here it would be too early.
        self.submitted(self.inner.submit_fenced(request, fence).await)
    }

    async fn describe(&self, ids: &[String]) -> Result<Vec<JobDetail>, BatchError> {
        let mut all = Vec::with_capacity(ids.len());
        for some in ids.chunks(MOST) {
            all.extend(self.describe_some(some).await?);
        }
        Ok(all)
    }

    async fn list_children(&self, parent: &str, status: JobStatus, token: Option<&str>) -> Result<JobPage, BatchError> {
        self.inner.list_children(parent, status, token).await
    }

    async fn list_named(&self, queue: &str, name: &str, token: Option<&str>) -> Result<JobPage, BatchError> {
        self.inner.list_named(queue, name, token).await
    }

    async fn terminate(&self, id: &str, reason: &str) -> Result<(), BatchError> {
        self.inner.terminate(id, reason).await
    }

    async fn find_definition(&self, name: &str) -> Result<Option<String>, BatchError> {
        let slot = self.definition(name);
        let mut known = slot.lock().await;
        if let Some(arn) = lasting(&known) {
            return Ok(Some(arn));
        }
        let found = self.inner.find_definition(name).await?;
        *known = found.clone().map(|arn| (Instant::now(), arn));
        Ok(found)
    }

    async fn register(&self, definition: &Definition) -> Result<String, BatchError> {
        let slot = self.definition(&definition.name);
        let mut known = slot.lock().await;
        // Somebody else, who had not found it either, was faster.
        if let Some(arn) = lasting(&known) {
            return Ok(arn);
        }
        let arn = self.inner.register(definition).await?;
        *known = Some((Instant::now(), arn.clone()));
        Ok(arn)
    }

    async fn queues(&self, names: &[String]) -> Result<Vec<QueueDetail>, BatchError> {
        self.inner.queues(names).await
    }

    async fn environments(&self, names: &[String]) -> Result<Vec<EnvironmentDetail>, BatchError> {
        self.inner.environments(names).await
    }
}
