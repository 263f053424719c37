//! AWS Batch as batchmap needs it: nine calls.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::Serialize;

use super::about;
pub use crate::map::inject::Injection;
pub use crate::map::status::JobStatus;
pub use crate::map::stuck::{EnvironmentDetail, QueueDetail};

/// The command of a definition. Every submission brings its own; a definition may not go without.
pub(crate) const PLACEHOLDER: &str = "true";

/// What SubmitJob is given. `size` 1 is submitted as a plain job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SubmitRequest {
    /// Unique, at most 128 of `[A-Za-z0-9_-]`.
    pub name: String,
    /// Queue name or ARN.
    pub queue: String,
    /// Definition ARN or `name:revision`.
    pub definition: String,
    /// Children: 1..=10,000.
    pub size: u32,
    /// The container's command, no element empty.
    pub command: Vec<String>,
    /// Added to the definition's environment.
    pub environment: BTreeMap<String, String>,
    /// The container that both are for, of a definition with an [`Injection`]; absent where there is only one.
    pub container: Option<String>,
    /// How often Batch itself may start a child, 1..=10.
    pub attempts: u32,
    /// Which ends of an attempt Batch retries by itself, first match first; the last rule matches everything.
    pub retry_rules: Vec<RetryRule>,
    /// Seconds of an attempt, at least 60.
    pub timeout_seconds: Option<u32>,
    /// Tags of the job.
    pub tags: BTreeMap<String, String>,
    /// Whether they go to the ECS task too.
    pub propagate_tags: bool,
    /// In a fair-share queue only: 0..=9999, the definition's own when absent.
    pub scheduling_priority: Option<u32>,
}

/// One row of `evaluateOnExit`. Patterns may end in `*`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RetryRule {
    /// Against the attempt's status reason.
    pub on_status_reason: Option<String>,
    /// Against the container's reason.
    pub on_reason: Option<String>,
    /// Against the exit code.
    pub on_exit_code: Option<String>,
    /// Start again, or leave the job failed.
    pub retry: bool,
}

/// What RegisterJobDefinition is given: a definition of type `container`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Definition {
    /// Unique by content.
    pub name: String,
    /// Container image.
    pub image: String,
    /// `EC2` or `FARGATE`.
    pub platform: String,
    /// vCPUs as Batch wants them: `1`, `0.25`.
    pub vcpus: String,
    /// MiB.
    pub memory_mib: u32,
    /// 0 is none.
    pub gpus: u32,
    /// The role of the code inside the container.
    pub job_role: Option<String>,
    /// The role that pulls the image and writes logs; required on Fargate.
    pub execution_role: Option<String>,
    /// The CloudWatch log group; Batch's own when absent.
    pub log_group: Option<String>,
    /// Fargate without NAT needs a public address.
    pub assign_public_ip: bool,
    /// Environment variables that AWS Batch fills in when a container starts: the variable's name to the ARN of a secret
    /// of Secrets Manager or of a parameter of Systems Manager, which the execution role must be allowed to read.
    pub secrets: BTreeMap<String, String>,
    /// MiB of `/dev/shm`, on EC2 only; 0 is what Docker gives, 64.
    pub shared_memory_mib: u32,
    /// Whether the image is one for ARM, on Fargate only; a queue of EC2 machines has the one or the other.
    pub arm64: bool,
    /// How the worker gets beside the image: the task then has two containers. Absent where there is only one.
    pub injection: Option<Injection>,
}

/// One attempt of a job, as DescribeJobs tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttemptDetail {
    /// The container's exit code, when it got that far.
    pub exit_code: Option<i32>,
    /// The container's reason.
    pub reason: Option<String>,
    /// The attempt's status reason.
    pub status_reason: Option<String>,
    /// The CloudWatch stream of its output.
    pub log_stream: Option<String>,
}

impl AttemptDetail {
    /// Whether nothing is told of its container.
    pub(crate) fn never_ran(&self) -> bool {
        self.exit_code.is_none() && self.reason.as_ref().is_none_or(String::is_empty)
    }
}

/// Why a container never ran that waited for `other`, which was to end with 0: what is told of that one. Nothing where it
/// did its work, or nothing is told.
pub(crate) fn waited_in_vain(other: &str, exit_code: Option<i32>, reason: Option<&str>) -> Option<String> {
    let ended = exit_code.filter(|code| *code != 0).map(|code| format!("ended with exit code {code}"));
    let told = reason.filter(|reason| !reason.is_empty()).map(str::to_owned);
    let both: Vec<String> = ended.into_iter().chain(told).collect();
    (!both.is_empty())
        .then(|| format!("CannotStartContainerError: container {other}, which comes first: {}", both.join(": ")))
}

/// A job, as DescribeJobs tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobDetail {
    /// The job's id; a child's is `<parent>:<index>`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its state.
    pub status: JobStatus,
    /// Why it is in that state.
    pub status_reason: Option<String>,
    /// Children by state; empty for a job that is no array.
    pub summary: BTreeMap<JobStatus, u32>,
    /// Attempts that have ended, oldest first.
    pub attempts: Vec<AttemptDetail>,
    /// The stream of the attempt under way or, without one, of the last.
    pub log_stream: Option<String>,
    /// Cancelled before it started.
    pub cancelled: bool,
    /// Terminated by a request.
    pub terminated: bool,
}

