//! What holds in every world: see [`super::world`].

use proptest::prelude::*;

use super::script::replay;
use super::world::{Sim, durable};
use crate::map::bitset::Outcome;
use crate::map::event::{Decision, Event};
use crate::map::execution::Terms;
use crate::map::index::OriginalIndex;
use crate::map::plan::{Packs, rolling_group};
use crate::map::task::{Completion, ConcurrencyMode};

fn any_terms(size: u64) -> impl Strategy<Value = Terms> {
    let mode = prop_oneof![Just(ConcurrencyMode::Rolling), Just(ConcurrencyMode::Batches)];
    let completion = prop_oneof![Just(Completion::Settled), Just(Completion::Satisfied)];
    let concurrency = prop_oneof![Just(0_u32), 1_u32..40];
    (0..=size, concurrency, mode, completion, 0_u32..4, any::<bool>(), any::<bool>()).prop_map(
        |(min_successes, concurrency, mode, completion, retries, interruptible, run_all)| Terms {
            min_successes,
            concurrency,
            mode,
            completion,
            retries,
            interruptible,
            run_all,
        },
    )
}

/// Some subtasks in packs of some size, and what was agreed.
pub fn any_execution(largest: u64) -> impl Strategy<Value = (Terms, Packs)> {
    (0..=largest, 1_u64..50).prop_flat_map(|(size, pack)| {
        let packs = Packs::new((0..size.max(1)).step_by(pack as usize).collect(), size);
        (any_terms(size), Just(packs))
    })
}

/// The decision is what the truth says, and so is every settled subtask.
fn check_outcome(sim: &Sim) -> Result<(), TestCaseError> {
    let terms = sim.machine.terms();
    let (outcomes, truth) = (sim.machine.outcomes(), sim.truth());
    let decision = sim.machine.decision().expect("it is over");
    if truth >= terms.min_successes {
        prop_assert_eq!(decision, &Decision::Succeeded);
        prop_assert!(outcomes.succeeded() >= terms.min_successes);
    } else {
        prop_assert!(matches!(decision, Decision::Failed { .. }), "{:?}", decision);
        prop_assert!(outcomes.failed() + terms.min_successes > outcomes.size());
    }
    let whole = terms.run_all || *decision == Decision::Succeeded;
    if whole && terms.completion == Completion::Settled {
        prop_assert_eq!(outcomes.outstanding(), 0);
        prop_assert_eq!(outcomes.succeeded(), truth);
    }
    prop_assert_eq!(sim.machine.open().count(), 0);
    Ok(())
}

proptest! {
    #[test]
    fn an_execution_ends_as_the_truth_says((terms, packs) in any_execution(60), seed: u64, crashes in 0_u64..8) {
        let mut sim = Sim::new(terms, packs, seed, crashes);
        sim.run();
        check_outcome(&sim)?;
    }

    #[test]
    fn an_abort_ends_it_whenever_it_comes((terms, packs) in any_execution(40), seed: u64, after in 0_usize..30) {
        let mut sim = Sim::new(terms, packs, seed, 3);
        let over = (0..after).any(|_| sim.step());
        if !over {
            sim.abort();
            // A driver that dies before it has journalled the request never heard of it.
            sim.run();
            let asked = sim.journal.iter().position(|event| matches!(event, Event::AbortRequested { .. }));
            let decided = sim.journal.iter().position(|event| matches!(event, Event::Decided { .. }));
            let aborted = matches!(sim.machine.decision(), Some(Decision::Aborted { .. }));
            let heard = asked.is_some_and(|asked| Some(asked) < decided);
            prop_assert!(heard || !aborted);
            // What had succeeded by then has succeeded.
            let (terms, outcomes) = (sim.machine.terms(), sim.machine.outcomes());
            let through = outcomes.succeeded() >= terms.min_successes
                && (outcomes.outstanding() == 0 || terms.completion == Completion::Satisfied);
            prop_assert!(aborted || !heard || through);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn rolling_does_not_cost_too_many_calls(size in 1_u64..1_000, concurrency in 1_u32..200, retries in 0_u32..2, seed: u64) {
        let terms = Terms {
            min_successes: size,
            concurrency,
            mode: ConcurrencyMode::Rolling,
            completion: Completion::Settled,
            retries,
            interruptible: false,
            run_all: true,
        };
        let packs = Packs::new((0..size).step_by(700).collect(), size);
        let mut sim = Sim::new(terms, packs, seed, 0);
        sim.replays = false;
        sim.run();
        let (mut groups, mut retried) = (0_u64, 0_u64);
        let mut fresh = 0;
        for event in &sim.journal {
            if let Event::Planned { members, .. } = event {
                let new = members.ranges().spans()[0].0 >= fresh;
                if new {
                    fresh += u64::from(members.len());
                    groups += 1;
                } else {
                    retried += 1;
                }
            }
        }
        let packs = size.div_ceil(700);
        prop_assert!(groups <= size / u64::from(rolling_group(concurrency)) + packs + 1);
        prop_assert!(groups <= 20 * size / u64::from(concurrency) + packs + 1, "{} groups", groups);
        prop_assert!(retried <= sim.runs.iter().map(|runs| u64::from(runs - 1)).sum());
    }

    #[test]
    fn any_prefix_of_the_journal_is_a_way_on((terms, packs) in any_execution(14), seed: u64) {
        let mut sim = Sim::new(terms, packs, seed, 0);
        // The world as it was after each turn, with whatever was under way.
        let mut moments = vec![sim.clone()];
        while !sim.step() {
            moments.push(sim.clone());
            prop_assert!(moments.len() < 5_000);
        }
        check_outcome(&sim)?;
        for mut moment in moments {
            moment.crash();
            moment.run();
            check_outcome(&moment)?;
        }
    }

    #[test]
    fn a_replay_only_goes_forward((terms, packs) in any_execution(30), seed: u64) {
        let mut sim = Sim::new(terms, packs, seed, 2);
        sim.run();
        let (mut settled, mut last) = (0, None);
        for end in 0..=sim.journal.len() {
            let machine = replay(sim.machine.terms(), sim.machine.packs(), &sim.journal[..end]);
            let now = machine.outcomes().size() - machine.outcomes().outstanding();
            prop_assert!(now >= settled);
            prop_assert!(last.is_none() || machine.decision() == last.as_ref(), "a decision never changes");
            (settled, last) = (now, machine.decision().cloned());
        }
        let whole = replay(sim.machine.terms(), sim.machine.packs(), &sim.journal);
        prop_assert_eq!(durable(&whole), durable(&sim.machine));
        for index in (0..whole.outcomes().size()).map(OriginalIndex) {
            let ran = sim.runs[index.0 as usize] > 0;
            prop_assert!(ran || whole.outcomes().get(index) == Outcome::Outstanding);
        }
    }
}
