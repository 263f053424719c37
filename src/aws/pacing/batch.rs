//! The [`Batch`] port behind a [`Pacer`].

use std::sync::Arc;

use async_trait::async_trait;

use super::{Operation, Pacer};
use crate::aws::batch::{
    Batch, BatchError, Definition, EnvironmentDetail, Fence, JobDetail, JobPage, JobStatus, QueueDetail, SubmitRequest,
};

/// AWS Batch, each call in its turn.
pub struct Paced {
    inner: Arc<dyn Batch>,
    pacer: Arc<Pacer>,
}

impl Paced {
    /// `inner` at the pace of `pacer`.
    pub fn new(inner: Arc<dyn Batch>, pacer: Arc<Pacer>) -> Self {
        Paced { inner, pacer }
    }
}

#[async_trait]
impl Batch for Paced {
    async fn submit(&self, request: &SubmitRequest) -> Result<String, BatchError> {
        self.pacer.call(Operation::Submit, || self.inner.submit(request)).await
    }

    async fn submit_fenced(&self, request: &SubmitRequest, fence: &dyn Fence) -> Result<String, BatchError> {
        self.pacer.call(Operation::Submit, || self.inner.submit_fenced(request, fence)).await
    }

    async fn describe(&self, ids: &[String]) -> Result<Vec<JobDetail>, BatchError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.pacer.call(Operation::Describe, || self.inner.describe(ids)).await
    }

    async fn list_children(&self, parent: &str, status: JobStatus, token: Option<&str>) -> Result<JobPage, BatchError> {
        self.pacer.call(Operation::List, || self.inner.list_children(parent, status, token)).await
    }

    async fn list_named(&self, queue: &str, name: &str, token: Option<&str>) -> Result<JobPage, BatchError> {
        self.pacer.call(Operation::List, || self.inner.list_named(queue, name, token)).await
    }

    async fn terminate(&self, id: &str, reason: &str) -> Result<(), BatchError> {
        self.pacer.call(Operation::Terminate, || self.inner.terminate(id, reason)).await
    }

    async fn find_definition(&self, name: &str) -> Result<Option<String>, BatchError> {
        self.pacer.call(Operation::Other, || self.inner.find_definition(name)).await
    }

    async fn register(&self, definition: &Definition) -> Result<String, BatchError> {
        self.pacer.call(Operation::Other, || self.inner.register(definition)).await
    }

    async fn queues(&self, names: &[String]) -> Result<Vec<QueueDetail>, BatchError> {
        self.pacer.call(Operation::Other, || self.inner.queues(names)).await
    }

    async fn environments(&self, names: &[String]) -> Result<Vec<EnvironmentDetail>, BatchError> {
        self.pacer.call(Operation::Other, || self.inner.environments(names)).await
    }
}
