//! Removing one execution: after a second look, and in an order that leaves nothing half alive.
//!
//! Another command may begin to rely on it in the same moment (`batchmap recover`). Each of the two writes first and
//! looks then: recover writes its record, which names what it relies on, and looks whether that is still there; this
//! takes the record away, and looks whether anybody relies on it. Whatever the order, one of them sees the other. Where
//! both do, the record comes back, and recover is told to try again.

use bytes::Bytes;

use super::pages::pages;
use super::survey::{self, Standing};
use super::{Amount, Gc, Kept, Removed, State, Why};
use crate::aws::store::{Listed, StoreError};

impl Gc<'_> {
    /// Removes an execution, unless something has changed since it was chosen.
    pub(super) async fn remove_one(&mut self, id: &str) -> Result<(), StoreError> {
        if !self.chosen.contains(id) {
            return Ok(());
        }
        if self.has_changed(id).await? {
            self.chosen.remove(id);
            // What it relies on stays with it: those are older, and their turn is still to come.
            self.keep_what_is_relied_on();
            self.read_names_of(id).await?;
            self.report.kept.push(Kept { id: id.to_owned(), why: Why::Changed });
            return Ok(());
        }
        let mut amount = Amount::default();
        let record = self.take_record(id, &mut amount).await?;
        self.look_for_new_ones().await?;
        if !self.chosen.contains(id) {
            return self.put_back(id, record).await;
        }
        let root = self.root(id);
        let (journal, task) = (root.journal(), root.task());
        self.remove_under(root.everything(), &mut amount, |object| {
            object.key.starts_with(&journal) || object.key == task
        })
        .await?;
        let raw = root.raw();
        let is_named = |file: &Listed| self.names.has(id, file.key.strip_prefix(&raw).unwrap_or_default());
        let named = self.remove_under(raw.clone(), &mut amount, is_named).await?;
        self.remove_under(journal, &mut amount, |_| false).await?;
        if amount.objects == 0 {
            self.report.kept.push(Kept { id: id.to_owned(), why: Why::Named });
            return Ok(());
        }
        let state = match self.found.get(id).map(|found| &found.standing) {
            Some(Standing::Still(state)) => Some(*state),
            Some(Standing::Unreadable(_)) => Some(State::Damaged),
            _ => None,
        };
        self.report.removed.push(Removed { id: id.to_owned(), state, amount, named });
        Ok(())
    }

    /// Looks again at the execution itself; whether it has changed.
    async fn has_changed(&mut self, id: &str) -> Result<bool, StoreError> {
        let now = survey::look(self.store, &self.root(id)).await?;
        let changed = self
            .found
            .get(id)
            .is_none_or(|before| before.standing != now.standing || before.newest_ms != now.newest_ms);
        self.found.insert(id.to_owned(), now);
        Ok(changed)
    }

    /// Takes the record away: from now on it is no execution to any command.
    async fn take_record(&self, id: &str, amount: &mut Amount) -> Result<Option<Bytes>, StoreError> {
        let key = self.root(id).task();
        let found = self.store.list(&key, None).await?.objects.into_iter().find(|object| object.key == key);
        let Some(object) = found else { return Ok(None) };
        let body = match self.store.get(&key).await {
            Ok(body) => body,
            Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        amount.add(&object);
        self.remove_objects(std::slice::from_ref(&object)).await?;
        Ok(Some(body))
    }

    /// Looks at executions that have come since, which may rely on this one or name its files.
    async fn look_for_new_ones(&mut self) -> Result<(), StoreError> {
        let new = self.survey().await?;
        for other in &new {
            self.read_names_of(other).await?;
        }
        for flow in self.look_for_new_flows().await? {
            self.read_names_of_flow(&flow).await?;
        }
        // New ones are too young to go, and are listed as such.
        self.report.kept.extend(new.iter().map(|id| Kept { id: id.clone(), why: Why::Young }));
        self.keep_what_is_relied_on();
        Ok(())
    }

    /// Somebody relies on it since a moment ago: it stays.
    async fn put_back(&self, id: &str, record: Option<Bytes>) -> Result<(), StoreError> {
        match record {
            Some(record) if !self.options.dry_run => self.store.put(&self.root(id).task(), record).await,
            _ => Ok(()),
        }
    }

    /// Removes what is under a prefix, page by page, but for what `stays`; answers with how much that is.
    pub(super) async fn remove_under(
        &self,
        prefix: String,
        amount: &mut Amount,
        stays: impl Fn(&Listed) -> bool,
    ) -> Result<Amount, StoreError> {
        let mut kept = Amount::default();
        let mut pages = pages(self.store.as_ref(), prefix);
        while let Some(page) = pages.next().await? {
            let (stay, go): (Vec<Listed>, Vec<Listed>) = page.into_iter().partition(&stays);
            self.remove_objects(&go).await?;
            go.iter().for_each(|object| amount.add(object));
            stay.iter().for_each(|object| kept.add(object));
        }
        Ok(kept)
    }

    /// Removes objects, in a dry run none.
    pub(super) async fn remove_objects(&self, objects: &[Listed]) -> Result<(), StoreError> {
        if self.options.dry_run || objects.is_empty() {
            return Ok(());
        }
        let keys: Vec<String> = objects.iter().map(|object| object.key.clone()).collect();
        self.store.delete_many(&keys).await
    }
}
