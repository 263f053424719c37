//! Every place where a driver can die or fall asleep: before and after each of its calls, one at a time. Of those who take
//! over from one that has died, some places.

use crate::dice::Dice;
use crate::gate::{Halt, How, LONG_SLEEP};
use crate::script::Script;
use crate::seeds::{all, simulate};

/// Places of the second and the third driver, of each size.
const LATER: u64 = 20;

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
    let draw = |number: u64| {
        let mut deaths = vec![dice.roll("death", &[number], calls)];
        if dice.hits("third", &[number], 40) {
            let second = simulate(quiet(size, dead(&deaths))).calls[1];
            deaths.push(dice.roll("death/second", &[number], second));
        }
        let next = simulate(quiet(size, dead(&deaths))).calls;
        let call = dice.roll("call", &[number], *next.get(deaths.len())?);
        Place::at(size, &deaths, call).nth(dice.roll("way", &[number], 3) as usize)
    };
    (0..LATER).filter_map(draw).collect()
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
