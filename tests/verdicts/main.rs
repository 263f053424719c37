//! The table of verdicts, a case a row: a child ends on the emulator's Batch, as a plain job and as a child of an array,
//! the driver reads what Batch reports of it, and the execution comes to its end with that verdict and no other.

#[path = "../support/definition.rs"]
mod definition;
mod world;

use std::collections::BTreeSet;
use std::time::Duration;

use batchmap::aws::batch::Batch;
use batchmap::emulator::batch::model::End;
use batchmap::idl::core::container_error::Kind::{NonRecoverable, Recoverable};
use batchmap::idl::core::execution_error::ErrorKind::{System, User};
use batchmap::idl::record::Policy;
use batchmap::map::execution::SYSTEM_ATTEMPTS;
use batchmap::map::policy::{Origin, VERDICTS};
use batchmap::run::settle::OUR_REASON;

use world::{Does, World, finish};

/// Further attempts that the task allows.
const RETRIES: u32 = 2;

/// What becomes of subtask 0.
#[derive(Clone, Copy)]
enum Becomes {
    /// It succeeds in its first start.
    Good,
    /// It fails in its first start, and is not started again.
    Failed(Origin),
    /// It is started as often as the task allows, and fails.
    User,
    /// It is started as often as losses are stood, and fails.
    System,
}

struct Case {
    row: &'static str,
    outputs_due: bool,
    does: Does,
    becomes: Becomes,
    /// Ended from outside for this reason.
    terminated: Option<&'static str>,
    policy: Policy,
}

fn case(row: &'static str, becomes: Becomes, does: Does) -> Case {
    let policy = Policy { retries: RETRIES, ..Policy::default() };
    Case { row, outputs_due: true, does, becomes, terminated: None, policy }
}

impl Case {
    fn terminated(self, reason: &'static str) -> Case {
        Case { terminated: Some(reason), ..self }
    }

    fn policy(mut self, change: impl FnOnce(&mut Policy)) -> Case {
        change(&mut self.policy);
        self
    }

    fn without_outputs_due(self) -> Case {
        Case { outputs_due: false, ..self }
    }
}

fn cases() -> Vec<Case> {
    use Becomes as B;
    let oom =
        End::Exited { exit_code: 137, reason: Some("OutOfMemoryError: Container killed due to memory usage".into()) };
    vec![
        case("OutputsPresent", B::Good, Does::exit(0).with_outputs()),
        case("OutputsPresent", B::Good, Does::exit(1).with_outputs()),
        case("OutputsPresent", B::Good, Does::exit(1).with_outputs().says(User, NonRecoverable)),
        case("NoOutputsDue", B::Good, Does::exit(0)).without_outputs_due(),
        case("TerminatedByUs", B::System, Does::hangs()).terminated("batchmap: enough"),
        case("UserRecoverable", B::User, Does::exit(1).says(User, Recoverable)),
        case("UserError", B::Failed(Origin::User), Does::exit(1).says(User, NonRecoverable)),
        case("UserError", B::Failed(Origin::User), Does::exit(1).says(User, NonRecoverable)).without_outputs_due(),
        case(
            "QueueTimeLimit",
            B::Failed(Origin::System),
            Does::lost("Canceled by JobStateTimeLimit action due to reason: CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"),
        ),
        case("TerminatedByOthers", B::Failed(Origin::User), Does::hangs()).terminated("by hand"),
        // Its worker, told to stop, takes that for a loss.
        case("TerminatedByOthers", B::Failed(Origin::User), Does::hangs().says(System, Recoverable))
            .terminated("by hand"),
        case("Timeout", B::Failed(Origin::User), Does::hangs()).policy(|policy| policy.timeout_ms = 1000),
        case("Timeout", B::User, Does::hangs())
            .policy(|policy| (policy.timeout_ms, policy.retry_timeouts) = (1000, true)),
        case("Timeout", B::Failed(Origin::User), Does::hangs().says(System, Recoverable))
            .policy(|policy| policy.timeout_ms = 1000),
        case("SystemRecoverable", B::System, Does::exit(76).says(System, Recoverable)),
        case("SystemError", B::Failed(Origin::System), Does::exit(76).says(System, NonRecoverable)),
        case("OutputsMissing", B::Failed(Origin::User), Does::exit(0)),
        case("HostLost", B::System, Does::end(End::HostLost)),
        case("HostLost", B::System, Does::end(End::HostLost)).without_outputs_due(),
        case("HostLost", B::System, Does::end(End::HostLost)).policy(|policy| policy.interruptible = true),
        case("SpotInterrupted", B::System, Does::lost("Your Spot Task was interrupted.")),
        case("DependencyFailed", B::Failed(Origin::System), Does::lost("Dependent Job failed")),
        case(
            "OverridesTooLong",
            B::Failed(Origin::User),
            Does::lost("Container Overrides length must be at most 8192"),
        ),
        case("TooManyTags", B::Failed(Origin::User), Does::lost("Tags can not be more than 50")),
        case("StartFailed", B::System, Does::cannot_start("CannotPullContainerError: the registry did not answer")),
        case("StartFailed", B::System, Does::lost("Task failed to start")),
        case("StartFailed", B::System, Does::end(End::Exited { exit_code: 1, reason: Some("AGENT".into()) })),
        case("OutOfMemory", B::Failed(Origin::User), Does::end(oom)),
        case("ExitRecoverable", B::User, Does::exit(75)),
        case("WorkerFailed", B::System, Does::exit(76)),
        case("WorkerFailed", B::System, Does::exit(76)).policy(|policy| policy.interruptible = true),
        case("Killed", B::System, Does::exit(137)),
        case("ExitCode", B::Failed(Origin::User), Does::exit(3)),
        case("ExitCode", B::Failed(Origin::User), Does::exit(3)).without_outputs_due(),
        case("Unknown", B::Failed(Origin::User), Does::lost("the moon is in the wrong phase")),
    ]
}

