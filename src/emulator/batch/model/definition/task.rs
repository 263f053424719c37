//! `ecsProperties`: a task of several containers, some of which wait for others.

use serde::Deserialize;
use serde_json::Value;

use super::super::{self as model, Refusal, Settings};
use super::shape::{Container, EphemeralStorage, Volume, read};

const MAX_CONTAINERS: usize = 10;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    task_properties: Vec<Task>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Task {
    containers: Vec<Container>,
    #[serde(default)]
    volumes: Vec<Volume>,
    ephemeral_storage: Option<EphemeralStorage>,
}

/// Checks `ecsProperties` of a definition or of a range of nodes.
pub(super) fn check(field: &str, given: &Value) -> Result<(), Refusal> {
    let properties: Properties = read(field, given)?;
    let field = format!("{field}.taskProperties");
    let [task] = properties.task_properties.as_slice() else {
        return Err(Refusal(format!("{field} must hold one task, but holds {}", properties.task_properties.len())));
    };
    if let Some(storage) = &task.ephemeral_storage {
        storage.check(&field)?;
    }
    for (place, container) in given["taskProperties"][0]["containers"].as_array().into_iter().flatten().enumerate() {
        read::<Settings>(&format!("{field}.containers[{place}]"), container)?;
    }
    read::<Option<Vec<model::Volume>>>(&format!("{field}.volumes"), &given["taskProperties"][0]["volumes"])?;
    let field = format!("{field}.containers");
    let containers = &task.containers;
    if !(1..=MAX_CONTAINERS).contains(&containers.len()) {
        return Err(Refusal(format!(
            "{field} must hold 1 to {MAX_CONTAINERS} containers, but holds {}",
            containers.len()
        )));
    }
    for container in containers {
        container.check(&field, &task.volumes)?;
    }
    check_names(&field, containers)?;
    if !containers.iter().any(|container| container.essential.unwrap_or(true)) {
        return Err(Refusal(format!("{field} must have an essential container; set essential to true for one")));
    }
    check_dependencies(&field, containers)
}

fn check_names(field: &str, containers: &[Container]) -> Result<(), Refusal> {
    for (at, container) in containers.iter().enumerate() {
        let name = container.name.as_deref().unwrap_or_default();
        if name.is_empty() && containers.len() > 1 {
            return Err(Refusal(format!("{field}.name must be given when there are several containers")));
        }
        let valid = name.len() <= 255 && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        if !valid {
            return Err(Refusal(format!(
                "{field}.name '{name}' is not valid: at most 255 letters, digits, hyphens and underscores"
            )));
        }
        if containers[..at].iter().any(|other| other.name == container.name) {
            return Err(Refusal(format!("{field}.name '{name}' is given twice; each container needs its own")));
        }
    }
    Ok(())
}

fn check_dependencies(field: &str, containers: &[Container]) -> Result<(), Refusal> {
    let place = |name: &str| containers.iter().position(|other| other.name.as_deref() == Some(name));
    let mut needs: Vec<Vec<usize>> = Vec::new();
    for container in containers {
        let mut needed = Vec::new();
        for dependency in &container.depends_on {
            let (name, condition) = (&dependency.container_name, &dependency.condition);
            let Some(other) = place(name) else {
                return Err(Refusal(format!("{field}.dependsOn names the container '{name}', which does not exist")));
            };
            if !matches!(condition.as_str(), "START" | "COMPLETE" | "SUCCESS") {
                return Err(Refusal(format!(
                    "{field}.dependsOn.condition must be START, COMPLETE or SUCCESS, but was '{condition}'"
                )));
            }
            if condition != "START" && containers[other].essential.unwrap_or(true) {
                return Err(Refusal(format!(
                    "{field}.dependsOn waits for {condition} of '{name}', which is essential: its end is the end of the task; \
                     set its essential to false"
                )));
            }
            needed.push(other);
        }
        needs.push(needed);
    }
    // Takes away, again and again, the containers that wait for nobody who is left.
    let mut left: Vec<usize> = (0..containers.len()).collect();
    while !left.is_empty() {
        let waiting: Vec<usize> =
            left.iter().copied().filter(|at| needs[*at].iter().any(|other| left.contains(other))).collect();
        if waiting.len() == left.len() {
            let names: Vec<&str> = left.iter().filter_map(|at| containers[*at].name.as_deref()).collect();
            return Err(Refusal(format!("{field}.dependsOn goes in a circle among {}", names.join(", "))));
        }
        left = waiting;
    }
    Ok(())
}
