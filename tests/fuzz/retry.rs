//! `evaluateOnExit`: patterns and reasons of every kind, through the model that judges by them.

use batchmap::emulator::batch::model::{Effect, End, Input, Model};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::change::changed;
use crate::meter::metered;
use crate::{cases, corpus, seeds};

/// Attempts that Batch starts at most.
const MOST: usize = 10;

fn input<T: serde::de::DeserializeOwned>(body: Value) -> Option<T> {
    serde_json::from_value(body).ok()
}

fn model() -> Model {
    let mut model = Model::new("seed", 1);
    let container = json!({"image": "i", "command": ["run"],
        "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "128"}]});
    let definition = json!({"jobDefinitionName": "d", "type": "container", "containerProperties": container});
    model.apply(1, Input::Register(input(definition).unwrap())).unwrap();
    model
}

/// Submits with this strategy and lets every attempt end so; the answer is how many there were, if it was taken.
fn try_strategy(bytes: &[u8], end: &End) -> Option<usize> {
    let strategy: Value = serde_json::from_slice(bytes).ok()?;
    let body = json!({"jobName": "j", "jobQueue": "batchmap", "jobDefinition": "d", "retryStrategy": strategy.clone()});
    let submit = Input::Submit(input(body)?);
    let mut model = model();
    metered(bytes.len() + 4096, || {
        let mut effects = model.apply(2, submit).ok()?.effects;
        let mut attempts = 0;
        while let Some(Effect::Start(start)) = effects.pop() {
            attempts += 1;
            assert!(attempts <= MOST, "{strategy} starts without end");
            model.apply(3, Input::Started(start.attempt)).unwrap();
            effects = model.apply(4, Input::Ended(start.attempt, end.clone())).unwrap().effects;
        }
        assert_eq!(model.unfinished(), 0, "{strategy} leaves it waiting");
        Some(attempts)
    })
}

fn ends() -> Vec<End> {
    let exited = |code, reason: &str| End::Exited { exit_code: code, reason: Some(reason.to_owned()) };
    vec![
        End::exited(0),
        End::exited(1),
        exited(137, "OutOfMemoryError: Container killed due to memory usage"),
        exited(i32::MIN, "*"),
        End::StartFailed { reason: "CannotPullContainerError: i/o timeout".to_owned() },
        End::HostLost,
        End::Lost { status_reason: String::new() },
    ]
}

#[test]
fn the_corpus_of_strategies() {
    let mut taken = 0;
    for (_, bytes) in corpus("retry") {
        for end in ends() {
            taken += try_strategy(&bytes, &end).unwrap_or(0);
        }
    }
    assert!(taken > MOST, "some of the corpus is valid");
}

proptest! {
    #![proptest_config(cases(1500))]

    #[test]
    fn no_strategy_breaks_the_model(bytes in changed(seeds("retry")), end in prop::sample::select(ends())) {
        try_strategy(&bytes, &end);
    }

    /// What a pattern says is what it does: text, or the beginning of it.
    #[test]
    fn a_pattern_is_a_text_or_its_beginning(pattern in "[A-C :.]{0,4}", star in any::<bool>(), reason in "[A-C :.*]{0,5}") {
        let row = json!({"onReason": format!("{pattern}{}", if star { "*" } else { "" }), "action": "EXIT"});
        let strategy = json!({"attempts": 2, "evaluateOnExit": [row]}).to_string();
        let matches = if star { reason.starts_with(&pattern) } else { reason == pattern };
        let end = End::Exited { exit_code: 1, reason: Some(reason) };
        let attempts = try_strategy(strategy.as_bytes(), &end);
        prop_assert_eq!(attempts, Some(if matches { 1 } else { 2 }));
    }
}
