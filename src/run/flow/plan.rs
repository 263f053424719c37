//! A launch plan's node: an execution of its own, under a name that follows from its parent's.
//!
//! Not laid out within its parent, as a sub-workflow is: clients look for an execution behind such a node, and the plan has
//! defaults, labels and a parallelism of its own. The name is in the parent's journal before the execution is made, so a
//! server that takes over finds it, and an end that is asked for in between makes none.

use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use tokio::sync::mpsc;

use super::host::{CreateError, Shared};
use super::view::{self, ViewError};
use super::{Host, Values};
use crate::aws::store::StoreError;
use crate::idl::admin::execution_metadata::ExecutionMode;
use crate::idl::admin::{ExecutionMetadata, ExecutionSpec};
use crate::idl::core::{
    Identifier, LaunchPlanTemplate, LiteralMap, NodeExecutionIdentifier, WorkflowExecutionIdentifier,
};
use crate::idl::record::registered::Spec;
use crate::idl::record::{FlowRecord, Registered};
use crate::map::flyte::{expected, inherit};
use crate::map::layout::flyte::{FLYTE_VERSION, Kind, REMOVED_VERSION};
use crate::map::policy::Origin;
use crate::map::workflow::event::Cached;
use crate::map::workflow::{FlowOutcome, NodeEnd, NodeError, inputs};
use crate::run::driver::Control;

/// How often an execution that is driven here is looked at: that costs a lock.
const HERE: Duration = Duration::from_millis(250);
/// How often one that another server drives is looked at: that costs reading its journal.
const ELSEWHERE: Duration = Duration::from_secs(5);
/// How long to wait after S3 was out of reach.
const PAUSE: Duration = Duration::from_secs(2);
/// Plans that start one another at most: one that starts itself would do so for ever.
const MAX_NESTING: u32 = 32;

/// The name of the execution that this attempt of a node of `parent` makes: a letter and 19 of the 36 letters and digits,
/// the same every time.
pub(super) fn name(parent: &WorkflowExecutionIdentifier, node: &str, attempt: u32) -> String {
    let WorkflowExecutionIdentifier { project, domain, name, .. } = parent;
    let hash = blake3::hash(format!("{project}\n{domain}\n{name}\n{node}\n{attempt}").as_bytes());
    const DIGITS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let digits = hash.as_bytes().iter().take(19).map(|byte| char::from(DIGITS[usize::from(byte % 36)]));
    std::iter::once('f').chain(digits).collect()
}

/// What is to be run for a node.
pub(super) struct Child {
    /// The execution that the node is of.
    pub parent: Arc<FlowRecord>,
    /// The node's unique id.
    pub node: String,
    /// The plan.
    pub plan: Arc<LaunchPlanTemplate>,
    /// The execution's own id.
    pub id: WorkflowExecutionIdentifier,
}

/// How the looking after a node's execution ended.
pub(super) enum Looked {
    /// The node is over.
    Ended(NodeEnd, Option<LiteralMap>),
    /// This server was told to leave it.
    Left,
    /// S3 failed.
    Not(StoreError),
}

/// Why there is no execution.
enum Unmade {
    Store(StoreError),
    Wrong(NodeError),
}

impl From<StoreError> for Unmade {
    fn from(error: StoreError) -> Self {
        Unmade::Store(error)
    }
}

fn wrong(code: &str, message: impl Into<String>) -> Unmade {
    Unmade::Wrong(NodeError {
        code: code.to_owned(),
        message: message.into(),
        origin: Origin::User,
        recoverable: false,
    })
}

impl Child {
    /// Makes the execution unless it is there, and waits for its end.
    pub(super) async fn run(
        &self,
        shared: &Arc<Shared>,
        given: &LiteralMap,
        control: &mut mpsc::Receiver<Control>,
    ) -> Looked {
        // Asked before it is there: then it is not made.
        match control.try_recv() {
            Ok(Control::Abort { reason }) => return self.stop(shared, &reason).await,
            Ok(Control::Detach) => return Looked::Left,
            _ => {}
        }
        match self.make(shared, given).await {
            Ok(()) => {}
            Err(Unmade::Store(error)) => return Looked::Not(error),
            Err(Unmade::Wrong(error)) => return Looked::Ended(NodeEnd::Failed(error), None),
        }
        loop {
            let pause = match self.end(shared).await {
                Ok(Some(ended)) => return ended,
                Ok(None) if shared.drives(&self.id) => HERE,
                Ok(None) => ELSEWHERE,
                Err(error) => return Looked::Not(error),
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                asked = control.recv() => match asked {
                    Some(Control::Abort { reason }) => return self.stop(shared, &reason).await,
                    Some(Control::Detach) | None => return Looked::Left,
                },
            }
        }
    }

