//! Where jobs run and what they are made of: job definitions, compute environments, job queues, and what those refer to.

use std::sync::Arc;

use axum::response::Response;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::Error;
use super::{change, ok, parse};
use crate::emulator::batch::model::api::PlaceChange;
use crate::emulator::batch::model::{Input, Model, Refusal};
use crate::emulator::batch::service::Service;

/// The answer to an operation on places or definitions; nothing when it is no such operation.
pub(super) fn answer(service: &Arc<Service>, operation: &str, body: &[u8]) -> Result<Option<Response>, Error> {
    if let Some(change) = placed(operation, body)? {
        return place(service, change).map(Some);
    }
    let response = match operation {
        "registerjobdefinition" => change(service, Input::Register(Box::new(parse(body)?))),
        "deregisterjobdefinition" => change(service, Input::Deregister(parse(body)?)),
        "describejobdefinitions" => {
            let request = parse(body)?;
            ok(service.read(|model| model.describe_job_definitions(&request))?)
        }
        "describejobqueues" => read(service, body, Model::describe_job_queues),
        "describecomputeenvironments" => read(service, body, Model::describe_compute_environments),
        "describeschedulingpolicies" => read(service, body, Model::describe_scheduling_policies),
        "listschedulingpolicies" => read(service, body, Model::list_scheduling_policies),
        "describeconsumableresource" => read(service, body, Model::describe_consumable_resource),
        "listconsumableresources" => read(service, body, Model::list_consumable_resources),
        _ => return Ok(None),
    };
    response.map(Some)
}

/// Makes a change to places.
pub(super) fn place(service: &Arc<Service>, request: PlaceChange) -> Result<Response, Error> {
    change(service, Input::Place(Box::new(request)))
}

fn placed(operation: &str, body: &[u8]) -> Result<Option<PlaceChange>, Error> {
    let change = match operation {
        "createcomputeenvironment" => PlaceChange::CreateComputeEnvironment(parse(body)?),
        "updatecomputeenvironment" => PlaceChange::UpdateComputeEnvironment(parse(body)?),
        "deletecomputeenvironment" => PlaceChange::DeleteComputeEnvironment(parse(body)?),
        "createjobqueue" => PlaceChange::CreateJobQueue(parse(body)?),
        "updatejobqueue" => PlaceChange::UpdateJobQueue(parse(body)?),
        "deletejobqueue" => PlaceChange::DeleteJobQueue(parse(body)?),
        "createschedulingpolicy" => PlaceChange::CreateSchedulingPolicy(parse(body)?),
        "updateschedulingpolicy" => PlaceChange::UpdateSchedulingPolicy(parse(body)?),
        "deleteschedulingpolicy" => PlaceChange::DeleteSchedulingPolicy(parse(body)?),
        "createconsumableresource" => PlaceChange::CreateConsumableResource(parse(body)?),
        "updateconsumableresource" => PlaceChange::UpdateConsumableResource(parse(body)?),
        "deleteconsumableresource" => PlaceChange::DeleteConsumableResource(parse(body)?),
        _ => return Ok(None),
    };
    Ok(Some(change))
}

fn read<T: DeserializeOwned>(
    service: &Arc<Service>,
    body: &[u8],
    question: fn(&Model, &T) -> Result<Value, Refusal>,
) -> Result<Response, Error> {
    let request = parse(body)?;
    ok(service.read(|model| question(model, &request))?)
}
