//! The engine on the emulator's model under virtual time: whole executions with throttling, lost calls, lost hosts, failing
//! children and drivers that die at any moment, by the hundred. A seed replays exactly: `BATCHMAP_TEST_SEEDS=17..18`.

mod network;
mod script;
mod world;

use batchmap::map::event::Decision;

use world::World;

/// The seeds to run: `BATCHMAP_TEST_SEEDS`, or a number that CI has time for.
fn seeds() -> std::ops::Range<u64> {
    let given = std::env::var("BATCHMAP_TEST_SEEDS").ok();
    let range = given.as_deref().and_then(|text| {
        let (from, to) = text.split_once("..")?;
        Some(from.parse().ok()?..to.parse().ok()?)
    });
    range.unwrap_or(0..60)
}

/// A seed's runtime: one thread, and time that passes when nothing is left to do.
fn simulate(seed: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut world = World::new(seed).await;
        let decision = world.run().await;
        let oracle = world.oracle();
        match (&decision, oracle.enough) {
            (Decision::Succeeded, true) | (Decision::Failed { .. }, false) => {}
            other => panic!("seed {seed}: {other:?}, but {} of {} succeed", oracle.good.len(), world.size()),
        }
        if oracle.enough {
            assert_eq!(world.succeeded(), oracle.good, "seed {seed}");
        } else {
            assert!(world.succeeded().is_subset(&oracle.good), "seed {seed}");
        }
        world.check_batch();
        world.stop().await;
    });
}

#[test]
fn every_seed_ends_as_its_oracle_says() {
    for seed in seeds() {
        simulate(seed);
    }
}
