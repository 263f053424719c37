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
}

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
