//! Where each subtask's outputs are: below its own execution, or below an earlier one whose outputs it reuses.

use crate::map::event::Source;
use crate::map::execution::Execution;
use crate::map::index::OriginalIndex;
use crate::map::layout::Root;
use crate::map::ranges::Ranges;

/// Where the outputs of an execution's subtasks are.
#[derive(Clone, Debug)]
pub struct Places {
    own: Root,
    others: Vec<(Root, Ranges)>,
}

impl Places {
    /// The places of the execution at `root`.
    pub fn of(root: &Root, execution: &Execution) -> Self {
        let others = execution.reused().iter().filter_map(|(source, ranges)| match source {
            Source::Execution(id) => Some((root.sibling(id), ranges.clone())),
            // They were copied to where the subtask would have left them.
            Source::Cache => None,
        });
        Places { own: root.clone(), others: others.collect() }
    }

    /// The execution that holds the outputs of a subtask.
    pub fn root(&self, index: OriginalIndex) -> &Root {
        let other = self.others.iter().find(|(_, ranges)| ranges.contains(index));
        other.map_or(&self.own, |(root, _)| root)
    }
}
