//! One suite of checks over the ports, for every endpoint: in this process, over HTTP, and whatever the environment names.
//!
//! | variable | what it names |
//! | --- | --- |
//! | `BATCHMAP_TEST_BATCH_ENDPOINT`, `BATCHMAP_TEST_BATCH_QUEUE` | another endpoint that speaks Batch and Logs, and its queue |
//! | `BATCHMAP_TEST_S3_ENDPOINT`, `BATCHMAP_TEST_S3_BUCKET` | another endpoint that speaks S3 |
//! | `BATCHMAP_TEST_S3_RACES=no` | its conditional writes are not atomic |
//! | `BATCHMAP_TEST_AWS_PROFILE`, `BATCHMAP_TEST_AWS_QUEUE`, `BATCHMAP_TEST_AWS_BUCKET` | an account of AWS: some 60 containers of a second or two |
//! | `BATCHMAP_TEST_AWS_PLATFORM`, `..._EXECUTION_ROLE`, `..._IMAGE` | for a Fargate queue, or another image with `sh` |
//! | `BATCHMAP_TEST_SLOW` | anything: minutes may be spent waiting for a timeout |

#[path = "../support/emulator.rs"]
mod emulator;
mod endpoints;
mod jobs;
mod lists;
mod logs;
mod place;
mod refusals;
#[path = "../support/skip.rs"]
mod skip;
mod stops;
mod store;
mod suite;

use batchmap::aws::memory::MemoryStore;
use batchmap::aws::sdk::{Target, connect};
use emulator::{NAME, Setting};
use endpoints::{Direct, over_sdk, variable};
use skip::skipped;

/// An emulator that does not note what IAM would be asked: the suite calls the ports by hand, as no execution does.
fn unrecorded() -> Setting {
    Setting::default().env("BATCHMAP_RECORD", "")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batch_in_this_process() {
    let direct = Direct::start();
    suite::all(direct.place()).await;
    direct.stop().await;
}

/// What takes minutes otherwise, in time that passes as fast as nothing is left to do.
#[tokio::test(start_paused = true)]
async fn timeouts_in_simulated_time() {
    let direct = Direct::simulated();
    let mut place = direct.place();
    place.patient = true;
    jobs::an_attempt_has_its_time(&place).await;
    direct.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batch_over_http() {
    let emulator = unrecorded().args(["--slots", "4"]).start();
    suite::all(over_sdk(Some(emulator.url()), NAME).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_batch() {
    match (variable("BATCH_ENDPOINT"), variable("BATCH_QUEUE")) {
        (Some(endpoint), Some(queue)) => suite::all(over_sdk(Some(&endpoint), &queue).await).await,
        _ => skipped("BATCHMAP_TEST_BATCH_ENDPOINT and BATCHMAP_TEST_BATCH_QUEUE name no other endpoint"),
    }
}

/// The part of the next test that runs in an environment of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by aws_itself"]
async fn as_the_profile_says() {
    let Some(queue) = variable("AWS_QUEUE") else { return };
    let place = over_sdk(None, &queue).await;
    suite::all(endpoints::on_aws(place)).await;
    if let Some(bucket) = variable("AWS_BUCKET") {
        let clients = connect(&Target { bucket, ..Target::default() }).await;
        store::all(&*clients.store, &format!("batchmap-test-{}", std::process::id())).await;
    }
}

#[test]
fn aws_itself() {
    let (Some(profile), Some(_)) = (variable("AWS_PROFILE"), variable("AWS_QUEUE")) else {
        return skipped("BATCHMAP_TEST_AWS_PROFILE and BATCHMAP_TEST_AWS_QUEUE name no account");
    };
    let mut command = std::process::Command::new(std::env::current_exe().expect("this test"));
    command.args(["--exact", "as_the_profile_says", "--ignored", "--nocapture"]).env("AWS_PROFILE", profile);
    assert!(command.status().expect("it runs").success());
}

/// A caller reads the same error whichever way it came.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_are_the_same_in_process_and_over_http() {
    let (direct, emulator) = (Direct::start(), unrecorded().start());
    let (near, far) = (direct.place(), over_sdk(Some(emulator.url()), NAME).await);
    let mut request = near.request("same", 2, "true").await;
    far.register(request.definition.rsplit_once('/').and_then(|(_, name)| name.split(':').next()).expect("a name"))
        .await;
    request.size = 10_001;
    assert_eq!(near.batch.submit(&request).await, far.batch.submit(&request).await);
    (request.size, request.queue) = (2, "none".to_owned());
    assert_eq!(near.batch.submit(&request).await, far.batch.submit(&request).await);
    let ids: Vec<String> = (0..101).map(|n| n.to_string()).collect();
    assert_eq!(near.batch.describe(&ids).await, far.batch.describe(&ids).await);
    assert_eq!(near.batch.list_named("none", "x", None).await, far.batch.list_named("none", "x", None).await);
    assert_eq!(near.batch.terminate("x", "").await, far.batch.terminate("x", "").await);
    let mut definition = place::small();
    definition.name = "bad name".to_owned();
    assert_eq!(near.batch.register(&definition).await, far.batch.register(&definition).await);
    let told = |error: batchmap::aws::logs::LogsError| error.to_string();
    let page = async |place: &place::Place, token| place.logs.page("g", "s", token).await.map_err(told);
    assert_eq!(page(&near, None).await, page(&far, None).await);
    assert_eq!(page(&near, Some("x")).await, page(&far, Some("x")).await);
    direct.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_in_memory() {
    store::all(&MemoryStore::new("bucket"), "suite").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_over_http() {
    let emulator = unrecorded().start();
    let target = Target { endpoint: Some(emulator.url().to_owned()), bucket: NAME.to_owned(), ..Target::default() };
    store::all(&*connect(&target).await.store, "suite").await;
}

/// Runs against the endpoint and bucket that the environment names, for example moto.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_store() {
    let (Some(endpoint), Some(bucket)) = (variable("S3_ENDPOINT"), variable("S3_BUCKET")) else {
        return skipped("BATCHMAP_TEST_S3_ENDPOINT and BATCHMAP_TEST_S3_BUCKET name no other endpoint");
    };
    let clients = connect(&Target { endpoint: Some(endpoint), bucket, ..Target::default() }).await;
    let root = format!("suite-{}", std::process::id());
    if variable("S3_RACES").is_some_and(|races| races == "no") {
        skipped("racing creates on the other endpoint: BATCHMAP_TEST_S3_RACES is no");
        store::but_for_races(&*clients.store, &root).await;
    } else {
        store::all(&*clients.store, &root).await;
    }
}
