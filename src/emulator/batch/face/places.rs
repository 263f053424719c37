//! Where jobs run and what they are made of: job definitions, compute environments, job queues.

use std::sync::Arc;

use axum::response::Response;

use super::error::Error;
use super::{change, ok, parse};
use crate::emulator::batch::model::Input;
use crate::emulator::batch::service::Service;

/// The answer to an operation on places or definitions; nothing when it is no such operation.
pub(super) fn answer(service: &Arc<Service>, operation: &str, body: &[u8]) -> Result<Option<Response>, Error> {
    let response = match operation {
        "registerjobdefinition" => change(service, Input::Register(Box::new(parse(body)?))),
        "deregisterjobdefinition" => change(service, Input::Deregister(parse(body)?)),
        "describejobdefinitions" => {
            let request = parse(body)?;
            ok(service.read(|model| model.describe_job_definitions(&request))?)
        }
        "describejobqueues" => {
            let request = parse(body)?;
            ok(service.read(|model| model.describe_job_queues(&request)))
        }
        "describecomputeenvironments" => {
            let request = parse(body)?;
            ok(service.read(|model| model.describe_compute_environments(&request)))
        }
        _ => return Ok(None),
    };
    response.map(Some)
}
