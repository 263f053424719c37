//! Definitions that are stored and described, and do not run here: of Kubernetes, and of several nodes.

use serde::Deserialize;
use serde_json::Value;

use super::super::Refusal;
use super::super::api::KeyValue;
use super::super::check::check_environment;
use super::super::places::page::check_range;
use super::check::check_consumables;
use super::shape::{Container, read};
use super::task;

const MAX_CONTAINERS: usize = 10;
const MAX_NODES: i64 = 1000;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EksProperties {
    pod_properties: Pod,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Pod {
    containers: Vec<PodContainer>,
    init_containers: Vec<PodContainer>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodContainer {
    name: Option<String>,
    image: String,
    env: Vec<KeyValue>,
}

/// Checks `eksProperties` of a definition or of a range of nodes.
pub(super) fn check_eks(field: &str, properties: &Value) -> Result<(), Refusal> {
    let pod = read::<EksProperties>(field, properties)?.pod_properties;
    let field = format!("{field}.podProperties");
    let lists = [("containers", &pod.containers, 1), ("initContainers", &pod.init_containers, 0)];
    let mut names: Vec<&str> = Vec::new();
    for (name, list, least) in lists {
        let field = format!("{field}.{name}");
        if !(least..=MAX_CONTAINERS).contains(&list.len()) {
            return Err(Refusal(format!(
                "{field} must hold {least} to {MAX_CONTAINERS} containers, but holds {}",
                list.len()
            )));
        }
        for container in list {
            if container.image.is_empty() {
                return Err(Refusal(format!("{field}.image must not be empty")));
            }
            check_environment(&format!("{field}.env"), &container.env)?;
            let name = container.name.as_deref().unwrap_or("Default");
            if names.contains(&name) {
                return Err(Refusal(format!("{field}.name '{name}' is given twice; each container needs its own")));
            }
            names.push(name);
        }
    }
    Ok(())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Nodes {
    num_nodes: i64,
    main_node: i64,
    node_range_properties: Vec<Range>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Range {
    target_nodes: String,
    container: Option<Value>,
    ecs_properties: Option<Value>,
    eks_properties: Option<Value>,
    consumable_resource_properties: Option<Value>,
}

/// Checks `nodeProperties`: every node must be in a range.
pub(super) fn check_nodes(properties: &Value) -> Result<(), Refusal> {
    let nodes: Nodes = read("nodeProperties", properties)?;
    check_range("nodeProperties.numNodes", Some(nodes.num_nodes), 1, MAX_NODES)?;
    check_range("nodeProperties.mainNode", Some(nodes.main_node), 0, nodes.num_nodes - 1)?;
    let field = "nodeProperties.nodeRangeProperties";
    let mut covered = vec![false; usize::try_from(nodes.num_nodes).unwrap_or_default()];
    for range in &nodes.node_range_properties {
        let last = covered.len().saturating_sub(1);
        let (from, to) = bounds(&range.target_nodes, last).ok_or_else(|| {
            Refusal(format!(
                "{field}.targetNodes '{}' is not valid: give from:to with nodes between 0 and {last}",
                range.target_nodes
            ))
        })?;
        covered[from..=to].fill(true);
        check_node_range(field, range)?;
    }
    match covered.iter().position(|covered| !covered) {
        Some(node) => Err(Refusal(format!("{field} has no range for node {node}; every node needs one"))),
        None => Ok(()),
    }
}

/// The first and last node of `from:to`, `:to`, `from:` or a single number.
fn bounds(text: &str, last: usize) -> Option<(usize, usize)> {
    let number = |text: &str, default: usize| if text.is_empty() { Some(default) } else { text.parse().ok() };
    let (from, to) = match text.split_once(':') {
        Some((from, to)) => (number(from, 0)?, number(to, last)?),
        None => (text.parse().ok()?, text.parse().ok()?),
    };
    (from <= to && to <= last).then_some((from, to))
}

fn check_node_range(field: &str, range: &Range) -> Result<(), Refusal> {
    if let Some(properties) = &range.consumable_resource_properties {
        check_consumables(&format!("{field}.consumableResourceProperties"), properties)?;
    }
    match (&range.container, &range.ecs_properties, &range.eks_properties) {
        (Some(container), None, None) => {
            let field = format!("{field}.container");
            read::<Container>(&field, container)?.check(&field, &[])
        }
        (None, Some(properties), None) => task::check(&format!("{field}.ecsProperties"), properties),
        (None, None, Some(properties)) => check_eks(&format!("{field}.eksProperties"), properties),
        _ => Err(Refusal(format!("{field} needs one of container, ecsProperties and eksProperties for each range"))),
    }
}
