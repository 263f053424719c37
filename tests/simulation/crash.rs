//! Every place where a driver can die or fall asleep: before and after each of its calls, one at a time. Of those who take
//! over from one that has died, some places.

use crate::dice::Dice;
use crate::gate::{Halt, How, LONG_SLEEP};
use crate::script::Script;
use crate::seeds::{all, simulate};

/// Rows of drivers that take over from one another, of each size; in the first of them it is the third that is disturbed.
const ROWS: u64 = 3;

/// Places of the last driver of each row.
const LATER: u64 = 8;

/// A small script, disturbed at one place.
#[derive(Clone, Debug)]
struct Place {
    size: u64,
    /// The calls at which the drivers before have died.
    deaths: Vec<u64>,
    call: u64,
    answered: bool,
    dies: bool,
}

impl Place {
    fn script(&self) -> Script {
        let how = if self.dies { How::Dies } else { How::Sleeps(LONG_SLEEP) };
        let mut halts = dead(&self.deaths);
        halts.push(Halt { driver: self.deaths.len() as u64, call: self.call, answered: self.answered, how });
        quiet(self.size, halts)
    }

    /// How it is asked for: `BATCHMAP_TEST_PLACE`.
    fn name(&self) -> String {
        let deaths: String = self.deaths.iter().map(|call| format!("{call}/")).collect();
        let when = if self.answered { "after" } else { "before" };
        format!("{}/{deaths}{}/{when}/{}", self.size, self.call, if self.dies { "dies" } else { "sleeps" })
    }

    /// All three ways of this driver's call `call`. Asleep after a call is asleep before the next one.
    fn at(size: u64, deaths: &[u64], call: u64) -> impl Iterator<Item = Place> {
        let ways = [(false, true), (true, true), (false, false)];
        let deaths = deaths.to_vec();
        ways.into_iter().map(move |(answered, dies)| Place { size, deaths: deaths.clone(), call, answered, dies })
    }
}

/// Drivers that die, each after one of its calls.
fn dead(deaths: &[u64]) -> Vec<Halt> {
    let one = |(driver, call): (u64, &u64)| Halt { driver, call: *call, answered: true, how: How::Dies };
    (0..).zip(deaths).map(one).collect()
}

/// The quiet script of so many subtasks; they differ in their policies and their children.
fn quiet(size: u64, halts: Vec<Halt>) -> Script {
    Script::quiet(1000 + size, size, halts)
}

/// Some places of the second and of the third driver.
fn later(size: u64, calls: u64) -> Vec<Place> {
    let dice = Dice(size);
    let mut places = Vec::new();
    for row in 0..ROWS {
        let mut deaths = vec![dice.roll("death", &[row], calls)];
        let Some(mut next) = simulate(quiet(size, dead(&deaths))).calls.get(1).copied() else { continue };
        if row == 0 {
            deaths.push(dice.roll("death/second", &[row], next));
            let Some(third) = simulate(quiet(size, dead(&deaths))).calls.get(2).copied() else { continue };
            next = third;
        }
        for number in 0..LATER {
            let call = dice.roll("call", &[row, number], next);
            places.extend(Place::at(size, &deaths, call).nth(dice.roll("way", &[row, number], 3) as usize));
        }
    }
    places
}

#[test]
fn every_place_of_small_executions_may_be_a_drivers_last() {
    let mut places = Vec::new();
    for size in 0..=20 {
        let calls = simulate(quiet(size, Vec::new())).calls[0];
        places.extend((0..calls).flat_map(|call| Place::at(size, &[], call)));
        places.extend(later(size, calls));
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
