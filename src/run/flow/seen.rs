//! What a server remembers of executions that others drive, so that a look costs what has changed since the last one.

use std::collections::BTreeSet;

use super::Host;
use super::log::{self, LogError};
use super::view::{ViewError, server_of};
use crate::idl::core::WorkflowExecutionIdentifier;

/// What is known of one execution.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Who has taken it on last, as far as has been read.
    owner: Option<String>,
    /// Records that have been read.
    records: u64,
    /// What is stored of it makes no sense here, and no look will change that.
    given_up: bool,
    /// How often it was taken up here without being driven at the next look.
    taken_up: u32,
    /// Looks to pass before it is taken up once more.
    rest: u32,
}

/// The longest rest is two to the power of this, in looks.
const LONGEST_REST: u32 = 5;

impl Seen {
    /// Whether nobody drives the execution. `alive` are the servers that give signs of life; `old` is whether its mark is
    /// older than a server takes to begin.
    ///
    /// While the server that was found last gives signs, nothing is read: if another one has taken the execution from it
    /// since, it has noticed, and looks after it as everybody does.
    ///
    /// # Errors
    /// When its journal cannot be read.
    pub(super) async fn is_orphan(
        &mut self,
        host: &Host,
        id: &WorkflowExecutionIdentifier,
        alive: &BTreeSet<String>,
        old: bool,
    ) -> Result<bool, LogError> {
        // What this server has taken on and does not drive has been put down by it: it is over, or S3 failed it.
        let driven = |owner: &Option<String>| owner.as_ref().is_some_and(|it| *it != host.server && alive.contains(it));
        if self.given_up || driven(&self.owner) {
            return Ok(false);
        }
        let new = log::read(host.ports.store.as_ref(), &host.root.flow(id), self.records + 1).await?;
        self.records += new.len() as u64;
        self.owner = server_of(&new).or(self.owner.take());
        Ok(match &self.owner {
            Some(_) => !driven(&self.owner),
            None => old,
        })
    }

    /// Notes that it was taken up. What is put down again at once is left alone for longer each time: each start is a record
    /// of its journal.
    pub(super) fn taken_up(&mut self) {
        self.rest = (1 << self.taken_up.min(LONGEST_REST)) - 1;
        self.taken_up += 1;
    }

    /// Whether it is to be left alone at this look.
    pub(super) fn rests(&mut self) -> bool {
        let rests = self.rest > 0;
        self.rest = self.rest.saturating_sub(1);
        rests
    }

    /// Notes that an execution cannot be taken up, for good unless it is S3 that failed.
    pub(super) fn give_up(&mut self, id: &WorkflowExecutionIdentifier, error: &ViewError) {
        let of_store = matches!(error, ViewError::Store(_) | ViewError::Log(LogError::Store(_)));
        self.given_up = !of_store;
        if self.given_up {
            tracing::error!(execution = id.name, %error, "this execution cannot be taken up here");
        } else {
            tracing::warn!(execution = id.name, %error, "this execution cannot be taken up now");
        }
    }
}
