//! The steps of an execution, each a task of its own that answers its driver: bind, drive a node, stop one.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use tokio::sync::{mpsc, watch};

use super::drive::{Answer, FlowDriver};
use super::node::{self, Node, NodeEnd as Driven};
use super::plan::{self, Child, Looked};
use super::shared::Standing;
use super::values::Values;
use crate::aws::store::StoreError;
use crate::idl::core::WorkflowExecutionIdentifier;
use crate::map::policy::Origin;
use crate::map::workflow::{FlowAction, FlowEvent, NodeEnd, NodeError};
use crate::run::driver::Control;
use crate::run::launch;

impl FlowDriver {
    /// Begins to carry out an action.
    pub(super) fn begin(&mut self, action: FlowAction) {
        match action {
            FlowAction::StartNode { node, attempt } => self.start(node, attempt),
            FlowAction::BindOutputs { node } => self.bind_outputs(node),
            FlowAction::DriveNode { node, attempt, execution } => self.drive(node, attempt, execution),
            FlowAction::AbortNode { node, attempt, execution } => self.stop(node, attempt, execution),
            FlowAction::Record(_) | FlowAction::Finish(_) => {}
        }
    }

    fn start(&mut self, node: String, attempt: u32) {
        let (values, graph, shared) = (self.values.clone(), self.flow().graph().clone(), self.shared.clone());
        let recovers = self.record.recovers.as_ref().map(|old| self.host.root.flow(old));
        let id = match graph.node(&node).is_some_and(|node| node.plan().is_some()) {
            true => plan::name(&self.record.id.clone().unwrap_or_default(), &node, attempt),
            false => launch::node_id(self.host.ports.clock.now_ms()),
        };
        let action = FlowAction::StartNode { node: node.clone(), attempt };
        self.spawn(action.clone(), async move {
            // Nobody closes it.
            let _room = shared.room.acquire().await;
            match values.start(&graph, &node, attempt, id, recovers).await {
                Ok(event) => Answer::Event(event),
                Err(error) => Answer::Not(action, error),
            }
        });
    }

    fn bind_outputs(&mut self, node: Option<String>) {
        let (values, graph, shared) = (self.values.clone(), self.flow().graph().clone(), self.shared.clone());
        let taken = node.as_deref().and_then(|branch| self.flow().taken(branch).map(str::to_owned));
        let action = FlowAction::BindOutputs { node: node.clone() };
        self.spawn(action.clone(), async move {
            let _room = shared.room.acquire().await;
            match values.bind_outputs(&graph, node.as_deref(), taken.as_deref()).await {
                Ok(event) => Answer::Event(event),
                Err(error) => Answer::Not(action, error),
            }
        });
    }

    fn drive(&mut self, node: String, attempt: u32, execution: String) {
        let (control, mut controlled) = mpsc::channel(4);
        self.controls.insert(execution.clone(), control);
        let action = FlowAction::DriveNode { node: node.clone(), attempt, execution: execution.clone() };
        if let Some(child) = self.child(&node, &execution) {
            let (shared, values) = (self.shared.clone(), self.values.clone());
            self.spawn(action.clone(), async move {
                match values.inputs(&node).await {
                    Ok(inputs) => {
                        let looked = child.run(&shared, &inputs, &mut controlled).await;
                        looked_after(looked, &values, action, node, attempt).await
                    }
                    Err(error) => Answer::Not(action, error),
                }
            });
            return;
        }
        let (standing, watched) = watch::channel(Standing::default());
        self.progress.begin(&node, &execution, watched);
        let id = self.record.id.clone().unwrap_or_default();
        let turn = format!("{}/{}/{}", id.project, id.domain, id.name);
        let run = Node {
            shared: self.shared.clone(),
            graph: self.flow().graph().clone(),
            values: self.values.clone(),
            options: self.options.clone(),
            id: node.clone(),
            execution,
            recovers: self.record.recovers.clone(),
        };
        self.spawn(action.clone(), async move {
            let end = match in_turn(&run, &turn, &mut controlled, &standing).await {
                Driven::Left => return Answer::Nothing,
                Driven::Overtaken => return Answer::Overtaken(action),
                Driven::Succeeded { outputs, cached } => match run.values.keep(&node, &outputs).await {
                    Ok(()) => NodeEnd::Succeeded { cached },
                    Err(error) => return Answer::Not(action, error),
                },
                Driven::Failed(error) => NodeEnd::Failed(error),
                Driven::Broken(error) => return Answer::Broken(action, error),
                Driven::Aborted => NodeEnd::Aborted { reason: "it was terminated".to_owned() },
            };
            Answer::Event(FlowEvent::NodeEnded { node, attempt, end })
        });
    }

    /// The execution of a launch plan's node; nothing where the node runs something else.
    fn child(&self, node: &str, execution: &str) -> Option<Child> {
        let plan = self.flow().graph().node(node)?.plan()?.clone();
        let (parent, node) = (self.record.clone(), node.to_owned());
        let id = WorkflowExecutionIdentifier { name: execution.to_owned(), ..parent.id.clone().unwrap_or_default() };
        Some(Child { parent, node, plan, id })
    }

    fn stop(&mut self, node: String, attempt: u32, execution: String) {
        let reason = match self.flow().abort() {
            Some((cause, _)) => format!("the workflow is aborted: {cause}"),
            None => "another node of the workflow has failed".to_owned(),
        };
        let control = self.controls.get(&execution).cloned();
        let action = FlowAction::AbortNode { node: node.clone(), attempt, execution: execution.clone() };
        let stopped = self.stopped(&node, attempt, &execution, reason.clone(), action.clone());
        self.spawn(action, async move {
            // Whoever drives it here answers for it.
            if let Some(control) = control
                && control.send(Control::Abort { reason }).await.is_ok()
            {
                return Answer::Nothing;
            }
            stopped.await
        });
    }

