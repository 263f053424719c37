//! Registering entities, and handing them back.

mod plans;
mod projects;
mod tasks;
mod workflows;

use std::sync::Arc;

pub(super) use plans::expected;
use tonic::Status;

use super::registry::Registry;
use crate::idl::record::Registered;

/// The RPCs about tasks, workflows and launch plans.
pub struct Entities {
    registry: Arc<Registry>,
}

impl Entities {
    /// The RPCs over `registry`.
    pub fn new(registry: Arc<Registry>) -> Self {
        Entities { registry }
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
