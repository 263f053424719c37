//! Counts to a phase, and failures folded into index ranges.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::event::{Decision, Failure, Source};
use super::execution::Execution;
use super::policy::Origin;
use super::ranges::Ranges;
use super::status::Phase;
use super::stuck::Stuck;

/// How many different failures are kept apart; further ones are counted together. A list of 10,000 different messages
/// helps nobody, and every one is still in its subtask's error document.
pub const MAX_FOLDS: usize = 100;

/// The code and the words of failures that are counted together.
pub const OTHERS: (&str, &str) = ("Others", "other errors; see each subtask's log");

/// Failures with equal words, folded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailureFold {
    folds: BTreeMap<(Origin, String, String), Ranges>,
}

/// One kind of failure and the subtasks that ended in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Folded {
    /// Which subtasks, as `[0-3],[7]`.
    pub indices: String,
    /// How many.
    pub count: u64,
    /// The first of them: the one whose log to look at.
    pub first: u64,
    /// Who is to blame.
    pub origin: Origin,
    /// The error's code.
    pub code: String,
    /// What went wrong.
    pub message: String,
}

/// One kind of failure, as a snapshot keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fold {
    pub(super) origin: Origin,
    pub(super) code: String,
    pub(super) message: String,
    pub(super) indices: Ranges,
}

impl FailureFold {
    /// Every kind of failure, as it is kept.
    pub(super) fn folds(&self) -> Vec<Fold> {
        let fold = |((origin, code, message), indices): (&(Origin, String, String), &Ranges)| Fold {
            origin: *origin,
            code: code.clone(),
            message: message.clone(),
            indices: indices.clone(),
        };
        self.folds.iter().map(fold).collect()
    }

    /// The fold that [`FailureFold::folds`] was taken of.
    pub(super) fn from_folds(folds: Vec<Fold>) -> Self {
        let folds = folds.into_iter().map(|Fold { origin, code, message, indices }| ((origin, code, message), indices));
        FailureFold { folds: folds.collect() }
    }

    /// Adds the subtasks `indices` that ended in `failure`.
    pub fn add(&mut self, indices: &Ranges, failure: &Failure) {
        if indices.is_empty() {
            return;
        }
        let mut key = (failure.origin, failure.code.clone(), failure.message.clone());
        if self.folds.len() >= MAX_FOLDS && !self.folds.contains_key(&key) {
            key = (failure.origin, OTHERS.0.to_owned(), OTHERS.1.to_owned());
        }
        let folded = self.folds.entry(key).or_default();
        *folded = folded.union(indices);
    }

    /// The kinds of failure, the most frequent first.
    pub fn list(&self) -> Vec<Folded> {
        let mut list: Vec<Folded> = self
            .folds
            .iter()
            .map(|((origin, code, message), indices)| Folded {
                indices: indices.to_string(),
                count: indices.len(),
                first: indices.iter().next().map_or(0, |index| index.0),
                origin: *origin,
                code: code.clone(),
                message: message.clone(),
            })
            .collect();
        list.sort_by_key(|folded| (std::cmp::Reverse(folded.count), folded.first));
        list
    }
}

/// Where an execution stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// In Flyte's words.
    pub phase: Phase,
    /// Why it ended, when it has not succeeded.
    pub reason: Option<String>,
    /// Subtasks in all.
    pub size: u64,
    /// Subtasks that must succeed.
    pub min_successes: u64,
    /// Subtasks that have.
    pub succeeded: u64,
    /// Subtasks among those whose outputs were there before anything ran.
    pub reused: u64,
    /// Subtasks among those whose outputs came from the cache; the others' are those of earlier executions.
    pub cached: u64,
    /// Subtasks that have failed for good.
    pub failed: u64,
    /// Subtasks whose children run, by Batch's newest counts.
    pub running: u64,
    /// Subtasks whose children have ended and are not judged yet, by Batch's newest counts.
    pub settling: u64,
    /// Subtasks with Batch that do not run yet.
    pub queued: u64,
    /// Subtasks that no array holds: not submitted yet, or waiting to be run again.
    pub waiting: u64,
    /// Subtasks without a result that nothing waits for any more: the outcome was decided without them.
    pub dropped: u64,
    /// Subtasks that wait for cached outputs which somebody else is computing: another execution, or an equal subtask.
    pub held: u64,
    /// Subtasks that needed more than one attempt of ours.
    pub retried: u64,
    /// Arrays planned so far.
    pub arrays: u64,
    /// Failures, the most frequent first.
    pub failures: Vec<Folded>,
    /// Why queued ones do not start, where that is known: from AWS, not from the journal.
    pub stuck: Option<Stuck>,
    /// What the driver looks for in AWS, in words, while something waits for that.
    pub looking: Option<String>,
}

impl Summary {
    /// The summary of `execution`, failures included.
    pub(super) fn of(execution: &Execution) -> Self {
        Summary { failures: execution.failures().list(), ..Summary::counts(execution) }
    }

    /// The same without the failures, whose text can be long: cheap enough for every poll.
    pub(super) fn counts(execution: &Execution) -> Self {
        let outcomes = execution.outcomes();
        let open = || execution.open().map(|(_, array)| array);
        let held: u64 = open().map(|array| u64::from(array.held().0)).sum();
        let running: u64 = open().map(|array| u64::from(array.held().1)).sum();
        let members: u64 = open().map(|array| u64::from(array.members.len()) - array.judged()).sum();
        let (phase, reason) = phase(execution);
        // Once the outcome is decided nothing is submitted any more.
        let unheld = outcomes.outstanding().saturating_sub(members);
        let elsewhere = execution.waiting_for_others().min(unheld);
        let (waiting, for_others, dropped) =
            if execution.decision().is_none() { (unheld - elsewhere, elsewhere, 0) } else { (0, 0, unheld) };
        Summary {
            phase,
            reason,
            size: outcomes.size(),
            min_successes: execution.terms().min_successes,
            succeeded: outcomes.succeeded(),
            reused: execution.reused().values().map(Ranges::len).sum(),
            cached: execution.reused().get(&Source::Cache).map_or(0, Ranges::len),
            failed: outcomes.failed(),
            running,
            settling: members.saturating_sub(held),
            queued: held - running,
            waiting,
            held: for_others,
            dropped,
            retried: execution.retried(),
            arrays: execution.arrays().len() as u64,
            failures: Vec::new(),
            stuck: None,
            looking: None,
        }
    }
}

fn phase(execution: &Execution) -> (Phase, Option<String>) {
    let over = execution.finished().is_some();
    let (going, ended, reason) = match execution.decision() {
        Some(Decision::Succeeded) => (Phase::Succeeding, Phase::Succeeded, None),
        Some(Decision::Failed { reason } | Decision::Refused { reason }) => {
            (Phase::Failing, Phase::Failed, Some(reason.clone()))
        }
        Some(Decision::Aborted { reason }) => (Phase::Aborting, Phase::Aborted, Some(reason.clone())),
        None if execution.arrays().is_empty() => (Phase::Queued, Phase::Queued, None),
        None => (Phase::Running, Phase::Running, None),
    };
    (if over { ended } else { going }, reason)
}
