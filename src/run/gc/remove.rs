//! Removing one execution: after a second look, and in an order that leaves nothing half alive.

use super::survey::{self, Standing};
use super::{Amount, Gc, Kept, Removed, Why};
use crate::aws::store::{Listed, StoreError};

impl Gc<'_> {
    /// Removes an execution, unless something has changed since it was chosen.
    pub(super) async fn remove_one(&mut self, id: &str) -> Result<(), StoreError> {
        if !self.chosen.contains(id) {
            return Ok(());
        }
        if let Some(why) = self.second_thoughts(id).await? {
            self.chosen.remove(id);
            // What it relies on stays with it: those are older, and their turn is still to come.
            self.keep_what_is_relied_on();
            self.read_names_of(id).await?;
            self.report.kept.push(Kept { id: id.to_owned(), why });
            return Ok(());
        }
        if !self.chosen.contains(id) {
            return Ok(());
        }
        let root = self.root(id);
        let store = self.store.as_ref();
        let own = survey::list(store, &root.everything()).await?;
        let files = survey::list(store, &root.raw()).await?;
        let below = |object: &Listed| object.key.strip_prefix(&root.raw()).unwrap_or_default().to_owned();
        let (named, free): (Vec<Listed>, Vec<Listed>) =
            files.into_iter().partition(|file| self.names.has(id, &below(file)));
        let (journal, rest): (Vec<Listed>, Vec<Listed>) =
            own.into_iter().partition(|object| object.key.starts_with(&root.journal()));
        let (record, rest): (Vec<Listed>, Vec<Listed>) = rest.into_iter().partition(|object| object.key == root.task());
        let mut amount = Amount::default();
        for objects in [record, rest, free, journal] {
            self.remove_objects(&objects).await?;
            objects.iter().for_each(|object| amount.add(object));
        }
        let state = match self.found.get(id).map(|found| &found.standing) {
            Some(Standing::Still(state)) => Some(*state),
            _ => None,
        };
        if amount.objects == 0 {
            self.report.kept.push(Kept { id: id.to_owned(), why: Why::Named });
            return Ok(());
        }
        let mut stays = Amount::default();
        named.iter().for_each(|file| stays.add(file));
        self.report.removed.push(Removed { id: id.to_owned(), state, amount, named: stays });
        Ok(())
    }

    /// Looks again: at the execution itself, and at those that have come since, which may rely on it or name its files.
    async fn second_thoughts(&mut self, id: &str) -> Result<Option<Why>, StoreError> {
        let new = self.survey().await?;
        for other in &new {
            self.read_names_of(other).await?;
        }
        // New ones are too young to go, and are listed as such.
        self.report.kept.extend(new.iter().map(|id| Kept { id: id.clone(), why: Why::Young }));
        self.keep_what_is_relied_on();
        let now = survey::look(self.store, &self.root(id)).await?;
        let changed = self
            .found
            .get(id)
            .is_none_or(|before| before.standing != now.standing || before.newest_ms != now.newest_ms);
        self.found.insert(id.to_owned(), now);
        Ok(changed.then_some(Why::Changed))
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
