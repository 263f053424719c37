//! Jobs: submitting, describing, listing and stopping them, one or many; what waits at the front of a queue.

use std::sync::Arc;

use axum::response::Response;

use super::error::Error;
use super::{change, ok, parse};
use crate::emulator::batch::model::Input;
use crate::emulator::batch::model::api::DescribeJobs;
use crate::emulator::batch::service::Service;

/// The answer to an operation on jobs; nothing when it is no such operation.
pub(super) fn answer(service: &Arc<Service>, operation: &str, body: &[u8]) -> Result<Option<Response>, Error> {
    let response = match operation {
        "submitjob" => change(service, Input::Submit(Box::new(parse(body)?))),
        "canceljob" => change(service, Input::Cancel(parse(body)?)),
        "terminatejob" => change(service, Input::Terminate(parse(body)?)),
        "canceljobs" => change(service, Input::CancelMany(parse(body)?)),
        "terminatejobs" => change(service, Input::TerminateMany(parse(body)?)),
        "describejobs" => describe(service, &parse(body)?),
        "listjobs" => {
            let request = parse(body)?;
            ok(service.read(|model| model.list_jobs(&request))?)
        }
        "listjobsbyconsumableresource" => {
            let request = parse(body)?;
            ok(service.read(|model| model.list_jobs_by_consumable_resource(&request))?)
        }
        "getjobqueuesnapshot" => {
            let request = parse(body)?;
            ok(service.read(|model| model.get_job_queue_snapshot(&request))?)
        }
        _ => return Ok(None),
    };
    response.map(Some)
}

fn describe(service: &Arc<Service>, request: &DescribeJobs) -> Result<Response, Error> {
    if service.read(|model| model.holds(&request.jobs)) {
        // Whoever asks about a job wants it to go on. A reader of state on disk cannot make it, and need not.
        let _ = service.change(Input::Release(request.jobs.clone()));
    }
    ok(service.read(|model| model.describe_jobs(request))?)
}
