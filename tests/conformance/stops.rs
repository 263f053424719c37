//! Ending jobs before their time: TerminateJob ends everything, CancelJob what has not started.

use batchmap::aws::batch::{JobDetail, JobStatus};

use crate::place::Place;

pub async fn terminate_ends_every_child(place: &Place) {
    let id = place.submit(&place.request("terminate", 12, "sleep 600").await).await;
    let first = format!("{id}:0");
    place.running(&first).await;
    place.batch.terminate(&id, "enough of it").await.expect("terminated");
    let parent = place.ended(&id).await;
    assert_eq!((parent.status, parent.status_reason.as_deref()), (JobStatus::Failed, Some("enough of it")));
    assert_eq!((parent.terminated, parent.cancelled, parent.summary[&JobStatus::Failed]), (true, false, 12));
    for index in 0..12 {
        let child = place.describe(&format!("{id}:{index}")).await;
        assert_eq!((child.status, child.status_reason.as_deref()), (JobStatus::Failed, Some("enough of it")));
        assert!(child.terminated && child.attempts.len() <= 1, "{child:?}");
    }
    let child = place.describe(&first).await;
    assert!(matches!(child.attempts[0].exit_code, Some(137 | 143) | None), "{child:?}");
    // What has ended stays as it is, and to end it again is no error.
    place.batch.terminate(&id, "once more").await.expect("nothing to do");
    assert_eq!(place.describe(&id).await.status_reason.as_deref(), Some("enough of it"));
}

pub async fn a_terminated_job_is_never_retried(place: &Place) {
    let mut request = place.request("no-retry", 1, "sleep 600").await;
    request.attempts = 5;
    let id = place.submit(&request).await;
    place.running(&id).await;
    place.batch.terminate(&id, "stop").await.expect("terminated");
    let job = place.ended(&id).await;
    assert_eq!((job.status, job.terminated, job.attempts.len()), (JobStatus::Failed, true, 1), "{job:?}");
}

pub async fn one_child_is_terminated_alone(place: &Place) {
    let script = "[ $AWS_BATCH_JOB_ARRAY_INDEX != 0 ] || sleep 600";
    let id = place.submit(&place.request("child", 3, script).await).await;
    let first = format!("{id}:0");
    place.running(&first).await;
    place.batch.terminate(&first, "this one").await.expect("terminated");
    let child = place.ended(&first).await;
    assert_eq!((child.status_reason.as_deref(), child.terminated), (Some("this one"), true));
    let parent = place.ended(&id).await;
    assert_eq!((parent.summary[&JobStatus::Succeeded], parent.summary[&JobStatus::Failed]), (2, 1));
    assert_eq!((parent.terminated, parent.status_reason.as_deref()), (false, Some("Array Child Job failed")));
}

pub async fn what_runs_is_not_cancelled(place: &Place) {
    let id = place.submit(&place.request("cancel-running", 1, "sleep 2; exit 4").await).await;
    place.running(&id).await;
    place.beyond.cancel(&id, "too late").await;
    let job = place.ended(&id).await;
    assert_eq!((job.attempts.len(), job.attempts[0].exit_code, job.terminated), (1, Some(4), false), "{job:?}");
}

/// Some children have started when the parent is cancelled, and go on; the others never start.
pub async fn what_waits_is_cancelled(place: &Place) {
    let size = if place.cheap { 200 } else { 4 };
    let id = place.submit(&place.request("cancel-waiting", size, "sleep 0.1").await).await;
    place.beyond.cancel(&id, "not needed").await;
    let parent = place.ended(&id).await;
    let (went_on, cancelled) = (parent.summary[&JobStatus::Succeeded], parent.summary[&JobStatus::Failed]);
    assert_eq!(went_on + cancelled, size, "{parent:?}");
    assert!(cancelled > 0 || !place.cheap, "{parent:?}");
    assert_eq!(parent.status == JobStatus::Failed, cancelled > 0, "{parent:?}");
    for summary in place.children(&id, JobStatus::Failed).await.into_iter().take(5) {
        let child: JobDetail = place.describe(&summary.id).await;
        assert_eq!((child.status_reason.as_deref(), child.attempts.len()), (Some("not needed"), 0), "{child:?}");
        assert!(child.cancelled && !child.terminated && summary.cancelled, "{child:?}");
        assert_eq!(summary.status_reason.as_deref(), Some("not needed"));
    }
}
