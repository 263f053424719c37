//! One DescribeJobs for many askers.

use std::sync::Arc;
use std::time::Duration;

use batchmap::aws::batch::Batch;
use batchmap::aws::pooled::Pooled;
use futures::future::join_all;

use super::batch::{Call, Fault, ScriptedBatch};
use super::store::FaultyStore;

fn pooled() -> (Arc<ScriptedBatch>, Pooled) {
    let batch = Arc::new(ScriptedBatch::new(Arc::new(FaultyStore::new()), false));
    (batch.clone(), Pooled::new(batch))
}

fn describes(batch: &ScriptedBatch) -> Vec<usize> {
    let jobs = |call: Call| match call {
        Call::Describe { jobs } => Some(jobs),
        _ => None,
    };
    batch.calls().into_iter().filter_map(jobs).collect()
}

fn ids(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|at| format!("job-{at}")).collect()
}

#[tokio::test(start_paused = true)]
async fn who_asks_within_a_moment_is_answered_together() {
    let (batch, pooled) = pooled();
    let own: Vec<String> = (0..3).map(|_| batch.submitted_elsewhere("n", 1, Duration::from_secs(9))).collect();
    let answers = join_all(own.iter().map(|id| pooled.describe(std::slice::from_ref(id)))).await;
    for (id, answer) in own.iter().zip(answers) {
        let found: Vec<String> = answer.unwrap().into_iter().map(|job| job.id).collect();
        assert_eq!(&found, std::slice::from_ref(id), "each gets its own");
    }
    assert_eq!(describes(&batch), [3]);
    // Later it is another call.
    pooled.describe(&own).await.unwrap();
    assert_eq!(describes(&batch), [3, 3]);
    assert!(pooled.describe(&[]).await.unwrap().is_empty());
    assert_eq!(describes(&batch).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_holds_a_hundred_jobs_at_most() {
    let (batch, pooled) = pooled();
    let asked: Vec<Vec<String>> = (0..25).map(|at| ids(at * 10..at * 10 + 10)).collect();
    join_all(asked.iter().map(|ids| pooled.describe(ids))).await.into_iter().for_each(|answer| {
        answer.unwrap();
    });
    let mut calls = describes(&batch);
    calls.sort_unstable();
    assert_eq!(calls, [50, 100, 100]);
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_more_is_answered_by_several() {
    let (batch, pooled) = pooled();
    let own: Vec<String> = (0..250).map(|_| batch.submitted_elsewhere("n", 1, Duration::from_secs(9))).collect();
    let found: Vec<String> = pooled.describe(&own).await.unwrap().into_iter().map(|job| job.id).collect();
    assert_eq!(found.len(), 250);
    assert!(own.iter().all(|id| found.contains(id)));
    assert_eq!(describes(&batch), [100, 100, 50]);
    batch.fail("DescribeJobs", [Fault::Throttled]);
    assert!(pooled.describe(&own).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_asks_alone() {
    let (batch, pooled) = pooled();
    batch.fail("DescribeJobs", [Fault::Refused]);
    let (one, other) = (ids(0..1), ids(1..2));
    let (first, second) = tokio::join!(pooled.describe(&one), pooled.describe(&other));
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(describes(&batch), [2, 1, 1]);
    batch.fail("DescribeJobs", [Fault::Throttled]);
    let (first, second) = tokio::join!(pooled.describe(&one), pooled.describe(&other));
    assert!(first.unwrap_err().to_string() == second.unwrap_err().to_string(), "what may pass is told to all");
    assert_eq!(describes(&batch), [2, 1, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn whoever_goes_away_leaves_the_others_their_answer() {
    let (batch, pooled) = pooled();
    let id = batch.submitted_elsewhere("n", 1, Duration::from_secs(9));
    let (gone, stays) = (ids(7..8), vec![id]);
    let first = tokio::time::timeout(Duration::from_millis(5), pooled.describe(&gone));
    let (first, second) = tokio::join!(first, pooled.describe(&stays));
    assert!(first.is_err());
    assert_eq!(second.unwrap().len(), 1);
    assert_eq!(describes(&batch), [2]);
}
