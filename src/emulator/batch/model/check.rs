//! Checks that submissions and definitions share.

use super::Refusal;
use super::api::{KeyValue, ResourceRequirement};

/// A job's or definition's name.
pub(super) fn check_name(field: &str, name: &str) -> Result<(), Refusal> {
    let first = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    let rest = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if first && rest && name.len() <= 128 {
        return Ok(());
    }
    Err(Refusal(format!(
        "{field} '{name}' is not valid: it must begin with a letter or digit and have at most 128 letters, digits, \
         hyphens and underscores"
    )))
}

pub(super) fn check_environment(field: &str, environment: &[KeyValue]) -> Result<(), Refusal> {
    for pair in environment {
        if pair.name.starts_with("AWS_BATCH") {
            return Err(Refusal(format!(
                "{field} name '{}' is not valid: names that begin with AWS_BATCH are reserved",
                pair.name
            )));
        }
        if pair.name.is_empty() || pair.name.contains(['=', '\0']) || pair.value.contains('\0') {
            return Err(Refusal(format!("{field} entry '{}' cannot be an environment variable", pair.name)));
        }
    }
    Ok(())
}

pub(super) fn check_resources(field: &str, resources: &[ResourceRequirement]) -> Result<(), Refusal> {
    for resource in resources {
        if !matches!(resource.kind.as_str(), "VCPU" | "MEMORY" | "GPU") {
            return Err(Refusal(format!("{field} type must be VCPU, MEMORY or GPU, but was '{}'", resource.kind)));
        }
        let amount = resource.value.parse::<f64>().ok().filter(|amount| amount.is_finite() && *amount > 0.0);
        if amount.is_none() {
            return Err(Refusal(format!("{field} {} '{}' is not a positive number", resource.kind, resource.value)));
        }
        check_most(field, resource)?;
    }
    Ok(())
}

/// Refuses an amount above AWS's Integer.
pub(super) fn check_most(field: &str, resource: &ResourceRequirement) -> Result<(), Refusal> {
    match resource.value.parse::<f64>() {
        Ok(amount) if amount > f64::from(i32::MAX) => Err(Refusal(format!(
            "{field} {} must be at most {}, but was '{}'",
            resource.kind,
            i32::MAX,
            resource.value
        ))),
        _ => Ok(()),
    }
}
