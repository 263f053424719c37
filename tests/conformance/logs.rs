//! Children's output.

use batchmap::aws::batch::JobStatus;
use batchmap::aws::logs::LogsError;

use crate::place::Place;

pub async fn each_attempt_has_a_stream(place: &Place) {
    let script = "echo \"attempt $AWS_BATCH_JOB_ATTEMPT\"; echo 'to stderr' >&2; printf 'no line break'; exit 3";
    let mut request = place.request("streams", 1, script).await;
    request.attempts = 2;
    let job = place.ended(&place.submit(&request).await).await;
    assert_eq!((job.status, job.attempts.len()), (JobStatus::Failed, 2));
    for (number, attempt) in (1..).zip(&job.attempts) {
        let stream = attempt.log_stream.as_deref().expect("a stream");
        assert!(stream.contains("/default/"), "{stream}");
        let mut lines = place.lines(stream, "no line break").await;
        // Two pipes: only the order within each is known.
        lines.sort();
        assert_eq!(lines, [format!("attempt {number}"), "no line break".to_owned(), "to stderr".to_owned()]);
    }
    let last = job.attempts.last().and_then(|attempt| attempt.log_stream.clone());
    assert_eq!(job.log_stream, last);
}

pub async fn a_long_stream_is_read_in_pages(place: &Place) {
    if !place.cheap {
        return crate::skipped("a log of 25,000 lines: it costs money here");
    }
    let job = place.run("pages", 1, "seq 1 25000").await;
    let lines = place.lines(job.log_stream.as_deref().expect("a stream"), "25000").await;
    assert_eq!(lines.len(), 25_000);
    assert!((1..).zip(&lines).all(|(number, line)| *line == number.to_string()));
}

pub async fn a_stream_that_is_not_there(place: &Place) {
    let group = place.definition.log_group.as_deref().unwrap_or("/aws/batch/job");
    let error = place.logs.page(group, &format!("{}/default/none", place.prefix), None).await.expect_err("none");
    assert!(matches!(error, LogsError::NotFound { .. }), "{error}");
}
