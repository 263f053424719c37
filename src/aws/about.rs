//! What a call to Batch is about, as errors name it: the same words whichever adapter made the call.

use super::batch::SubmitRequest;

/// Of SubmitJob.
pub(crate) fn submission(request: &SubmitRequest) -> String {
    format!("job {} on queue {} with definition {}", request.name, request.queue, request.definition)
}

/// Of DescribeJobs: the first few ids.
pub(crate) fn jobs(ids: &[String]) -> String {
    const SHOWN: usize = 3;
    let more = ids.len().saturating_sub(SHOWN);
    let shown = ids[..ids.len().min(SHOWN)].join(", ");
    if more == 0 { format!("jobs {shown}") } else { format!("jobs {shown} and {more} more") }
}

/// Of ListJobs for an array.
pub(crate) fn children(parent: &str) -> String {
    format!("children of {parent}")
}

/// Of ListJobs for a queue.
pub(crate) fn named(queue: &str, name: &str) -> String {
    format!("jobs named {name} on queue {queue}")
}

/// Of TerminateJob.
pub(crate) fn job(id: &str) -> String {
    format!("job {id}")
}

/// Of DescribeJobQueues.
pub(crate) fn queues(names: &[String]) -> String {
    format!("job queues {}", names.join(", "))
}

/// Of DescribeComputeEnvironments.
pub(crate) fn environments(names: &[String]) -> String {
    format!("compute environments {}", names.join(", "))
}

/// Of DescribeJobDefinitions and RegisterJobDefinition.
pub(crate) fn definition(name: &str) -> String {
    format!("definition {name}")
}

/// Whether AWS's error code says that the caller lacks a permission. A HEAD has no body, so that of its refusal only the
/// status is known.
pub(crate) fn is_denial(code: &str) -> bool {
    ["AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "Forbidden", "HTTP 403"].contains(&code)
}
