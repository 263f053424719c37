//! What Batch refuses, and that nothing has happened then.

use batchmap::aws::batch::{BatchError, SubmitRequest};

use crate::place::{Place, on_code};

/// Submits what must be refused with AWS's code.
pub async fn refused(place: &Place, request: &SubmitRequest) {
    let error = place.batch.submit(request).await.expect_err("refused");
    assert!(
        matches!(&error, BatchError::Refused { operation: "SubmitJob", code, .. } if code == "ClientException"),
        "{error:?}"
    );
    assert!(error.to_string().contains(&request.name), "{error}");
}

pub async fn bad_submissions(place: &Place) {
    let good = place.request("bad", 2, "true").await;
    let with = |change: &dyn Fn(&mut SubmitRequest)| {
        let mut request = good.clone();
        change(&mut request);
        request
    };
    let reserved = || ("AWS_BATCH_X".to_owned(), "1".to_owned());
    let wrong = [
        with(&|r| r.queue = place.name("no-queue")),
        with(&|r| r.definition = place.name("no-definition")),
        with(&|r| r.definition = format!("{}:999", place.name("no-definition"))),
        with(&|r| r.name.push_str(" with a space")),
        with(&|r| r.name = format!("-{}", r.name)),
        with(&|r| r.name.push_str(&"x".repeat(129))),
        with(&|r| r.size = 0),
        with(&|r| r.size = 10_001),
        with(&|r| r.attempts = 0),
        with(&|r| r.attempts = 11),
        with(&|r| r.retry_rules = vec![on_code("1", true); 6]),
        with(&|r| r.retry_rules = vec![on_code("*1", true)]),
        with(&|r| r.timeout_seconds = Some(59)),
        with(&|r| r.command.push(String::new())),
        with(&|r| r.environment.extend([reserved()])),
        with(&|r| r.environment.extend([("LARGE".to_owned(), "x".repeat(31 * 1024))])),
        with(&|r| r.tags.extend((0..51).map(|n| (format!("tag-{n}"), String::new())))),
    ];
    for request in &wrong {
        refused(place, request).await;
    }
    let page = place.batch.list_named(&place.queue, &format!("{}-bad*", place.prefix), None).await.expect("a page");
    assert_eq!(page.jobs, [], "nothing has happened");
}

pub async fn bad_questions(place: &Place) {
    let ids: Vec<String> = (0..101).map(|n| format!("00000000-0000-4000-8000-{n:012}")).collect();
    let error = place.batch.describe(&ids).await.expect_err("more than 100");
    assert!(matches!(error, BatchError::Refused { operation: "DescribeJobs", .. }), "{error:?}");
    assert_eq!(place.batch.describe(&ids[..100]).await, Ok(vec![]));
    let error = place.batch.list_named(&place.name("no-queue"), "x", None).await.expect_err("no such queue");
    assert!(matches!(error, BatchError::Refused { operation: "ListJobs", .. }), "{error:?}");
    let id = place.submit(&place.request("stop", 1, "true").await).await;
    for reason in [String::new(), "x".repeat(1025)] {
        let error = place.batch.terminate(&id, &reason).await.expect_err("a bad reason");
        assert!(matches!(error, BatchError::Refused { operation: "TerminateJob", .. }), "{error:?}");
    }
    place.ended(&id).await;
}
