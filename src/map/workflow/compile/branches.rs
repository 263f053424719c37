//! Branch nodes: what they choose from, and what they choose by.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::{branch, types};
use super::{ReadNode, Reader, Runs};
use crate::idl::core::{BranchNode, IfElseBlock, Node, TypedInterface, Variable, VariableMap, WorkflowTemplate};

impl<'a> Reader<'a> {
    /// A branch with the nodes that it chooses from; nothing where there is a fault, which is told.
    pub(super) fn branch(
        &mut self,
        template: &'a WorkflowTemplate,
        node: &'a Node,
        target: &'a BranchNode,
    ) -> Option<ReadNode<'a>> {
        let Some(block) = target.if_else.as_deref() else {
            self.fault(template, node, "it is a branch without cases", "register it again with pyflyte");
            return None;
        };
        let (cases, otherwise) = branch::cases(block);
        let mut seen = BTreeSet::new();
        let mut within = Vec::new();
        let mut whole = true;
        for chosen in cases.map(|case| case.then_node.as_deref()).chain(otherwise.map(Some)) {
            let read = match chosen {
                Some(chosen) if !seen.insert(&chosen.id) => {
                    let problem = format!("two of its cases run nodes called {}", chosen.id);
                    self.fault(template, node, problem, "give each its own node_name");
                    None
                }
                Some(chosen) => self.node(template, chosen),
                None => {
                    self.fault(template, node, "one of its cases runs nothing", "register it again with pyflyte");
                    None
                }
            };
            whole &= read.is_some();
            within.extend(read);
        }
        self.conditions(template, node, block);
        whole.then(|| {
            let interface = Arc::new(interface(node, &within));
            ReadNode {
                source: node,
                runs: Runs::Branch,
                interface,
                upstream: Vec::new(),
                downstream: Vec::new(),
                within,
            }
        })
    }

    /// Whatever is compared must be given.
    fn conditions(&mut self, template: &'a WorkflowTemplate, node: &'a Node, block: &'a IfElseBlock) {
        let bound: BTreeSet<&str> = node.inputs.iter().map(|binding| binding.var.as_str()).collect();
        if let Some(name) = branch::variables(block).into_iter().find(|name| !bound.contains(name)) {
            let problem = format!("its condition compares {name}, which it is not given");
            self.fault(template, node, problem, "register it again with pyflyte");
        }
    }
}

/// A branch takes whatever it compares, and puts out what every node in it does.
fn interface(node: &Node, within: &[ReadNode<'_>]) -> TypedInterface {
    let inputs = node.inputs.iter().map(|binding| (binding.var.clone(), Variable::default()));
    let outputs_of = |node: &ReadNode<'_>| node.interface.outputs.clone().unwrap_or_default().variables;
    let mut outputs = within.first().map(outputs_of).unwrap_or_default();
    for other in within.iter().skip(1) {
        let theirs = outputs_of(other);
        outputs.retain(|name, variable| {
            let types = variable.r#type.as_ref().zip(theirs.get(name).and_then(|their| their.r#type.as_ref()));
            types.is_some_and(|(own, their)| types::fits(their, own))
        });
    }
    TypedInterface {
        inputs: Some(VariableMap { variables: inputs.collect() }),
        outputs: Some(VariableMap { variables: outputs }),
    }
}
