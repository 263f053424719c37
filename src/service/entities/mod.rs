//! Registering entities, and handing them back.

mod plans;
mod projects;
mod tasks;
mod workflows;

use std::sync::Arc;

use tonic::Status;

use super::registry::Registry;
use crate::idl::record::Registered;
use crate::map::flyte::Outline;
use crate::map::task::Runner;
use crate::run::flow::Definitions;

/// The RPCs about tasks, workflows and launch plans.
pub struct Entities {
    registry: Arc<Registry>,
    definitions: Definitions,
    /// Who runs their commands.
    runner: Runner,
}

impl Entities {
    /// The RPCs over `registry`; tasks that `definitions` makes no job definition of are refused, and those that `runner`
    /// cannot run.
    pub fn new(registry: Arc<Registry>, definitions: Definitions, runner: Runner) -> Self {
        Entities { registry, definitions, runner }
    }

    /// Whether a job definition can be made of a task.
    ///
    /// # Errors
    /// INVALID_ARGUMENT with the reason after `place`.
    fn check_definition(&self, place: &str, outline: &Outline) -> Result<(), Status> {
        match (self.definitions)(outline) {
            Ok(_) => Ok(()),
            Err(problem) => Err(super::status::invalid(format!("{place}{problem}"))),
        }
    }

    /// Where the entities are.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }
}

/// The words about an entity that lists show.
fn short_description(description: Option<&crate::idl::admin::DescriptionEntity>) -> String {
    description.map(|description| description.short_description.clone()).unwrap_or_default()
}

/// A stored entity that is not what its key says.
fn misplaced(entity: &Registered) -> Status {
    super::status::damaged(&format!("the record of {:?}", entity.id), "it holds an entity of another kind")
}