    /// Ends what a node runs, which nobody drives here; `action` is what to come back to where somebody else does.
    fn stopped(
        &self,
        node: &str,
        attempt: u32,
        execution: &str,
        reason: String,
        action: FlowAction,
    ) -> LocalBoxFuture<'static, Answer> {
        let (shared, values) = (self.shared.clone(), self.values.clone());
        let (child, node, execution) = (self.child(node, execution), node.to_owned(), execution.to_owned());
        async move {
            if let Some(child) = child {
                let looked = child.stop(&shared, &reason).await;
                return looked_after(looked, &values, action, node, attempt).await;
            }
            match node::stop(&shared.host, &execution, &reason).await {
                Driven::Overtaken => Answer::Overtaken(action),
                _ => Answer::Event(FlowEvent::NodeEnded { node, attempt, end: NodeEnd::Aborted { reason } }),
            }
        }
        .boxed_local()
    }

    /// An action cannot be carried out, for good. Where it is a node's that AWS Batch may hold jobs of, these end first.
    pub(super) fn give_up(&mut self, action: FlowAction, error: NodeError) -> Option<FlowEvent> {
        let FlowAction::DriveNode { node, attempt, execution } = action else { return given_up(&action, error) };
        let (control, mut controlled) = mpsc::channel(4);
        self.controls.insert(execution.clone(), control);
        let again = FlowAction::DriveNode { node: node.clone(), attempt, execution: execution.clone() };
        let stopped = self.stopped(&node, attempt, &execution, error.message.clone(), again);
        let failed = FlowEvent::NodeEnded { node, attempt, end: NodeEnd::Failed(error) };
        self.tasks.spawn_local(async move {
            let stopped = AssertUnwindSafe(stopped).catch_unwind();
            tokio::select! {
                answer = stopped => match answer {
                    Ok(answer @ Answer::Overtaken(_)) => answer,
                    // However it was ended, and should ending it break too, it has failed.
                    _ => Answer::Event(failed),
                },
                () = node::told_to_leave(&mut controlled) => Answer::Nothing,
            }
        });
        None
    }

    /// Carries out an action. What breaks at it ends the action, and not the driver with all the other nodes.
    fn spawn(&mut self, action: FlowAction, work: impl Future<Output = Answer> + 'static) {
        self.tasks.spawn_local(async move {
            AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| {
                let message = "batchmap has a fault of its own here; the server's log says more".to_owned();
                let (code, origin) = ("Internal".to_owned(), Origin::System);
                Answer::Broken(action, NodeError { code, message, origin, recoverable: false })
            })
        });
    }
}

/// What the end of a launch plan's execution means for the node.
async fn looked_after(looked: Looked, values: &Values, action: FlowAction, node: String, attempt: u32) -> Answer {
    match looked {
        Looked::Ended(end, outputs) => {
            if let Some(outputs) = outputs
                && let Err(error) = values.keep(&node, &outputs).await
            {
                return Answer::Not(action, error);
            }
            Answer::Event(FlowEvent::NodeEnded { node, attempt, end })
        }
        Looked::Left => Answer::Nothing,
        Looked::Not(error) => Answer::Not(action, error),
    }
}

/// Runs a node when it is the turn of its execution. One that is to end is not waited with.
async fn in_turn(
    run: &Node,
    turn: &str,
    control: &mut mpsc::Receiver<Control>,
    standing: &watch::Sender<Standing>,
) -> Driven {
    let host = &run.shared.host;
    let _place = tokio::select! {
        biased;
        place = host.turns.place(turn) => place,
        asked = control.recv() => return match asked {
            // It may have run before, on another server.
            Some(Control::Abort { reason }) => node::stop_unless_left(host, &run.execution, &reason, control).await,
            Some(Control::Detach) | None => Driven::Left,
        },
    };
    run.run(control, standing).await
}

/// What an error of S3 means for an action, where waiting does not help.
pub(super) fn lasting(action: &FlowAction, error: &StoreError) -> Option<NodeError> {
    // What is to end is ended, however long it takes.
    if matches!(error, StoreError::Unreachable { .. }) || matches!(action, FlowAction::AbortNode { .. }) {
        return None;
    }
    let (code, message) = ("Storage".to_owned(), error.to_string());
    Some(NodeError { code, message, origin: Origin::System, recoverable: false })
}

/// What becomes of an action that cannot be carried out.
fn given_up(action: &FlowAction, error: NodeError) -> Option<FlowEvent> {
    match action {
        FlowAction::StartNode { node, attempt } | FlowAction::DriveNode { node, attempt, .. } => {
            Some(FlowEvent::NodeEnded { node: node.clone(), attempt: *attempt, end: NodeEnd::Failed(error) })
        }
        FlowAction::BindOutputs { node } => Some(FlowEvent::OutputsBound { node: node.clone(), error: Some(error) }),
        FlowAction::AbortNode { node, attempt, .. } => Some(FlowEvent::NodeEnded {
            node: node.clone(),
            attempt: *attempt,
            end: NodeEnd::Aborted { reason: error.message },
        }),
        FlowAction::Record(_) | FlowAction::Finish(_) => None,
    }
}
