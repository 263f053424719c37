//! What goes on in an execution, in numbers.

use super::view::FlowView;
use crate::map::summary::Summary;
use crate::map::workflow::{FlowPhase, NodePhase, NodeView};

/// What goes on in an execution that is driven here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Driving {
    /// Where it stands.
    pub phase: FlowPhase,
    /// Its nodes that run.
    pub nodes: usize,
    /// The children of their maps, by where they stand: each status once.
    pub children: [(&'static str, u64); 6],
}

impl Driving {
    pub(super) fn of(view: &FlowView) -> Driving {
        let running = |node: &NodeView<'_>| node.phase == NodePhase::Running && !node.node.is_parent();
        let mut children = ["waiting", "queued", "running", "settling", "succeeded", "failed"].map(|name| (name, 0));
        view.progress.each(|counts| {
            let Summary { waiting, held, queued, running, settling, succeeded, failed, .. } = counts;
            let now = [waiting + held, *queued, *running, *settling, *succeeded, *failed];
            children.iter_mut().zip(now).for_each(|((_, sum), more)| *sum += more);
        });
        Driving { phase: view.flow.phase(), nodes: view.flow.nodes().filter(running).count(), children }
    }
}
