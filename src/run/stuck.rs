//! Asking AWS why children wait: what Batch says of them, and what is wrong with their queue and its compute environments.

use crate::aws::batch::{Batch, BatchError, JobDetail, JobStatus};
use crate::idl::record::TaskRecord;
use crate::map::stuck::{self, Shape, Stuck};

/// What one child of a task asks for.
pub fn shape(record: &TaskRecord) -> Shape {
    let resources = record.resources.unwrap_or_default();
    Shape { cpu_milli: resources.cpu_milli, memory_mib: resources.memory_mib, gpus: resources.gpus }
}

/// Why a job waits, when Batch says so in its description: only the job at the head of a blocked queue gets such a
/// reason.
pub fn told(detail: &JobDetail) -> Option<Stuck> {
    let waiting = matches!(detail.status, JobStatus::Submitted | JobStatus::Pending | JobStatus::Runnable);
    detail.status_reason.as_deref().filter(|_| waiting).and_then(stuck::explain)
}

/// Children of a job that wait for a place, that have one, and that have ended.
pub fn tally(detail: &JobDetail) -> (u32, u32, u32) {
    let own = [(detail.status, 1)];
    let counts = detail.summary.iter().map(|(status, count)| (*status, *count));
    let counts: Vec<(JobStatus, u32)> =
        if detail.summary.is_empty() { own.into_iter().collect() } else { counts.collect() };
    let of = |wanted: &[JobStatus]| counts.iter().filter(|(status, _)| wanted.contains(status)).map(|(_, n)| n).sum();
    (
        of(&[JobStatus::Runnable]),
        of(&[JobStatus::Starting, JobStatus::Running]),
        of(&[JobStatus::Succeeded, JobStatus::Failed]),
    )
}

/// Looks into why children on `queue` wait, of which `array` is a job that has some. Three calls at most. Nothing when
/// all is in order there.
///
/// # Errors
/// When AWS does not answer. A refusal is no error: then the answer says which permission is missing to find out.
pub async fn inquire(
    batch: &dyn Batch,
    queue: &str,
    array: Option<&str>,
    shape: Shape,
) -> Result<Option<Stuck>, BatchError> {
    match look(batch, queue, array, shape).await {
        Err(BatchError::Refused { operation, code, message }) => Ok(Some(Stuck {
            code: "NotAllowedToLook".to_owned(),
            what: format!("children wait on job queue {queue}, and batchmap is not allowed to find out why"),
            fix: format!("allow it batch:{operation}, or look at the queue yourself"),
            said: Some(format!("{code}: {message}")),
        })),
        answer => answer,
    }
}

async fn look(batch: &dyn Batch, queue: &str, array: Option<&str>, shape: Shape) -> Result<Option<Stuck>, BatchError> {
    if let Some(parent) = array {
        // The reason stands on the child at the queue's head, which may be any of them; the first thousand are looked at.
        let page = batch.list_children(parent, JobStatus::Runnable, None).await?;
        let reasons = page.jobs.iter().filter_map(|job| job.status_reason.as_deref());
        if let Some(stuck) = reasons.filter_map(stuck::explain).next() {
            return Ok(Some(stuck));
        }
    }
    let queues = batch.queues(&[queue.to_owned()]).await?;
    let found = queues.first();
    let environments = match found {
        Some(found) => batch.environments(&found.environments).await?,
        None => Vec::new(),
    };
    Ok(stuck::find(queue, found, &environments, shape))
}

/// What is said of children that have waited for long although nothing is wrong with their queue, on an `emulated` endpoint
/// or on AWS.
pub fn in_order(queue: &str, waited: std::time::Duration, emulated: bool) -> Stuck {
    let waited = humantime::format_duration(std::time::Duration::from_secs(waited.as_secs()));
    let nothing = format!("nothing has started on job queue {queue} for {waited}");
    let (what, fix) = if emulated {
        let what = format!("{nothing}: other children have all slots of the emulated endpoint");
        (what, "wait for them or abort them, or start the endpoint with more --slots")
    } else {
        let what = format!(
            "{nothing}, though the queue and its compute environments are in order and AWS Batch gives no reason"
        );
        let fix = "other jobs may be ahead, or have all of the compute environments' maxvCpus; if none run, look whether \
                   instances come up and reach ECS (subnets, security groups, instance role, spot price)";
        (what, fix)
    };
    Stuck { code: "NothingStarts".to_owned(), what, fix: fix.to_owned(), said: None }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn detail(status: JobStatus, reason: &str) -> JobDetail {
        JobDetail {
            id: "j".to_owned(),
            name: "n".to_owned(),
            status,
            status_reason: Some(reason.to_owned()),
            summary: BTreeMap::new(),
            attempts: Vec::new(),
            log_stream: None,
            cancelled: false,
            terminated: false,
        }
    }

    #[test]
    fn a_blocked_queue_is_told_from_an_ordinary_wait() {
        let reason = "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - no instance is large enough";
        assert_eq!(told(&detail(JobStatus::Runnable, reason)).unwrap().said.as_deref(), Some(reason));
        assert_eq!(told(&detail(JobStatus::Failed, reason)), None);
        assert_eq!(told(&detail(JobStatus::Runnable, "waiting")), None);
    }

    #[test]
    fn a_plain_job_is_its_own_only_child() {
        assert_eq!(tally(&detail(JobStatus::Runnable, "")), (1, 0, 0));
        assert_eq!(tally(&detail(JobStatus::Starting, "")), (0, 1, 0));
        let summary = [(JobStatus::Runnable, 3), (JobStatus::Running, 2), (JobStatus::Failed, 4)].into();
        assert_eq!(tally(&JobDetail { summary, ..detail(JobStatus::Pending, "") }), (3, 2, 4));
    }
}
