//! Bound inputs: what every subtask shares, as literals.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::Value;

use super::files::{Files, Upload};
use crate::aws::store::StoreError;
use crate::idl::core::{Literal, LiteralType};
use crate::idl::json::{literal_from_json, literal_to_json};
use crate::idl::types::{infer, type_name};
use crate::map::spec::{Fault, Faults};
use crate::map::task::{BoundSource, MapTask, Source};

/// Why an earlier execution's output cannot be bound.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// There is no such execution or output, or it has not finished: the caller's to correct.
    #[error("{0}")]
    Unusable(String),
    /// The store refused, or could not be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The outputs of earlier executions.
#[async_trait]
pub trait Results: Send + Sync {
    /// The output `output` (the only one when absent) of execution `id`, whole: a list in the caller's order.
    async fn output(&self, id: &str, output: Option<&str>) -> Result<(LiteralType, Literal), ResultsError>;
}

/// The bound inputs, resolved.
#[derive(Debug, Default)]
pub(super) struct Bound {
    /// Type of each.
    pub(super) types: BTreeMap<String, LiteralType>,
    /// Value of each.
    pub(super) literals: BTreeMap<String, Literal>,
    /// The files that must be uploaded before a child reads them.
    pub(super) uploads: Vec<Upload>,
}

/// Resolves every bound input of `task`; what is wrong goes to `faults`.
///
/// # Errors
/// When the store fails.
pub(super) async fn resolve(
    task: &MapTask,
    files: &Files,
    results: &dyn Results,
    faults: &mut Faults,
) -> Result<Bound, StoreError> {
    let mut bound = Bound::default();
    for (name, input) in &task.inputs {
        let Source::Bound(source) = &input.source else { continue };
        let wanted = input.literal_type.as_ref();
        let own = bound.uploads.len();
        let found = match source {
            BoundSource::Value(value) => value_of(name, value, wanted, files, &mut bound.uploads),
            BoundSource::Literal(literal) => Ok((wanted.cloned().unwrap_or_default(), (**literal).clone())),
            BoundSource::Execution { id, output } => {
                let found = results.output(id, output.as_deref()).await;
                let value = format!("@{id}{}", output.as_ref().map(|o| format!("/{o}")).unwrap_or_default());
                match found {
                    Ok(found) => as_wanted(name, found, wanted, &value),
                    Err(ResultsError::Store(error)) => return Err(error),
                    Err(ResultsError::Unusable(problem)) => {
                        let fix = "`batchmap list` shows the executions there are";
                        Err(Fault::text(format!("bind.{name}"), &value, problem, fix))
                    }
                }
            }
        };
        match found {
            Ok((literal_type, mut literal)) => {
                // A cached task knows its files by what is in them.
                if task.policy.cache.as_ref().is_some_and(|cache| !cache.ignored.contains(name)) {
                    files.stamp(&mut literal, &bound.uploads[own..]).await?;
                }
                bound.types.insert(name.clone(), literal_type);
                bound.literals.insert(name.clone(), literal);
            }
            Err(fault) => faults.0.push(fault),
        }
    }
    Ok(bound)
}

fn value_of(
    name: &str,
    value: &Value,
    wanted: Option<&LiteralType>,
    files: &Files,
    uploads: &mut Vec<Upload>,
) -> Result<(LiteralType, Literal), Fault> {
    let literal_type = wanted.cloned().unwrap_or_else(|| infer(value));
    let mut addressed = value.clone();
    let literal = files
        .address(&mut addressed, &literal_type, &format!("{name}/"), uploads)
        .and_then(|()| literal_from_json(&addressed, &literal_type));
    match literal {
        Ok(literal) => Ok((literal_type, literal)),
        Err(problem) => Err(Fault::of(format!("bind.{name}"), value, problem, correct(name, wanted))),
    }
}

/// An earlier output as the type that the spec gives it.
fn as_wanted(
    name: &str,
    (found, literal): (LiteralType, Literal),
    wanted: Option<&LiteralType>,
    value: &str,
) -> Result<(LiteralType, Literal), Fault> {
    match wanted {
        Some(wanted) if *wanted != found => {
            let converted = literal_from_json(&literal_to_json(&literal), wanted).map_err(|problem| {
                let problem = format!("that output is {}: {problem}", type_name(&found));
                Fault::text(format!("bind.{name}"), value, problem, correct(name, Some(wanted)))
            })?;
            Ok((wanted.clone(), converted))
        }
        _ => Ok((found, literal)),
    }
}

fn correct(name: &str, wanted: Option<&LiteralType>) -> String {
    match wanted {
        Some(wanted) => format!("correct it, or the type {} in inputs.{name}", type_name(wanted)),
        None => format!("correct it, or give its type in inputs.{name}"),
    }
}
