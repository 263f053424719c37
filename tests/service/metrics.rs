//! The numbers at `/metrics`: valid in Prometheus's text format, and right.

use std::collections::{BTreeMap, BTreeSet};

use batchmap::idl::admin::{ExecutionCreateRequest, ExecutionSpec, WorkflowExecutionGetRequest};
use batchmap::idl::core::LiteralMap;
use batchmap::idl::make;

use super::peer::{Peer, plan_id};
use super::world::{World, eventually, id};

/// Every sample by its name and labels; panics at what is not valid.
fn read(text: &str) -> BTreeMap<String, f64> {
    let (mut samples, mut families) = (BTreeMap::new(), BTreeSet::new());
    let (mut family, mut kind) = (String::new(), String::new());
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(!help.is_empty() && families.insert(name.to_owned()), "{line}");
            family = name.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, of) = rest.split_once(' ').unwrap();
            assert!(name == family && ["counter", "gauge", "histogram"].contains(&of), "{line}");
            assert_eq!(of == "counter", name.ends_with("_total"), "{line}");
            kind = of.to_owned();
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').map_or((series, ""), |(name, rest)| {
                (name, rest.strip_suffix('}').unwrap_or_else(|| panic!("{line}")))
            });
            let parts: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(parts.iter().any(|part| name == format!("{family}{part}")), "{line} is not of {family}");
            for label in labels.split(',').filter(|label| !label.is_empty()) {
                let (label, value) = label.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
                assert!(!label.is_empty() && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
                assert!(value.ends_with('"'), "{line}");
            }
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
            assert!(value >= 0.0 && samples.insert(series.to_owned(), value).is_none(), "{line}");
        }
    }
    samples
}

async fn metrics(peer: &Peer) -> BTreeMap<String, f64> {
    let (code, body) = peer.http("GET /metrics HTTP/1.1\r\n", b"").await;
    assert_eq!(code, 200);
    read(&String::from_utf8(body).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_counted_is_told() {
    let mut peer = Peer::with_workflow(World::endless()).await;
    let idle = metrics(&peer).await;
    assert_eq!(idle["batchmap_executions_driven"], 0.0);
    assert_eq!(idle["batchmap_rpcs_total{method=\"CreateTask\",code=\"0\"}"], 2.0);
    let xs = make::collection((0..3).map(make::integer).collect());
    let request = ExecutionCreateRequest {
        project: "p".to_owned(),
        domain: "d".to_owned(),
        name: "e".to_owned(),
        spec: Some(ExecutionSpec { launch_plan: Some(plan_id("wf")), ..Default::default() }),
        inputs: Some(LiteralMap { literals: [("x".to_owned(), xs)].into() }),
        ..Default::default()
    };
    peer.admin.create_execution(request).await.unwrap();
    peer.admin.get_execution(WorkflowExecutionGetRequest { id: Some(id("none")) }).await.unwrap_err();
    let running = "batchmap_children{status=\"running\"}";
    eventually("the children to run", async || metrics(&peer).await.get(running) == Some(&3.0)).await;
    let busy = metrics(&peer).await;
    for (series, due) in [
        ("batchmap_executions_driven", 1.0),
        ("batchmap_executions{phase=\"running\"}", 1.0),
        ("batchmap_nodes_running", 1.0),
        ("batchmap_children{status=\"queued\"}", 0.0),
        ("batchmap_children{status=\"succeeded\"}", 0.0),
        ("batchmap_rpcs_total{method=\"GetExecution\",code=\"5\"}", 1.0),
        ("batchmap_rpc_seconds_count{method=\"GetExecution\"}", 1.0),
        ("batchmap_rpc_seconds_bucket{method=\"GetExecution\",le=\"+Inf\"}", 1.0),
    ] {
        assert_eq!(busy.get(series), Some(&due), "{series}");
    }
    // A histogram's classes hold all that the smaller ones do.
    let mut classes: Vec<(f64, f64)> = busy
        .iter()
        .filter_map(|(series, count)| {
            let rest = series.strip_prefix("batchmap_rpc_seconds_bucket{method=\"CreateTask\",le=\"")?;
            Some((rest.strip_suffix("\"}")?.parse().ok()?, *count))
        })
        .collect();
    classes.sort_by(|a, b| a.0.total_cmp(&b.0));
    assert!(classes.len() > 5 && classes.is_sorted_by(|a, b| a.1 <= b.1), "{classes:?}");
    assert_eq!(classes.last(), Some(&(f64::INFINITY, 2.0)));
    peer.stop().await;
}
