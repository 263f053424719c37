//! What the service counts, in Prometheus's text format.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

use axum::http::HeaderMap;

use crate::map::workflow::FlowPhase;
use crate::run::flow::Flows;

/// Calls by their method and gRPC's code for what came of them.
#[derive(Debug, Default)]
pub(super) struct Calls(Mutex<BTreeMap<(String, u32), u64>>);

/// gRPC's code for what is not served.
const UNIMPLEMENTED: u32 = 12;

impl Calls {
    /// Counts one call by its path and the headers of its answer: they tell the code of what has failed.
    pub(super) fn count(&self, path: &str, answer: &HeaderMap) {
        let code = answer.get("grpc-status").and_then(|code| code.to_str().ok()?.parse().ok()).unwrap_or(0);
        // Anybody may make up names of what is not served, and they would be kept for ever.
        let method = if code == UNIMPLEMENTED { "" } else { path.rsplit('/').next().unwrap_or_default() };
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *calls.entry((method.to_owned(), code)).or_default() += 1;
    }
}

/// Everything.
pub(super) fn text(flows: &Flows, calls: &Calls) -> String {
    let mut phases: BTreeMap<&str, usize> = BTreeMap::new();
    let mut nodes = 0;
    let driven = flows.driven_phases();
    for (phase, running) in &driven {
        *phases.entry(name(*phase)).or_default() += 1;
        nodes += running;
    }
    let mut text = String::new();
    gauge(&mut text, "batchmap_executions_driven", "Executions of workflows that this server drives now.");
    put(&mut text, format_args!("batchmap_executions_driven {}", driven.len()));
    gauge(&mut text, "batchmap_executions", "The same by their phases.");
    for (phase, count) in phases {
        put(&mut text, format_args!("batchmap_executions{{phase=\"{phase}\"}} {count}"));
    }
    gauge(&mut text, "batchmap_nodes_running", "Nodes that run in them.");
    put(&mut text, format_args!("batchmap_nodes_running {nodes}"));
    text.push_str("# HELP batchmap_rpcs_total gRPC calls by method and code; no method where it is not served.\n");
    text.push_str("# TYPE batchmap_rpcs_total counter\n");
    for ((method, code), count) in calls.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        put(&mut text, format_args!("batchmap_rpcs_total{{method=\"{method}\",code=\"{code}\"}} {count}"));
    }
    text
}

fn gauge(text: &mut String, name: &str, help: &str) {
    put(text, format_args!("# HELP {name} {help}\n# TYPE {name} gauge"));
}

fn put(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{line}");
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