/// A job, as ListJobs tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobSummary {
    /// The job's id; a child's is `<parent>:<index>`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its state.
    pub status: JobStatus,
    /// Why it is in that state.
    pub status_reason: Option<String>,
    /// The container's exit code.
    pub exit_code: Option<i32>,
    /// The container's reason.
    pub reason: Option<String>,
    /// Cancelled before it started.
    pub cancelled: bool,
    /// Terminated by a request.
    pub terminated: bool,
}

/// A page of ListJobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobPage {
    /// The jobs, newest first.
    pub jobs: Vec<JobSummary>,
    /// Where to go on; absent at the end.
    pub next: Option<String>,
}

impl JobPage {
    /// The page without what `name` (a trailing `*` is a prefix) does not mean: Batch compares names without regard to
    /// case, and an endpoint that is no AWS may not filter at all; what is found by name may be terminated, so it must be
    /// what was asked for.
    pub(crate) fn named(mut self, name: &str) -> JobPage {
        self.jobs.retain(|job| match name.strip_suffix('*') {
            Some(prefix) => job.name.starts_with(prefix),
            None => job.name == name,
        });
        self
    }
}

/// Why a call to Batch did not do what it was asked. The variants are what a caller can decide on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// AWS refused the request: retrying does not help, and nothing has happened.
    #[error("AWS Batch refused {operation}: {code}: {message}")]
    Refused {
        /// The API operation: what an IAM policy must allow.
        operation: &'static str,
        /// AWS's error code.
        code: String,
        /// AWS's message.
        message: String,
    },
    /// Too many requests: nothing has happened, try again later.
    #[error("AWS Batch throttles {operation}: {message}")]
    Throttled {
        /// The API operation.
        operation: &'static str,
        /// AWS's message.
        message: String,
    },
    /// The request cannot be made or is not accepted as ours now, for want of valid credentials: nothing has happened,
    /// and it may be made again once they are renewed.
    #[error("cannot call AWS Batch for {operation}: {message}; renew the credentials")]
    Unauthenticated {
        /// The API operation.
        operation: &'static str,
        /// The cause.
        message: String,
    },
    /// No answer, or one that tells nothing: the request may have been carried out.
    #[error("AWS Batch gave no clear answer to {operation}: {message}")]
    Unknown {
        /// The API operation.
        operation: &'static str,
        /// The cause.
        message: String,
    },
    /// The call was not made, for its caller's [`Fence`] does not hold any more.
    #[error("{operation} was not called: whoever wanted it may not call it any more")]
    Fenced {
        /// The API operation.
        operation: &'static str,
    },
}

impl BatchError {
    /// Whether AWS refused the call for want of a permission: with it, the same call would do.
    pub fn is_denied(&self) -> bool {
        matches!(self, BatchError::Refused { code, .. } if about::is_denial(code))
    }
}

/// Whether a call may still be made. A call may wait for its turn, and be tried again, long after it was asked for.
#[async_trait]
pub trait Fence: Send + Sync {
    /// Asked just before each try.
    async fn holds(&self) -> bool;
}

/// AWS Batch.
#[async_trait]
pub trait Batch: Send + Sync {
    /// Submits an array, or a plain job when `size` is 1, and returns its id. Never retries by itself: SubmitJob has
    /// no client token, so a second call could be a second array.
    async fn submit(&self, request: &SubmitRequest) -> Result<String, BatchError>;

    /// The same, but only while `fence` holds: [`BatchError::Fenced`] otherwise. Whoever makes a call wait, or makes it
    /// again, asks the fence before each try.
    async fn submit_fenced(&self, request: &SubmitRequest, fence: &dyn Fence) -> Result<String, BatchError> {
        if !fence.holds().await {
            return Err(BatchError::Fenced { operation: "SubmitJob" });
        }
        self.submit(request).await
    }

    /// Describes up to 100 jobs; one that Batch does not know (any more) is left out.
    async fn describe(&self, ids: &[String]) -> Result<Vec<JobDetail>, BatchError>;

    /// One page (up to 1,000) of an array's children in `status`.
    async fn list_children(&self, parent: &str, status: JobStatus, token: Option<&str>) -> Result<JobPage, BatchError>;

    /// One page (up to 100) of a queue's jobs in any state whose name matches `name` (a trailing `*` is a prefix).
    async fn list_named(&self, queue: &str, name: &str, token: Option<&str>) -> Result<JobPage, BatchError>;

    /// Ends a job, and for a parent every child, in whatever state.
    async fn terminate(&self, id: &str, reason: &str) -> Result<(), BatchError>;

    /// The ARN of the newest active revision of definition `name`.
    async fn find_definition(&self, name: &str) -> Result<Option<String>, BatchError>;

    /// Registers a definition and returns its ARN.
    async fn register(&self, definition: &Definition) -> Result<String, BatchError>;

    /// Describes up to 100 job queues, by name or ARN; one that does not exist is left out.
    async fn queues(&self, names: &[String]) -> Result<Vec<QueueDetail>, BatchError>;

    /// Describes up to 100 compute environments, by name or ARN; one that does not exist is left out.
    async fn environments(&self, names: &[String]) -> Result<Vec<EnvironmentDetail>, BatchError>;
}
