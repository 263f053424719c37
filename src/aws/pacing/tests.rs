use std::collections::VecDeque;
use std::sync::Arc;

use super::*;

const OPERATION: &str = "Call";

fn throttled() -> BatchError {
    BatchError::Throttled { operation: OPERATION, message: "slow down".to_owned() }
}

fn unclear() -> BatchError {
    BatchError::Unknown { operation: OPERATION, message: "503".to_owned() }
}

fn refused() -> BatchError {
    BatchError::Refused { operation: OPERATION, code: "ClientException".to_owned(), message: "no".to_owned() }
}

/// Answers of an endpoint, one for each call, and good ones after them. How many calls there were is told with the result.
async fn answered(pacer: &Pacer, operation: Operation, answers: Vec<BatchError>) -> (Result<(), BatchError>, u32) {
    let answers = Mutex::new(VecDeque::from(answers));
    let mut calls = 0;
    let result = pacer.call(operation, || {
        calls += 1;
        let answer = locked(&answers).pop_front();
        async { answer.map_or(Ok(()), Err) }
    });
    let result = result.await;
    (result, calls)
}

fn pacer() -> Pacer {
    Pacer::aws(Backoff::AWS, 1)
}

#[test]
fn the_shares_leave_something_of_the_accounts_fifty_calls() {
    assert!(Operation::ALL.into_iter().map(Operation::share).sum::<u32>() < 50);
    assert!(Operation::ALL.iter().enumerate().all(|(at, operation)| *operation as usize == at));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_at_once() {
    for operation in Operation::ALL {
        assert_eq!(answered(&pacer(), operation, vec![refused()]).await, (Err(refused()), 1));
        let nobody = BatchError::Unauthenticated { operation: OPERATION, message: "expired".to_owned() };
        assert_eq!(answered(&pacer(), operation, vec![nobody.clone()]).await, (Err(nobody), 1));
    }
}

#[tokio::test(start_paused = true)]
async fn an_unclear_answer_is_asked_again_but_never_for_a_submission() {
    for operation in Operation::ALL {
        let expected = if operation == Operation::Submit { (Err(unclear()), 1) } else { (Ok(()), 4) };
        assert_eq!(
            answered(&pacer(), operation, vec![unclear(), unclear(), unclear()]).await,
            expected,
            "{operation:?}"
        );
    }
    // Throttled first: that one has not happened. What came then may have.
    let answers = vec![throttled(), unclear()];
    assert_eq!(answered(&pacer(), Operation::Submit, answers).await, (Err(unclear()), 2));
}

#[tokio::test(start_paused = true)]
async fn patience_has_an_end() {
    let begun = Instant::now();
    let (result, calls) = answered(&pacer(), Operation::Describe, vec![unclear(); 100]).await;
    assert_eq!((result, calls), (Err(unclear()), Backoff::AWS.tries));
    assert!(begun.elapsed() < Duration::from_secs(32));
}

#[tokio::test(start_paused = true)]
async fn a_throttled_submission_is_given_back_soon() {
    let begun = Instant::now();
    let (result, calls) = answered(&pacer(), Operation::Submit, vec![throttled(); 100]).await;
    assert_eq!(result, Err(throttled()));
    assert!(calls > 1 && begun.elapsed() < 4 * SUBMIT_PATIENCE, "{calls} calls in {:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn throttled_answers_slow_their_own_lane_alone_and_good_ones_restore_it() {
    let pacer = pacer();
    assert_eq!(answered(&pacer, Operation::List, vec![throttled(); 3]).await, (Ok(()), 4));
    assert!(pacer.rate(Operation::List).unwrap() < 3.0);
    for other in [Operation::Submit, Operation::Describe, Operation::Terminate, Operation::Other] {
        assert_eq!(pacer.rate(other), Some(f64::from(other.share())));
    }
    while pacer.rate(Operation::List) < Some(8.0) {
        assert_eq!(answered(&pacer, Operation::List, vec![]).await, (Ok(()), 1));
    }
}

/// Submissions that wait for their turn, by the thousand, do not hold up a poll.
#[tokio::test(start_paused = true)]
async fn polls_do_not_starve_behind_submissions() {
    let pacer = Arc::new(pacer());
    let submissions: Vec<_> = (0..1000)
        .map(|_| {
            let pacer = Arc::clone(&pacer);
            tokio::spawn(async move { answered(&pacer, Operation::Submit, vec![]).await })
        })
        .collect();
    for _ in 0..50 {
        let asked = Instant::now();
        assert_eq!(answered(&pacer, Operation::Describe, vec![]).await, (Ok(()), 1));
        assert!(asked.elapsed() <= Duration::from_millis(126), "{:?}", asked.elapsed());
    }
    for submission in submissions {
        assert_eq!(submission.await.unwrap(), (Ok(()), 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lane_is_first_come_first_served_and_never_faster_than_its_share() {
    let (pacer, order, begun) = (pacer(), Mutex::new(Vec::new()), Instant::now());
    let calls = (0..101).map(|number| {
        let (pacer, order) = (&pacer, &order);
        let make = move || async move {
            locked(order).push(number);
            Ok(())
        };
        async move { pacer.call(Operation::Submit, make).await }
    });
    let answers = futures::future::join_all(calls).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(*locked(&order), (0..101).collect::<Vec<_>>());
    assert!(begun.elapsed() >= Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_of_our_own_holds_nothing_back() {
    let (pacer, begun) = (Pacer::unpaced(Backoff::NEAR, 1), Instant::now());
    for _ in 0..10_000 {
        assert_eq!(answered(&pacer, Operation::Submit, vec![]).await, (Ok(()), 1));
    }
    assert_eq!((begun.elapsed(), pacer.rate(Operation::Submit)), (Duration::ZERO, None));
    assert_eq!(answered(&pacer, Operation::Submit, vec![throttled(), throttled()]).await, (Ok(()), 3));
}

/// A call that nobody waits for any more leaves its lane to the others.
#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_holds_up_nobody() {
    let pacer = pacer();
    assert!(answered(&pacer, Operation::Other, vec![]).await.0.is_ok());
    let given_up = tokio::time::timeout(Duration::from_millis(10), answered(&pacer, Operation::Other, vec![])).await;
    assert!(given_up.is_err());
    assert!(answered(&pacer, Operation::Other, vec![]).await.0.is_ok());
}
