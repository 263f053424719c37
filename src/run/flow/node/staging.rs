//! From a node's literals to a map execution that has begun: taken over, recovered, or staged.

use std::collections::BTreeMap;

use super::{Node, NodeError};
use crate::idl::core::{LiteralMap, WorkflowExecutionIdentifier};
use crate::idl::make;
use crate::idl::record::TaskRecord;
use crate::map::event::Source;
use crate::map::flyte::{self, Outline, stock};
use crate::map::inject;
use crate::map::layout::Root;
use crate::map::ranges::Ranges;
use crate::map::task::{BatchOptions, MapTask};
use crate::run::begin;
use crate::run::driver::Driver;
use crate::run::flow::view::ViewError;
use crate::run::launch::{self, LaunchError};
use crate::run::recover::{self, RecoverError, Recovered};
use crate::run::result;
use crate::run::stage::{self, StageOptions};

/// What its map execution is made from.
struct Job {
    /// Its task, with literals for inputs.
    task: MapTask,
    /// The map execution of the same node, given the same, in the execution that this one recovers.
    earlier: Option<String>,
}

/// Where its map execution stands.
pub(super) enum Begun {
    /// It is to be driven.
    Driver(Box<Driver>),
    /// Its lists are empty: nothing is run, and these are the outputs.
    Nothing(LiteralMap),
}

impl Node {
    /// Its map execution, wherever an earlier server has left it.
    pub(super) async fn begin(&self, root: &Root) -> Result<Begun, NodeError> {
        let (host, store) = (&self.shared.host, &self.shared.host.ports.store);
        let written = match launch::read_record(store, root).await {
            Ok(record) => match launch::take_over(&host.ports, root, host.patience).await {
                Ok(driver) => return Ok(Begun::Driver(Box::new(driver))),
                Err(LaunchError::NeverBegun { .. }) => Some(record),
                Err(error) => return Err(error.into()),
            },
            Err(LaunchError::Unknown { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let (outline, record, reused) = {
            // Nobody closes it.
            let _room = self.shared.room.acquire().await;
            let job = self.job().await?;
            let (record, reused) = self.record(root, &job, written).await?;
            launch::check_stock(store.bucket(), root, &record)
                .map_err(|error| NodeError::Task { code: "BadTask", message: error.to_string() })?;
            let MapTask { image, resources, batch, .. } = job.task;
            // A record that was written before stays as it is, whatever this server would do now.
            let batch = BatchOptions { injection: inject::of_record(&record), ..batch };
            (Outline { image, resources, batch }, record, reused)
        };
        if record.size == 0 {
            let names = result::declared(&record).into_keys();
            let literals = names.map(|name| (name, make::collection(Vec::new()))).collect();
            return Ok(Begun::Nothing(LiteralMap { literals }));
        }
        let definition = || (host.definitions)(&outline);
        let begun = begin::begin(&host.ports, root, record, definition, &host.queues, host.patience, reused);
        Ok(Begun::Driver(Box::new(begun.await?)))
    }

    /// What it is made from, by what it was given.
    async fn job(&self) -> Result<Job, NodeError> {
        let inputs = self.values.inputs(&self.id).await?;
        let known = self.graph.node(&self.id).and_then(|node| Some((node, node.task()?)));
        let (node, template) = known.ok_or_else(|| NodeError::Task {
            code: "Unknown",
            message: format!("the workflow has no node {} that runs a task", self.id),
        })?;
        let task = flyte::map_task(template, node.source(), &inputs, &self.options)
            .map_err(|refused| NodeError::Task { code: refused.code, message: refused.to_string() })?;
        let earlier = match &self.recovers {
            Some(old) => self.earlier(old, &inputs).await,
            None => None,
        };
        Ok(Job { task, earlier })
    }

    /// The map execution of the same node in the execution that this one recovers, where it was given the same.
    async fn earlier(&self, old: &WorkflowExecutionIdentifier, inputs: &LiteralMap) -> Option<String> {
        let (host, root) = (&self.shared.host, self.shared.host.root.flow(old));
        let found = async {
            if !self.values.same_inputs(&root, &self.id, inputs).await? {
                return Ok(None);
            }
            // Its journal has records for each of its nodes: it is read once for all of this one's.
            let old = self.shared.known.view(host.ports.store.as_ref(), &host.root, old).await?;
            Ok::<_, ViewError>(old.flow.node(&self.id).and_then(|node| node.execution.map(str::to_owned)))
        };
        found.await.unwrap_or_else(|error| {
            // What cannot be taken over is run.
            tracing::warn!(node = self.id, %error, "cannot read what the earlier execution has brought");
            None
        })
    }

    /// The record of its map execution, which is written when this returns, and what need not be run.
    async fn record(
        &self,
        root: &Root,
        job: &Job,
        written: Option<TaskRecord>,
    ) -> Result<(TaskRecord, BTreeMap<Source, Ranges>), NodeError> {
        Ok(match (self.recovered(root, job).await?, written) {
            (Some(Recovered { record, reused, .. }), written) => (written.unwrap_or(record), reused),
            (None, Some(record)) => (record, BTreeMap::new()),
            (None, None) => {
                let (stores, results) = (self.shared.host.stores(), self.shared.host.results());
                let options = StageOptions { dry_run: false, stores, results, stdin: None };
                let record = stage::stage(&job.task, &self.shared.host.ports.store, root, options).await?.record;
                tell_timeout(&record);
                (record, BTreeMap::new())
            }
        })
    }

    /// What the same node has brought in an earlier execution, where it can be taken over; its record is written then.
    async fn recovered(&self, root: &Root, job: &Job) -> Result<Option<Recovered>, NodeError> {
        let Some(old) = job.earlier.as_ref().map(|id| root.sibling(id)) else { return Ok(None) };
        let store = &self.shared.host.ports.store;
        let known = match launch::read(store, &old).await {
            Ok(known) => known,
            // Never launched, or removed since.
            Err(LaunchError::Unknown { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let taken = async {
            let mut recovered = recover::recover(store.as_ref(), &old, &known).await?;
            // The task is the same, but it is told that it runs in another execution.
            recovered.record.environment = job.task.environment.clone();
            recover::write(store, root, &recovered.record).await?;
            recover::confirm(store.as_ref(), root, &recovered.record).await?;
            Ok::<_, RecoverError>(recovered)
        };
        match taken.await {
            Ok(recovered) => Ok(Some(recovered)),
            Err(RecoverError::Store(error)) => Err(error.into()),
            // Then there is nothing to take, and all of it is run.
            Err(error) => {
                tracing::info!(execution = self.execution, %error, "nothing is taken over");
                Ok(None)
            }
        }
    }
}

/// Without a worker AWS Batch's timeout is the only one, and it has a shortest.
fn tell_timeout(record: &TaskRecord) {
    let timeout_ms = record.policy.map_or(0, |policy| policy.timeout_ms);
    let shortest = stock::SHORTEST_TIMEOUT_SECONDS;
    if stock::runner(record).is_some() && (1..shortest * 1000).contains(&timeout_ms) {
        tracing::warn!(task = record.name, timeout_ms, "a timeout is at least {shortest} seconds where no worker is");
    }
}
