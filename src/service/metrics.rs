//! What the service counts, in Prometheus's text format.

mod calls;
mod text;

use std::collections::BTreeMap;

pub(super) use self::calls::Calls;
use self::text::{Kind, Text};
use crate::aws::sdk::Answered;
use crate::map::workflow::FlowPhase;
use crate::run::flow::{Driving, Flows};

/// Everything.
pub(super) fn text(flows: &Flows, calls: &Calls) -> String {
    let mut text = Text::default();
    driving(&mut text, &flows.driven_now());
    to_aws(&mut text, &flows.host().calls.answered());
    calls.write(&mut text);
    text.finished()
}

fn driving(text: &mut Text, driven: &[Driving]) {
    let mut phases: BTreeMap<&str, usize> = BTreeMap::new();
    let mut children: BTreeMap<&str, u64> = BTreeMap::new();
    for execution in driven {
        *phases.entry(name(execution.phase)).or_default() += 1;
        for (status, count) in execution.children {
            *children.entry(status).or_default() += count;
        }
    }
    let help = "Executions of workflows that this server drives now.";
    text.family("batchmap_executions_driven", Kind::Gauge, help).sample("", &[], driven.len());
    text.family("batchmap_executions", Kind::Gauge, "The same by their phases.");
    for (phase, count) in phases {
        text.sample("", &[("phase", phase)], count);
    }
    let nodes: usize = driven.iter().map(|execution| execution.nodes).sum();
    text.family("batchmap_nodes_running", Kind::Gauge, "Nodes that run in them.").sample("", &[], nodes);
    text.family("batchmap_children", Kind::Gauge, "Children of the maps that these run, by where they stand.");
    for (status, count) in children {
        text.sample("", &[("status", status)], count);
    }
}

fn to_aws(text: &mut Text, answered: &BTreeMap<Answered, u64>) {
    let help = "Requests to AWS, each try of a call by itself, by the answer's HTTP status; none where no answer came.";
    text.family("batchmap_aws_calls_total", Kind::Counter, help);
    for (Answered { service, operation, status }, count) in answered {
        let code = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
        text.sample("", &[("service", service), ("operation", operation), ("code", &code)], count);
    }
}

fn name(phase: FlowPhase) -> &'static str {
    match phase {
        FlowPhase::Queued => "queued",
        FlowPhase::Running => "running",
        FlowPhase::Succeeding => "succeeding",
        FlowPhase::Failing => "failing",
        FlowPhase::Aborting => "aborting",
        FlowPhase::Succeeded => "succeeded",
        FlowPhase::Failed => "failed",
        FlowPhase::Aborted => "aborted",
    }
}
