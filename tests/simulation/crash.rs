//! Every place where a driver can die or fall asleep: before and after each of its calls, one at a time.

use crate::gate::{Halt, How, LONG_SLEEP};
use crate::script::Script;
use crate::seeds::{all, simulate};

/// A small script, disturbed at one place.
#[derive(Clone, Copy, Debug)]
struct Place {
    size: u64,
    call: u64,
    answered: bool,
    dies: bool,
}

impl Place {
    fn script(&self) -> Script {
        let how = if self.dies { How::Dies } else { How::Sleeps(LONG_SLEEP) };
        quiet(self.size, vec![Halt { driver: 0, call: self.call, answered: self.answered, how }])
    }

    /// How it is asked for: `BATCHMAP_TEST_PLACE`.
    fn name(&self) -> String {
        let when = if self.answered { "after" } else { "before" };
        format!("{}/{}/{when}/{}", self.size, self.call, if self.dies { "dies" } else { "sleeps" })
    }
}

/// The quiet script of so many subtasks; they differ in their policies and their children.
fn quiet(size: u64, halts: Vec<Halt>) -> Script {
    Script::quiet(1000 + size, size, halts)
}

#[test]
fn every_place_of_small_executions_may_be_a_drivers_last() {
    let mut places = Vec::new();
    for size in 0..=20 {
        let calls = simulate(quiet(size, Vec::new())).calls[0];
        // Asleep after a call is asleep before the next one.
        for (call, answered, dies) in
            (0..calls).flat_map(|call| [(call, false, true), (call, true, true), (call, false, false)])
        {
            places.push(Place { size, call, answered, dies });
        }
    }
    let wanted = std::env::var("BATCHMAP_TEST_PLACE").ok();
    places.retain(|place| wanted.as_ref().is_none_or(|wanted| *wanted == place.name()));
    all(
        &places,
        |place| drop(simulate(place.script())),
        |place| format!("BATCHMAP_TEST_PLACE={} cargo test --test simulation every_place", place.name()),
    );
    println!("{} places", places.len());
}
