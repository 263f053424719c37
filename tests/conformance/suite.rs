//! All checks of Batch and its logs, by name.

use std::pin::Pin;
use std::rc::Rc;

use crate::place::Place;
use crate::{jobs, lists, logs, refusals, stops};

type Check = fn(Rc<Place>) -> Pin<Box<dyn Future<Output = ()>>>;

macro_rules! checks {
    ($($module:ident :: $name:ident),* $(,)?) => {
        &[$((stringify!($name), |place: Rc<Place>| Box::pin(async move { $module::$name(&place).await }))),*]
    };
}

const CHECKS: &[(&str, Check)] = checks![
    jobs::one_child_is_a_plain_job,
    jobs::an_array_with_one_failing_child,
    jobs::a_child_knows_who_it_is,
    jobs::retries,
    jobs::half_a_match_is_none,
    jobs::children_retry_each_for_itself,
    jobs::what_cannot_start_has_no_exit_code,
    jobs::long_overrides_fail_at_their_start,
    jobs::an_attempt_has_its_time,
    stops::terminate_ends_every_child,
    stops::a_terminated_job_is_never_retried,
    stops::one_child_is_terminated_alone,
    stops::what_runs_is_not_cancelled,
    stops::what_waits_is_cancelled,
    lists::what_is_unknown_is_left_out,
    lists::jobs_are_found_by_name,
    lists::lists_go_on_where_they_stopped,
    lists::a_definition_is_found_by_its_name,
    lists::a_queue_names_its_environments,
    refusals::bad_submissions,
    refusals::bad_questions,
    logs::each_attempt_has_a_stream,
    logs::a_long_stream_is_read_in_pages,
    logs::a_stream_that_is_not_there,
];

/// Runs every check, several at once: none may assume that the queue is its own.
pub async fn all(place: Place) {
    tokio::task::LocalSet::new().run_until(run(place)).await;
}

async fn run(place: Place) {
    let place = Rc::new(place);
    // Each check holds few places in the queue, but on AWS each waits for minutes.
    let together = Rc::new(tokio::sync::Semaphore::new(if place.cheap { 4 } else { CHECKS.len() }));
    let started: Vec<_> = CHECKS
        .iter()
        .map(|(name, check)| {
            let (place, together) = (Rc::clone(&place), Rc::clone(&together));
            let task = tokio::task::spawn_local(async move {
                let _turn = together.acquire().await;
                check(place).await;
            });
            (name, task)
        })
        .collect();
    let mut failed = Vec::new();
    for (name, task) in started {
        if task.await.is_err() {
            failed.push(*name);
        }
    }
    place.clean().await;
    assert!(failed.is_empty(), "{} of {} checks failed: {}", failed.len(), CHECKS.len(), failed.join(", "));
}