    /// Ends the execution, if there is one, and waits until nothing of it runs.
    pub(super) async fn stop(&self, shared: &Arc<Shared>, reason: &str) -> Looked {
        loop {
            match shared.abort(&self.id, reason, "").await {
                Ok(()) => match self.end(shared).await {
                    Ok(Some(ended)) => return ended,
                    Ok(None) => tokio::time::sleep(HERE).await,
                    Err(error) => {
                        tracing::warn!(execution = self.id.name, %error, "trying again");
                        tokio::time::sleep(PAUSE).await;
                    }
                },
                // Never made, and another server may be about to.
                Err(ViewError::Unknown { .. }) => match self.forestall(shared).await {
                    Ok(()) => return Looked::Ended(NodeEnd::Aborted { reason: reason.to_owned() }, None),
                    Err(StoreError::AlreadyExists { .. }) if !self.is_nothing(shared).await => {}
                    Err(StoreError::AlreadyExists { .. }) => {
                        return Looked::Ended(NodeEnd::Aborted { reason: reason.to_owned() }, None);
                    }
                    Err(error) => {
                        tracing::warn!(execution = self.id.name, %error, "trying again");
                        tokio::time::sleep(PAUSE).await;
                    }
                },
                Err(error @ (ViewError::Unreadable { .. } | ViewError::Illegal(_))) => {
                    tracing::error!(execution = self.id.name, %error, "a launch plan's execution could not be ended");
                    return Looked::Ended(NodeEnd::Aborted { reason: reason.to_owned() }, None);
                }
                Err(error) => {
                    tracing::warn!(execution = self.id.name, %error, "trying again");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Takes the execution's name with a record of nothing, so that nobody makes it any more.
    async fn forestall(&self, shared: &Arc<Shared>) -> Result<(), StoreError> {
        let nothing = FlowRecord { version: REMOVED_VERSION, id: Some(self.id.clone()), ..FlowRecord::default() };
        let key = shared.host.root.flow(&self.id).spec();
        shared.host.ports.store.put_new(&key, nothing.encode_to_vec().into()).await
    }

    /// Whether its name is taken by such a record.
    async fn is_nothing(&self, shared: &Arc<Shared>) -> bool {
        let read =
            view::read_record(shared.host.ports.store.as_ref(), &shared.host.root.flow(&self.id), &self.id).await;
        matches!(read, Err(ViewError::Unknown { .. }))
    }

    /// How the execution ended, if it has.
    async fn end(&self, shared: &Arc<Shared>) -> Result<Option<Looked>, StoreError> {
        let outcome = match shared.outcome(&self.id).await {
            Ok(outcome) => outcome,
            Err(ViewError::Store(error)) => return Err(error),
            Err(error) => {
                let (code, origin) = ("Unreadable".to_owned(), Origin::System);
                let error = NodeError { code, message: error.to_string(), origin, recoverable: false };
                return Ok(Some(Looked::Ended(NodeEnd::Failed(error), None)));
            }
        };
        let name = &self.id.name;
        Ok(match outcome {
            None => None,
            Some(FlowOutcome::Succeeded) => {
                let root = shared.host.root.flow(&self.id);
                let values = Values::new(shared.host.ports.store.clone(), root, self.parent.clone());
                let outputs = values.outputs("").await?;
                Some(Looked::Ended(NodeEnd::Succeeded { cached: Cached::Off }, Some(outputs)))
            }
            Some(FlowOutcome::Failed { node, error }) => {
                let place = node.map(|node| format!("node {node}: ")).unwrap_or_default();
                let message = format!("execution {name}: {place}{}", error.message);
                Some(Looked::Ended(NodeEnd::Failed(NodeError { message, recoverable: false, ..error }), None))
            }
            Some(FlowOutcome::Aborted { cause, .. }) => {
                let reason = format!("execution {name} was aborted: {cause}");
                Some(Looked::Ended(NodeEnd::Aborted { reason }, None))
            }
        })
    }

    async fn make(&self, shared: &Arc<Shared>, given: &LiteralMap) -> Result<(), Unmade> {
        let host = &shared.host;
        let store = host.ports.store.as_ref();
        match view::read_record(store, &host.root.flow(&self.id), &self.id).await {
            Ok(there) => return self.own(&there),
            Err(ViewError::Unknown { .. }) => {}
            Err(ViewError::Store(error)) => return Err(error.into()),
            Err(error) => return Err(wrong("Unreadable", error.to_string())),
        }
        let record = self.record(shared, given).await?;
        match shared.create(record).await {
            Ok(()) | Err(CreateError::Making(_)) => Ok(()),
            Err(CreateError::Exists(_)) => {
                let there = view::read_record(store, &host.root.flow(&self.id), &self.id).await;
                there.map_err(|error| wrong("Unreadable", error.to_string())).and_then(|there| self.own(&there))
            }
            Err(CreateError::Store(error)) => Err(error.into()),
            Err(error) => Err(wrong("NotBegun", error.to_string())),
        }
    }

    /// Whether an execution of the name is this node's.
    fn own(&self, there: &FlowRecord) -> Result<(), Unmade> {
        let parent = there.spec.as_ref().and_then(|spec| spec.metadata.as_ref()?.parent_node_execution.as_ref());
        if parent == Some(&self.parent_node()) {
            return Ok(());
        }
        Err(wrong("NameTaken", format!("there is an execution {} of somebody else's: relaunch this one", self.id.name)))
    }

    fn parent_node(&self) -> NodeExecutionIdentifier {
        NodeExecutionIdentifier { node_id: self.node.clone(), execution_id: self.parent.id.clone() }
    }

    /// The record of the execution: the plan's own terms, and what the parent's caller has said of everything.
    async fn record(&self, shared: &Arc<Shared>, given: &LiteralMap) -> Result<FlowRecord, Unmade> {
        let host = &shared.host;
        let id = self.plan.id.clone().unwrap_or_default();
        let Some(Spec::LaunchPlan(plan)) = registered(host, Kind::LaunchPlan, &id).await?.spec else {
            return Err(wrong("Damaged", format!("the record of launch plan {} holds something else", id.name)));
        };
        let workflow_id = plan.workflow_id.clone().unwrap_or_default();
        let workflow = registered(host, Kind::Workflow, &workflow_id).await?.compiled;
        let template = workflow.as_ref().and_then(|closure| closure.primary.as_ref()?.template.as_ref());
        let interface = template.and_then(|template| template.interface.clone()).unwrap_or_default();
        let fixed = plan.fixed_inputs.clone().unwrap_or_default();
        let inputs = inputs(given, &expected(&plan, &interface), &fixed);
        let inputs = inputs.map_err(|faults| wrong("BadInputs", format!("launch plan {}: {faults}", id.name)))?;
        let outer = self.parent.spec.clone().unwrap_or_default();
        let metadata = outer.metadata.clone().unwrap_or_default();
        if metadata.nesting >= MAX_NESTING {
            let message = format!("launch plans start one another more than {MAX_NESTING} deep: end the recursion");
            return Err(wrong("TooDeep", message));
        }
        let mut metadata = ExecutionMetadata {
            principal: metadata.principal,
            nesting: metadata.nesting + 1,
            parent_node_execution: Some(self.parent_node()),
            ..Default::default()
        };
        metadata.set_mode(ExecutionMode::ChildWorkflow);
        let mut spec = ExecutionSpec { launch_plan: Some(id), inputs: None, metadata: Some(metadata), ..outer };
        inherit(&mut spec, &plan);
        Ok(FlowRecord {
            version: FLYTE_VERSION,
            id: Some(self.id.clone()),
            spec: Some(spec),
            inputs: Some(inputs),
            workflow,
            created_at: Some(std::time::SystemTime::now().into()),
            recovers: self.earlier(host).await,
        })
    }

    /// The execution of the same node in the one that the parent recovers.
    async fn earlier(&self, host: &Host) -> Option<WorkflowExecutionIdentifier> {
        let old = self.parent.recovers.as_ref()?;
        let store = host.ports.store.as_ref();
        let name =
            view::read(store, &host.root.flow(old), old).await.ok()?.flow.node(&self.node)?.execution?.to_owned();
        let id = WorkflowExecutionIdentifier { name, ..old.clone() };
        let over = view::read(store, &host.root.flow(&id), &id).await.ok()?.flow.finished().is_some();
        over.then_some(id)
    }
}

/// What was registered under an id. It was there when the parent was registered, and nothing takes it away.
async fn registered(host: &Host, kind: Kind, id: &Identifier) -> Result<Registered, Unmade> {
    let key = host.root.entity(kind, id);
    let body = match host.ports.store.get(&key).await {
        Err(StoreError::NotFound { .. }) => {
            let message = format!("the {} {} of version {} is not registered", kind.name(), id.name, id.version);
            return Err(wrong("NotRegistered", message));
        }
        read => read?,
    };
    let entity = Registered::decode(body).map_err(|error| wrong("Damaged", format!("{key}: {error}")))?;
    if entity.version != FLYTE_VERSION {
        let found = entity.version;
        return Err(wrong("Damaged", format!("{key}: its format is {found}, and this batchmap knows {FLYTE_VERSION}")));
    }
    Ok(entity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_from_the_node() {
        let id = |name: &str| WorkflowExecutionIdentifier { name: name.to_owned(), ..Default::default() };
        let one = name(&id("e"), "n0", 0);
        assert_eq!((one.len(), one.starts_with('f')), (20, true));
        assert!(one.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()), "{one}");
        assert_eq!(one, name(&id("e"), "n0", 0));
        for other in [name(&id("e"), "n1", 0), name(&id("e"), "n0", 1), name(&id("f"), "n0", 0)] {
            assert_ne!(one, other);
        }
    }
}
