//! The Batch and Logs ports straight on the [`Service`]: the requests, answers and errors of the SDK's adapters, without
//! HTTP between. For whoever lives in the endpoint's process, and for tests that check both ways with the same questions.

use std::io;
use std::sync::Arc;

use super::ask;
use super::model::{Input, Reply};
use super::service::{Fault, Service};
use crate::aws::about;
use crate::aws::batch::{
    Batch, BatchError, Definition, EnvironmentDetail, JobDetail, JobPage, JobStatus, QueueDetail, SubmitRequest,
};
use crate::aws::logs::{LogEvent, LogPage, Logs, LogsError};
use crate::emulator::logs::Window;
use async_trait::async_trait;

/// Events in a page of GetLogEvents.
const EVENTS: usize = 10_000;

/// The ports on an endpoint of this process.
#[derive(Clone)]
pub struct InProcess(Arc<Service>);

impl InProcess {
    /// The ports on `service`.
    pub fn new(service: Arc<Service>) -> Self {
        InProcess(service)
    }

    /// Makes a change that is on the disk, if the service is to be durable, when this returns.
    async fn change(&self, operation: &'static str, about: &str, input: Input) -> Result<Reply, BatchError> {
        let reply = self.0.change(input).map_err(|fault| told(operation, about, fault))?;
        self.0.durable().await.map_err(|fault| told(operation, about, fault))?;
        Ok(reply)
    }
}

/// What the SDK's adapter makes of the face's answer to the same fault.
fn told(operation: &'static str, about: &str, fault: Fault) -> BatchError {
    match fault {
        Fault::Refused(refusal) => ask::refused(operation, about, &refusal),
        Fault::Server(message) => {
            BatchError::Unknown { operation, message: format!("ServerException: {message} [{about}]") }
        }
    }
}

fn hollow(operation: &'static str, reply: &Reply) -> BatchError {
    BatchError::Unknown { operation, message: format!("an answer to another question: {reply:?}") }
}

#[async_trait]
impl Batch for InProcess {
    async fn submit(&self, request: &SubmitRequest) -> Result<String, BatchError> {
        const OPERATION: &str = "SubmitJob";
        match self.change(OPERATION, &about::submission(request), ask::submit(request)).await? {
            Reply::Submitted(submitted) => Ok(submitted.job_id),
            other => Err(hollow(OPERATION, &other)),
        }
    }

    async fn describe(&self, ids: &[String]) -> Result<Vec<JobDetail>, BatchError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        if self.0.read(|model| model.holds(ids)) {
            // As over HTTP: whoever asks about a job wants it to go on. A reader of state on disk need not.
            let _ = self.0.change(Input::Release(ids.to_vec()));
        }
        self.0.read(|model| ask::describe(model, ids))
    }

    async fn list_children(&self, parent: &str, status: JobStatus, token: Option<&str>) -> Result<JobPage, BatchError> {
        self.0.read(|model| ask::list_children(model, parent, status, token))
    }

    async fn list_named(&self, queue: &str, name: &str, token: Option<&str>) -> Result<JobPage, BatchError> {
        self.0.read(|model| ask::list_named(model, queue, name, token))
    }

    async fn terminate(&self, id: &str, reason: &str) -> Result<(), BatchError> {
        self.change("TerminateJob", &about::job(id), ask::terminate(id, reason)).await.map(drop)
    }

    async fn find_definition(&self, name: &str) -> Result<Option<String>, BatchError> {
        self.0.read(|model| ask::find_definition(model, name))
    }

    async fn register(&self, definition: &Definition) -> Result<String, BatchError> {
        const OPERATION: &str = "RegisterJobDefinition";
        match self.change(OPERATION, &about::definition(&definition.name), ask::register(definition)).await? {
            Reply::Registered(registered) => Ok(registered.job_definition_arn),
            other => Err(hollow(OPERATION, &other)),
        }
    }

    async fn queues(&self, names: &[String]) -> Result<Vec<QueueDetail>, BatchError> {
        self.0.read(|model| ask::queues(model, names))
    }

    async fn environments(&self, names: &[String]) -> Result<Vec<EnvironmentDetail>, BatchError> {
        self.0.read(|model| ask::environments(model, names))
    }
}

#[async_trait]
impl Logs for InProcess {
    async fn page(&self, group: &str, stream: &str, token: Option<&str>) -> Result<LogPage, LogsError> {
        let named = || (group.to_owned(), stream.to_owned());
        let offset = match token {
            None => Some(0),
            Some(token) => token.strip_prefix("f/").and_then(|offset| offset.parse().ok()),
        };
        // A stream that is not there is told before a token that is not valid.
        let limit = if offset.is_some() { EVENTS } else { 0 };
        let window = Window { limit, start_ms: 0, end_ms: u64::MAX };
        let page = self.0.logs().forward(group, stream, offset.unwrap_or_default(), window).map_err(|error| {
            let (group, stream) = named();
            match error.kind() {
                io::ErrorKind::NotFound => LogsError::NotFound { group, stream },
                _ => LogsError::Failed { group, stream, message: format!("ServiceUnavailableException: {error}") },
            }
        })?;
        if offset.is_none() {
            let (group, stream) = named();
            let message = "InvalidParameterException: The specified nextToken is invalid.".to_owned();
            return Err(LogsError::Failed { group, stream, message });
        }
        let events = page.events.into_iter().map(|event| LogEvent {
            timestamp_ms: i64::try_from(event.timestamp_ms).unwrap_or(i64::MAX),
            message: event.message,
        });
        Ok(LogPage { events: events.collect(), next: Some(format!("f/{}", page.end)) })
    }
}
