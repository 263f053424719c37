//! Executions: begun, shown, ended.

mod begin;
mod children;
mod decks;
mod list;
mod nodes;
mod repeat;
mod show;
mod tasks;
mod values;

use std::sync::Arc;

use tonic::{Code, Status};

use self::children::Children;
use self::repeat::Repeats;
use self::values::Remembered;
use super::data::Data;
use super::entities::Entities;
use super::registry::fits_a_key;
use super::status;
use crate::idl::core::WorkflowExecutionIdentifier;
use crate::run::flow::{CreateError, FlowView, Flows, ViewError};

/// The RPCs about executions.
pub struct Executions {
    flows: Arc<Flows>,
    entities: Arc<Entities>,
    data: Arc<Data>,
    children: Children,
    remembered: Remembered,
    repeats: Repeats,
}

impl Executions {
    /// The RPCs over `flows`.
    pub fn new(flows: Arc<Flows>, entities: Arc<Entities>, data: Arc<Data>) -> Self {
        let (children, remembered, repeats) = (Children::new(), Remembered::new(), Repeats::default());
        Executions { flows, entities, data, children, remembered, repeats }
    }

    async fn view(&self, id: Option<&WorkflowExecutionIdentifier>) -> Result<Arc<FlowView>, Status> {
        let id = named(id)?;
        self.flows.view(id).await.map_err(unseen)
    }
}

/// The execution that a request names.
fn named(id: Option<&WorkflowExecutionIdentifier>) -> Result<&WorkflowExecutionIdentifier, Status> {
    let id = id.filter(|id| !id.project.is_empty() && !id.domain.is_empty() && !id.name.is_empty());
    let id = id.ok_or_else(|| status::invalid("id is incomplete: give the execution's project, domain and name"))?;
    fits_a_key("id", &[&id.project, &id.domain, &id.name])?;
    Ok(id)
}

fn unseen(error: ViewError) -> Status {
    match error {
        ViewError::Unknown { .. } => status::not_found(error.to_string()),
        ViewError::Store(error) => status::store(error),
        ViewError::Moving { .. } => status::status(Code::Unavailable, error.to_string()),
        error => status::status(Code::DataLoss, error.to_string()),
    }
}

fn not_begun(error: CreateError) -> Status {
    match error {
        CreateError::Exists(_) => status::status(Code::AlreadyExists, error.to_string()),
        CreateError::Stopping | CreateError::Making(_) => status::status(Code::Unavailable, error.to_string()),
        CreateError::Store(error) => status::store(error),
        CreateError::Unusable(error) => unseen(error),
    }
}