/// Drives an execution of `size` subtasks whose first does what the case says.
async fn check(case: Case, size: u64) {
    let world = World::new(size, case.outputs_due, case.policy, vec![case.does.clone()]).await;
    let mut driver = world.begin().await;
    let stop = async {
        let Some(reason) = case.terminated else { return std::future::pending().await };
        // What is run again is ended again; then it is alone in its array.
        for array in 0.. {
            tokio::time::sleep(Duration::from_secs(30)).await;
            let job = world.job(array).await;
            let child = if size == 1 || array > 0 { job } else { format!("{job}:0") };
            world.port.terminate(&child, reason).await.unwrap();
        }
        std::future::pending().await
    };
    tokio::select! {
        () = finish(&mut driver) => {}
        () = stop => unreachable!("it waits for ever"),
    }
    let (summary, starts) = (driver.execution().summary(), world.starts().len() as u32);
    let named = format!("{} as one of {size}: {summary:?}", case.row);
    let row = VERDICTS.iter().find(|row| row.name == case.row).expect("a row of the table");
    let (failed, started) = match case.becomes {
        Becomes::Good => (None, 1),
        Becomes::Failed(origin) => (Some(origin), 1),
        Becomes::User => (Some(Origin::User), 1 + RETRIES),
        Becomes::System => (Some(Origin::System), SYSTEM_ATTEMPTS),
    };
    assert_eq!((summary.failed, starts), (u64::from(failed.is_some()), started), "{named}");
    assert_eq!(summary.succeeded + summary.failed, size, "{named}");
    if let Some(origin) = failed {
        let failure = &summary.failures[0];
        let code = if row.by_document() { "ValueError" } else { case.row };
        assert_eq!((failure.code.as_str(), failure.origin, failure.first), (code, origin, 0), "{named}");
        let words = if row.by_document() { "it broke" } else { row.explanation.split(':').next().unwrap() };
        assert!(failure.message.starts_with(words), "{named}");
    }
    world.service.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn every_way_to_end_has_its_row_as_a_plain_job() {
    for case in cases() {
        check(case, 1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_way_to_end_has_its_row_as_a_child_of_an_array() {
    for case in cases() {
        check(case, 3).await;
    }
}

/// Batch starts it again for its reason, and it is in vain: the image is not there.
#[tokio::test(start_paused = true)]
async fn a_start_that_is_hopeless_is_batchs_to_repeat_and_then_final() {
    for size in [1, 3] {
        let does = Does::cannot_start("CannotPullContainerError: pull access denied for nope");
        let world = World::new(size, true, Policy { retries: RETRIES, ..Policy::default() }, vec![does]).await;
        let mut driver = world.begin().await;
        finish(&mut driver).await;
        let failures = driver.execution().summary().failures;
        assert_eq!((failures[0].code.as_str(), failures[0].origin), ("StartImpossible", Origin::User));
        assert_eq!(world.starts().len() as u32, SYSTEM_ATTEMPTS);
        world.service.shutdown().await;
    }
}

#[test]
fn no_row_is_left_out() {
    let elsewhere = ["StartImpossible", "Gone"];
    let tried: BTreeSet<&str> = cases().iter().map(|case| case.row).chain(elsewhere).collect();
    assert_eq!(tried, VERDICTS.iter().map(|row| row.name).collect());
    assert!("batchmap: enough".starts_with(OUR_REASON));
}

#[tokio::test(start_paused = true)]
async fn a_subtask_on_spot_has_exactly_one_last_start_on_demand() {
    let policy = Policy { retries: RETRIES, interruptible: true, ..Policy::default() };
    for size in [1, 3] {
        let world = World::new(size, true, policy, vec![Does::end(End::HostLost)]).await;
        let mut driver = world.begin().await;
        finish(&mut driver).await;
        let spot = vec!["batchmap-interruptible".to_owned(); SYSTEM_ATTEMPTS as usize - 1];
        assert_eq!(world.starts(), [spot, vec!["batchmap".to_owned()]].concat());
        world.service.shutdown().await;
    }
}

/// Losses and failures of its own, in whatever order: never more starts than both budgets.
#[tokio::test(start_paused = true)]
async fn the_worst_case_is_both_budgets_together() {
    let (lost, busy) = (Does::end(End::HostLost), Does::exit(75));
    let offline = Does::exit(76);
    for interruptible in [false, true] {
        for order in [
            [&lost, &busy, &lost, &busy, &lost, &busy],
            [&busy, &offline, &busy, &lost, &busy, &lost],
            [&offline, &busy, &offline, &busy, &busy, &busy],
            [&busy, &busy, &offline, &offline, &offline, &busy],
        ] {
            let does: Vec<Does> = order.into_iter().cloned().collect();
            let policy = Policy { retries: RETRIES, interruptible, ..Policy::default() };
            let world = World::new(3, true, policy, does).await;
            let mut driver = world.begin().await;
            finish(&mut driver).await;
            assert_eq!(driver.execution().summary().failed, 1, "{order:?}");
            let starts = world.starts();
            assert_eq!(starts.len() as u32, RETRIES + SYSTEM_ATTEMPTS, "{interruptible}: {order:?}: {starts:?}");
            if interruptible {
                assert_eq!(starts.last().map(String::as_str), Some("batchmap"), "{order:?}: {starts:?}");
            }
            world.service.shutdown().await;
        }
    }
}

/// Nobody drives for eight days, and Batch forgets what has ended.
#[tokio::test(start_paused = true)]
async fn a_job_that_batch_has_forgotten_is_judged_by_its_outputs() {
    for size in [1, 3] {
        for good in [true, false] {
            let does = Does { outputs: good, ..Does::exit(0) };
            let world = World::new(size, true, Policy::default(), vec![does]).await;
            let mut driver = world.begin().await;
            let left = tokio::time::timeout(Duration::from_millis(500), finish(&mut driver)).await;
            assert!(left.is_err(), "no child has ended yet");
            drop(driver);
            let job = world.job(0).await;
            tokio::time::sleep(Duration::from_secs(8 * 24 * 3600)).await;
            assert_eq!(world.port.describe(&[job]).await.unwrap(), [], "it is forgotten");
            world.now_does(Does::exit(0).with_outputs());
            let mut driver = world.take_over().await;
            finish(&mut driver).await;
            assert_eq!(driver.execution().summary().succeeded, size);
            assert_eq!(world.starts().len(), if good { 1 } else { 2 });
            world.service.shutdown().await;
        }
    }
}

/// Where nothing tells how often it was started, it is started once more, and not for ever.
#[tokio::test(start_paused = true)]
async fn a_forgotten_job_without_outputs_is_run_once_more() {
    let world = World::new(3, true, Policy::default(), vec![Does::exit(0), Does::end(End::HostLost)]).await;
    let mut driver = world.begin().await;
    assert!(tokio::time::timeout(Duration::from_millis(500), finish(&mut driver)).await.is_err());
    drop(driver);
    tokio::time::sleep(Duration::from_secs(8 * 24 * 3600)).await;
    let mut driver = world.take_over().await;
    finish(&mut driver).await;
    let summary = driver.execution().summary();
    assert_eq!((summary.failed, summary.failures[0].code.as_str()), (1, "HostLost"));
    assert_eq!(world.starts().len(), 2);
    world.service.shutdown().await;
}
