//! The driver's side of `cache_serialize`: what others compute is waited for, and what this execution has taken upon
//! itself stays known as its own for as long as somebody drives it.

use tokio::time::Instant;

use super::{DriveError, Driver};
use crate::map::cadence::{Cadence, Pace};
use crate::map::event::Event;
use crate::run::cache::{self, Beat, Pulse, Waits};

/// What a driver knows of other executions.
#[derive(Debug)]
pub(super) struct Sharing {
    pulse: Option<Pulse>,
    waits: Waits,
    cadence: Cadence,
    looked: Option<Instant>,
    more: bool,
    /// Whether this turn has had its look: one turn takes one, for others want to be heard as well.
    had: bool,
}

impl Sharing {
    pub(super) fn new(pace: Pace) -> Self {
        Sharing {
            pulse: None,
            waits: Waits::default(),
            cadence: Cadence::new(pace),
            looked: None,
            more: false,
            had: false,
        }
    }

    /// Nobody drives any more.
    pub(super) fn rest(&mut self) {
        self.pulse = None;
    }

    /// Whether something could be looked at at once.
    pub(super) fn has_more(&self) -> bool {
        self.more
    }

    fn is_due(&self) -> bool {
        !self.had && (self.more || self.looked.is_none_or(|looked| looked.elapsed() >= self.cadence.interval()))
    }
}

impl Driver {
    /// The same driver, knowing already whom its subtasks wait for.
    pub fn waiting_for(mut self, waits: Waits) -> Self {
        self.sharing.waits = waits;
        self
    }

    fn shares(&self) -> bool {
        cache::is_shared(&self.record) && self.execution.decision().is_none()
    }

    /// Shows the others that this execution is driven, before anything is planned. Where it was not for too long, they
    /// may have taken over what it had taken upon itself: all that is not submitted is then asked about anew.
    pub(super) async fn begin_sharing(&mut self) -> Result<(), DriveError> {
        self.sharing.had = false;
        if !self.shares() || self.sharing.pulse.is_some() {
            return Ok(());
        }
        let (store, root) = (&self.ports.store, &self.template.root);
        let beating = cache::is_beating(store.as_ref(), root, store.now().await?).await?;
        self.sharing.pulse = Some(Pulse::start(store.clone(), root, Beat::of(self.patience.pace)).await?);
        if beating { Ok(()) } else { self.ask_anew() }
    }

    fn ask_anew(&mut self) -> Result<(), DriveError> {
        let indices = self.execution.unsubmitted();
        if indices.is_empty() {
            return Ok(());
        }
        self.sharing.waits = Waits::default();
        (self.sharing.looked, self.sharing.more) = (None, true);
        self.take_in(Event::Held { indices, by: self.template.root.id().to_owned() })
    }

    /// One look at what others compute, when it is time for one; whether it has brought anything.
    pub(super) async fn share(&mut self) -> Result<bool, DriveError> {
        if !self.shares() {
            return Ok(false);
        }
        if self.sharing.pulse.as_ref().is_some_and(Pulse::has_lapsed) {
            self.ask_anew()?;
        }
        self.sharing.more &= !self.execution.held().is_empty();
        if self.execution.held().is_empty() || !self.sharing.is_due() {
            return Ok(false);
        }
        // What waits must be known to the next driver before anything is taken for it.
        self.flush().await?;
        let (store, root) = (&self.ports.store, &self.template.root);
        self.sharing.had = true;
        let looked = cache::look_again(store, root, &self.record, &self.execution, &mut self.sharing.waits).await?;
        let news = !looked.events.is_empty();
        looked.events.into_iter().try_for_each(|event| self.take_in(event))?;
        (self.sharing.looked, self.sharing.more) = (Some(Instant::now()), looked.more);
        self.sharing.cadence.polled(news);
        Ok(news)
    }
}
