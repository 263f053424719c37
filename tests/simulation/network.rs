//! The way to Batch: calls are late, throttled, lost on the way there, or answered into the void.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use batchmap::aws::batch::{
    Batch, BatchError, Definition, EnvironmentDetail, JobDetail, JobPage, JobStatus, QueueDetail, SubmitRequest,
};
use batchmap::emulator::batch::port::InProcess;

use crate::script::Dice;

pub struct Network {
    pub port: InProcess,
    pub dice: Dice,
    /// Chances in a hundred of each kind of trouble.
    pub trouble: u64,
    pub calls: AtomicU64,
    /// Asked after every call: what must hold at any moment.
    pub watch: Arc<dyn Fn() + Send + Sync>,
}

/// What happens to a call.
enum Fate {
    Carried,
    Throttled,
    LostThere,
    LostBack,
}

impl Network {
    async fn way_there(&self, operation: &'static str) -> (Fate, Duration) {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let roll = |what: &str, sides| self.dice.roll(&format!("{operation}/{call}/{what}"), sides);
        tokio::time::sleep(Duration::from_millis(roll("there", 300))).await;
        let fate = match roll("fate", 100) / self.trouble.max(1) {
            _ if self.trouble == 0 => Fate::Carried,
            0 => Fate::Throttled,
            1 => Fate::LostThere,
            2 => Fate::LostBack,
            _ => Fate::Carried,
        };
        (fate, Duration::from_millis(roll("back", 300)))
    }

    async fn call<T>(
        &self,
        operation: &'static str,
        made: impl Future<Output = Result<T, BatchError>> + Send,
    ) -> Result<T, BatchError> {
        let (fate, back) = self.way_there(operation).await;
        let answer = match fate {
            Fate::Throttled => Err(BatchError::Throttled { operation, message: "too many".to_owned() }),
            Fate::LostThere => Err(BatchError::Unknown { operation, message: "no route".to_owned() }),
            Fate::LostBack => {
                let _ = made.await;
                Err(BatchError::Unknown { operation, message: "broken pipe".to_owned() })
            }
            Fate::Carried => made.await,
        };
        (self.watch)();
        tokio::time::sleep(back).await;
        answer
    }
}

#[async_trait]
impl Batch for Network {
    async fn submit(&self, request: &SubmitRequest) -> Result<String, BatchError> {
        self.call("SubmitJob", self.port.submit(request)).await
    }

    async fn describe(&self, ids: &[String]) -> Result<Vec<JobDetail>, BatchError> {
        self.call("DescribeJobs", self.port.describe(ids)).await
    }

    async fn list_children(&self, parent: &str, status: JobStatus, token: Option<&str>) -> Result<JobPage, BatchError> {
        self.call("ListJobs", self.port.list_children(parent, status, token)).await
    }

    async fn list_named(&self, queue: &str, name: &str, token: Option<&str>) -> Result<JobPage, BatchError> {
        self.call("ListJobs", self.port.list_named(queue, name, token)).await
    }

    async fn terminate(&self, id: &str, reason: &str) -> Result<(), BatchError> {
        self.call("TerminateJob", self.port.terminate(id, reason)).await
    }

    async fn find_definition(&self, name: &str) -> Result<Option<String>, BatchError> {
        self.call("DescribeJobDefinitions", self.port.find_definition(name)).await
    }

    async fn register(&self, definition: &Definition) -> Result<String, BatchError> {
        self.call("RegisterJobDefinition", self.port.register(definition)).await
    }

    async fn queues(&self, names: &[String]) -> Result<Vec<QueueDetail>, BatchError> {
        self.call("DescribeJobQueues", self.port.queues(names)).await
    }

    async fn environments(&self, names: &[String]) -> Result<Vec<EnvironmentDetail>, BatchError> {
        self.call("DescribeComputeEnvironments", self.port.environments(names)).await
    }
}
