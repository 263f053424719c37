//! What a task's command is, and what has to be put right in it.

use std::collections::BTreeSet;

use super::container::Source;
use super::template::{self, Piece};
use super::{CONTAINER_ARRAY, batch, limits};
use crate::idl::core::node::Target;
use crate::idl::core::{DataLoadingConfig, TaskTemplate};
use crate::map::spec::{Fault, Faults};
use crate::map::task::{Entrypoint, Flyte, FlyteKind, Runner};

pub(super) const MAP_EXECUTE: &str = "pyflyte-map-execute";
pub(super) const EXECUTE: &str = "pyflyte-execute";

/// The entrypoint of such a command.
pub(super) fn entrypoint(kind: FlyteKind, runner: Runner, raw_output_prefix: Option<String>) -> Entrypoint {
    Entrypoint::Flyte(Flyte { kind, runner, raw_output_prefix })
}

/// What the command is given and what it leaves.
pub(super) fn kind(words: &[String], data: Option<&DataLoadingConfig>) -> FlyteKind {
    let runs = |name: &str| words.iter().any(|word| word == name);
    match data {
        _ if runs(MAP_EXECUTE) => FlyteKind::Map,
        _ if runs(EXECUTE) => FlyteKind::Single,
        Some(_) => FlyteKind::Container,
        None => FlyteKind::Single,
    }
}

/// The command with flytekit's own slips put right. A task with AWSBatchConfig writes below `{{.outputPrefix}}/0`, where
/// only Flyte's own plugin looks; and where such a task is mapped, flytekit leaves the command of a single one, which
/// needs nothing but its own element.
pub(super) fn repaired(mut words: Vec<String>, template: &TaskTemplate) -> Vec<String> {
    if template.r#type == batch::AWS_BATCH || words.iter().any(|word| word == EXECUTE) {
        for word in &mut words {
            let pieces = template::parse(word);
            if pieces == [Piece::OutputPrefix, Piece::Text("/0".to_owned())] {
                word.truncate(word.len() - "/0".len());
            }
        }
    }
    words
}

/// The inputs that the command of a map task of the old kind binds: the word after `vars`.
pub(super) fn bound(words: &[String]) -> BTreeSet<String> {
    let named = words.iter().position(|word| word == "vars").and_then(|at| words.get(at + 1));
    let names = named.map_or("", String::as_str).split(',');
    names.map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Checks the command of `source`, which stands in `field`.
pub(super) fn check(words: &[String], kind: FlyteKind, source: &Source, field: &str, faults: &mut Faults) {
    if words.is_empty() {
        let fix = "give the container a command: a local process has no image that could bring one";
        faults.0.push(Fault::missing(format!("{field}.command"), "is empty", fix));
    }
    if limits::words(words, field, faults) {
        return;
    }
    let template = source.template;
    let inputs = template.interface.iter().flat_map(|interface| &interface.inputs).flat_map(|map| &map.variables);
    let known: BTreeSet<&str> = inputs.map(|(name, _)| name.as_str()).collect();
    for word in words {
        if word.contains('\0') {
            faults.0.push(Fault::text(format!("{field}.args"), word, "holds a zero byte", "leave it out"));
        }
        for piece in template::parse(word) {
            if let Piece::Unknown(name) = &piece {
                let problem = format!("{name} is nothing that a job has");
                faults.0.push(Fault::text(format!("{field}.args"), word, problem, "leave it out"));
            }
            if let Piece::Value(name) = piece
                && !known.contains(name.as_str())
            {
                let fix = format!("name one of {}", known.iter().copied().collect::<Vec<_>>().join(", "));
                faults.0.push(Fault::text(format!("{field}.args"), word, format!("{name} is no input"), fix));
            }
        }
    }
    let alone = matches!(source.nodes.as_slice(), [node] if matches!(node.target, Some(Target::TaskNode(_))));
    if kind == FlyteKind::Map && alone && template.r#type != CONTAINER_ARRAY {
        let fix = "run the workflow that maps it: alone it has no list of outputs";
        faults.0.push(Fault::missing("node.target", "the task is made for an ArrayNode", fix));
    }
}
