//! One DescribeJobs for many askers.
//!
//! A service follows hundreds of executions with an array or two each. Every one of them asks about its own; what is
//! asked within a moment goes to AWS in one call of up to a hundred jobs.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use super::batch::{
    Batch, BatchError, Definition, EnvironmentDetail, JobDetail, JobPage, JobStatus, QueueDetail, SubmitRequest,
};

/// Jobs that one DescribeJobs takes.
const MOST: usize = 100;

/// How long the first asker waits for others: little beside the seconds between two polls.
const WINDOW: Duration = Duration::from_millis(25);

type Answer = Arc<Result<Vec<JobDetail>, BatchError>>;

/// AWS Batch, its DescribeJobs shared.
pub struct Pooled {
    inner: Arc<dyn Batch>,
    open: Arc<Mutex<Option<Round>>>,
}

/// Questions that go out together.
struct Round {
    jobs: BTreeSet<String>,
    answer: watch::Sender<Option<Answer>>,
}

impl Pooled {
    /// `inner`, its DescribeJobs shared.
    pub fn new(inner: Arc<dyn Batch>) -> Self {
        Pooled { inner, open: Arc::default() }
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

#[async_trait]
impl Batch for Pooled {
    async fn submit(&self, request: &SubmitRequest) -> Result<String, BatchError> {
        self.inner.submit(request).await
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
        self.inner.find_definition(name).await
    }

    async fn register(&self, definition: &Definition) -> Result<String, BatchError> {
        self.inner.register(definition).await
    }

    async fn queues(&self, names: &[String]) -> Result<Vec<QueueDetail>, BatchError> {
        self.inner.queues(names).await
    }

    async fn environments(&self, names: &[String]) -> Result<Vec<EnvironmentDetail>, BatchError> {
        self.inner.environments(names).await
    }
}
