//! The job queues, looked at before anything is staged for them.

use super::session::Session;
use super::{Exit, Failure};
use crate::aws::batch::{BatchError, QueueDetail};

/// Checks that the configured queues are there and take jobs: one DescribeJobQueues. The embedded endpoint has its own.
/// Who is not allowed to ask learns it from SubmitJob.
///
/// # Errors
/// The queue that cannot be used, with what to do; or AWS is out of reach.
pub async fn check(session: &Session, interruptible: bool) -> Result<(), Failure> {
    let target = &session.target;
    let spot = target.interruptible_queue.iter().filter(|_| interruptible);
    let named: Vec<(&str, &String)> =
        [("queue", &target.queue)].into_iter().chain(spot.map(|queue| ("interruptible_queue", queue))).collect();
    if session.is_embedded() {
        return Ok(());
    }
    if target.queue.is_empty() {
        let fix = "it is needed to run anything: give --queue, BATCHMAP_QUEUE, or `queue` in batchmap.toml";
        return Err(Failure::input(format!("queue: is not set; {fix}")));
    }
    let mut names: Vec<String> = named.iter().map(|(_, queue)| (*queue).clone()).collect();
    names.dedup();
    let found = match session.ports.batch.queues(&names).await {
        Ok(found) => found,
        Err(error @ BatchError::Refused { .. }) => {
            tracing::debug!(%error, "the queues could not be looked at");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let problems = named.into_iter().filter_map(|(setting, name)| {
        let queue = found.iter().find(|queue| queue.name == *name || queue.arn == *name);
        Some(format!("{setting} is {name:?}: {}", problem(queue)?))
    });
    match problems.collect::<Vec<_>>() {
        none if none.is_empty() => Ok(()),
        problems => Err(Failure { message: problems.join("\n"), exit: Exit::BadInput }),
    }
}

/// Why a queue takes no jobs, and what to do.
fn problem(queue: Option<&QueueDetail>) -> Option<String> {
    let Some(queue) = queue else {
        return Some(
            "there is no such job queue in this account and region; correct it, or create the queue".to_owned(),
        );
    };
    if queue.state == "DISABLED" {
        return Some("it is DISABLED and takes no jobs; enable it, or give another one".to_owned());
    }
    let lost = ["INVALID", "DELETING", "DELETED"].contains(&queue.status.as_str());
    let why = queue.status_reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    lost.then(|| format!("it is {}{why} and takes no jobs; mend it, or give another one", queue.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_takes_no_jobs_is_told_by_its_state() {
        let queue = |state: &str, status: &str| {
            let (state, status) = (state.to_owned(), status.to_owned());
            problem(Some(&QueueDetail { state, status, ..QueueDetail::default() }))
        };
        assert_eq!((queue("ENABLED", "VALID"), queue("ENABLED", "UPDATING")), (None, None));
        // An endpoint that tells neither is believed to take jobs.
        assert_eq!(queue("", ""), None);
        assert!(queue("DISABLED", "VALID").is_some_and(|problem| problem.contains("enable it")));
        assert!(queue("ENABLED", "INVALID").is_some_and(|problem| problem.contains("it is INVALID")));
        assert!(problem(None).is_some_and(|problem| problem.contains("no such job queue")));
    }
}
