//! Leases of cache keys whose time is over.
//!
//! A key's leases go together, when the newest of them is old and names no execution that goes on: the highest numbers
//! first, number 1 last, so that whoever finds no number 1 finds none at all (see `run::cache`).

use futures::{StreamExt, TryStreamExt, stream};

use super::pages::pages;
use super::survey::Standing;
use super::{Gc, READS_AT_ONCE};
use crate::aws::store::{Listed, StoreError};
use crate::map::layout::leases_prefix;
use crate::run::cache;

/// Keys whose leases are removed together.
const A_BATCH: usize = 1000;

impl Gc<'_> {
    /// Removes the leases that nobody needs any more.
    pub(super) async fn clean_leases(&mut self) -> Result<(), StoreError> {
        let store = self.store.clone();
        let mut pages = pages(store.as_ref(), leases_prefix(self.prefix));
        let mut old: Vec<Vec<Listed>> = Vec::new();
        // The leases of one key may lie on two pages.
        let mut group: Vec<Listed> = Vec::new();
        while let Some(page) = pages.next().await? {
            for lease in page {
                if group.last().is_some_and(|last| key_of(last) != key_of(&lease)) {
                    self.put_aside(std::mem::take(&mut group), &mut old).await?;
                }
                group.push(lease);
            }
        }
        self.put_aside(group, &mut old).await?;
        self.remove_leases(old).await
    }

    async fn put_aside(&mut self, group: Vec<Listed>, old: &mut Vec<Vec<Listed>>) -> Result<(), StoreError> {
        let newest = group.iter().map(|lease| lease.modified_ms).max();
        if newest.is_some_and(|newest| self.is_old(newest, self.options.older_than)) {
            old.push(group);
        }
        if old.len() >= A_BATCH {
            self.remove_leases(std::mem::take(old)).await?;
        }
        Ok(())
    }

    async fn remove_leases(&mut self, old: Vec<Vec<Listed>>) -> Result<(), StoreError> {
        let this: &Self = self;
        let looks = old.into_iter().map(|group| async move {
            let free = match group.last() {
                Some(last) => !this.is_of_a_running_one(last).await?,
                None => false,
            };
            Ok::<_, StoreError>(free.then_some(group))
        });
        let free: Vec<Option<Vec<Listed>>> = stream::iter(looks).buffer_unordered(READS_AT_ONCE).try_collect().await?;
        let all = free.into_iter().flatten().flatten();
        let (first, later): (Vec<Listed>, Vec<Listed>) = all.partition(|lease| lease.key.ends_with("/00000001"));
        for leases in [later, first] {
            self.remove_objects(&leases).await?;
            leases.iter().for_each(|lease| self.report.leases.add(lease));
        }
        Ok(())
    }

    async fn is_of_a_running_one(&self, lease: &Listed) -> Result<bool, StoreError> {
        let running = |id: &str| self.found.get(id).is_some_and(|found| found.standing == Standing::Running);
        if !self.found.values().any(|found| found.standing == Standing::Running) {
            return Ok(false);
        }
        match self.store.get(&lease.key).await {
            Ok(body) => Ok(cache::holder(&body).is_some_and(|id| running(&id))),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Everything before the number.
fn key_of(lease: &Listed) -> &str {
    lease.key.rsplit_once('/').map_or("", |(key, _)| key)
}
