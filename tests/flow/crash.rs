//! A host dies after each of its writes in turn, and another one goes on: each node is launched once, and what comes of it
//! is the same.

use batchmap::run::flow::CreateError;

use super::world::{IMPATIENT, PATIENT, World, assert_done, eventually, record};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_dies_after_any_write_is_replaced() {
    dies_after_any_write(World::new).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_whose_children_have_no_worker_is_replaced_too() {
    dies_after_any_write(World::stock).await;
}

async fn dies_after_any_write(make: fn() -> World) {
    let mut deaths = 0;
    loop {
        let world = make();
        let (first, line) = world.open("first", PATIENT);
        // The sign of life comes first, from a task of its own.
        eventually("a sign of life", async || !world.keys("servers/").is_empty()).await;
        line.dies_after(deaths);
        let made = first.create(record("e")).await;
        eventually("its death, or the end", async || {
            let over = world.keys("running/").is_empty() && made.is_ok();
            over || (line.is_dead() && first.driven() == 0)
        })
        .await;
        let dead = line.is_dead();
        if made.is_err() {
            assert!(matches!(made, Err(CreateError::Store(_))), "{made:?}");
        }
        let (second, _) = world.open("second", IMPATIENT);
        if world.keys("spec.pb").is_empty() {
            // It was never made: nothing of it stays.
            eventually("the marks to go", async || world.keys("running/").is_empty()).await;
            assert_eq!(world.keys("index/"), [""; 0], "after {deaths} writes");
        } else {
            assert_done(&world, &second, "e").await;
            assert_eq!(world.map_executions().len(), 2, "after {deaths} writes: {:?}", world.map_executions());
            assert_eq!(world.batch.submits(), 2, "after {deaths} writes: {:?}", world.batch.calls());
            eventually("the mark to go", async || world.keys("running/").is_empty()).await;
        }
        second.stop().await;
        first.stop().await;
        if !dead {
            break;
        }
        deaths += 1;
    }
    assert!(deaths > 15, "only {deaths} writes");
}
