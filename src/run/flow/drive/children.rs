//! Nodes that run launch plans, on behalf of their execution's driver.

use std::future::Future;

use tokio::sync::mpsc;

use super::{Answer, FlowDriver};
use crate::idl::core::WorkflowExecutionIdentifier;
use crate::map::workflow::{FlowAction, FlowEvent};
use crate::run::driver::Control;
use crate::run::flow::Values;
use crate::run::flow::plan::{Child, Looked};

impl FlowDriver {
    /// What a launch plan's node makes; nothing where the node is none.
    pub(super) fn child(&self, node: &str, execution: &str) -> Option<Child> {
        let plan = self.flow().graph().node(node)?.plan()?.clone();
        let (parent, node) = (self.record.clone(), node.to_owned());
        let id = WorkflowExecutionIdentifier { name: execution.to_owned(), ..parent.id.clone().unwrap_or_default() };
        Some(Child { parent, node, plan, id })
    }

    /// Makes the execution of a node, unless it is there, and waits for its end.
    pub(super) fn look_after(
        &self,
        child: Child,
        attempt: u32,
        mut control: mpsc::Receiver<Control>,
    ) -> impl Future<Output = Answer> + 'static {
        let (shared, values) = (self.shared.clone(), self.values.clone());
        async move {
            let (node, execution) = (child.node.clone(), child.id.name.clone());
            let action = FlowAction::DriveNode { node: node.clone(), attempt, execution };
            match values.inputs(&node).await {
                Ok(inputs) => {
                    let looked = child.run(&shared, &inputs, &mut control).await;
                    looked_after(looked, &values, action, node, attempt).await
                }
                Err(error) => Answer::Not(action, error),
            }
        }
    }

    /// Ends the execution of a node that nobody here waits for.
    pub(super) fn stop_child(
        &self,
        child: Child,
        attempt: u32,
        reason: String,
    ) -> impl Future<Output = Answer> + 'static {
        let (shared, values) = (self.shared.clone(), self.values.clone());
        async move {
            let (node, execution) = (child.node.clone(), child.id.name.clone());
            let action = FlowAction::AbortNode { node: node.clone(), attempt, execution };
            let looked = child.stop(&shared, &reason).await;
            looked_after(looked, &values, action, node, attempt).await
        }
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
