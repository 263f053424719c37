//! The edges between the nodes of one workflow, and that they form no circle.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::graph::START_NODE;
use super::bindings::Known;
use super::{ReadNode, Reader};
use crate::idl::core::WorkflowTemplate;

/// Nodes of a circle that a fault names.
const SHOWN: usize = 8;

impl<'a> Reader<'a> {
    /// Finds the edges, and checks all bindings on the way.
    pub(super) fn order(&mut self, template: &'a WorkflowTemplate, nodes: &mut [ReadNode<'a>]) {
        let numbers: BTreeMap<&str, usize> =
            nodes.iter().enumerate().map(|(number, node)| (node.source.id.as_str(), number)).collect();
        // Nodes that are refused are told already; to wait for one of them is no further fault.
        let declared: BTreeSet<&str> = template.nodes.iter().map(|node| node.id.as_str()).collect();
        let inputs = template.interface.as_ref().and_then(|interface| interface.inputs.as_ref());
        let known = Known { inputs, nodes, numbers: &numbers, declared: &declared };
        let mut edges = Vec::with_capacity(nodes.len());
        for node in nodes.iter() {
            let mut upstream = BTreeSet::new();
            self.waits(template, &known, node, &mut upstream);
            edges.push(upstream);
        }
        let interface = template.interface.as_ref();
        let wanted = interface.and_then(|interface| interface.outputs.as_ref());
        for (problem, fix) in known.check(&template.outputs, wanted, "output", &mut BTreeSet::new()) {
            self.outputs_fault(template, problem, fix);
        }
        for (number, upstream) in edges.into_iter().enumerate() {
            for &before in &upstream {
                nodes[before].downstream.push(number);
            }
            nodes[number].upstream = upstream.into_iter().collect();
        }
        if let Some(circle) = circle(nodes) {
            let names: Vec<&str> = circle.iter().take(SHOWN).map(|&number| nodes[number].source.id.as_str()).collect();
            let more = if circle.len() > SHOWN { " and others" } else { "" };
            let problem = format!("it waits for itself, through {}{more}", names.join(", "));
            self.fault(template, nodes[circle[0]].source, problem, "take out one of the dependencies");
        }
    }
}

impl<'a> Reader<'a> {
    /// The nodes that a node waits for: a branch waits for whatever one of the nodes in it needs, and those nodes for
    /// nothing else, since all of them speak of the workflow around the branch.
    fn waits(
        &mut self,
        template: &'a WorkflowTemplate,
        known: &Known<'_, 'a>,
        node: &ReadNode<'a>,
        upstream: &mut BTreeSet<usize>,
    ) {
        for before in node.source.upstream_node_ids.iter().map(String::as_str).filter(|id| *id != START_NODE) {
            match known.numbers.get(before) {
                Some(&number) => {
                    upstream.insert(number);
                }
                None if known.declared.contains(before) => {}
                None => {
                    let problem = format!("it waits for node {before:?}, which the workflow does not have");
                    self.fault(template, node.source, problem, "register it again with pyflyte");
                }
            }
        }
        for (problem, fix) in known.check(&node.source.inputs, node.interface.inputs.as_ref(), "input", upstream) {
            self.fault(template, node.source, problem, fix);
        }
        for inner in &node.within {
            self.waits(template, known, inner, upstream);
        }
    }
}

/// Nodes that wait for one another in a circle, each for the one after it.
fn circle(nodes: &[ReadNode<'_>]) -> Option<Vec<usize>> {
    let mut blocked: Vec<usize> = nodes.iter().map(|node| node.upstream.len()).collect();
    let mut free: VecDeque<usize> = (0..nodes.len()).filter(|&number| blocked[number] == 0).collect();
    while let Some(number) = free.pop_front() {
        for &next in &nodes[number].downstream {
            blocked[next] -= 1;
            if blocked[next] == 0 {
                free.push_back(next);
            }
        }
    }
    // Every node that is left waits for another that is left: going back from one, a node must come twice.
    let mut at = (0..nodes.len()).find(|&number| blocked[number] > 0)?;
    let mut seen = BTreeMap::new();
    let mut trail = Vec::new();
    while seen.insert(at, trail.len()).is_none() {
        trail.push(at);
        at = nodes[at].upstream.iter().copied().find(|&before| blocked[before] > 0)?;
    }
    let first = seen_first(&trail, at);
    Some(trail.split_off(first))
}

fn seen_first(trail: &[usize], node: usize) -> usize {
    trail.iter().position(|&number| number == node).unwrap_or_default()
}
