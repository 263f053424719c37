//! Listings, a page at a time: whatever a prefix holds, no more than a page of it is in memory.

use crate::aws::store::{Listed, Page, Store, StoreError};

/// Goes through the objects under a prefix.
pub(super) struct Pages<'a> {
    store: &'a dyn Store,
    prefix: String,
    after: Option<String>,
    more: bool,
}

/// The pages of everything under `prefix`.
pub(super) fn pages(store: &dyn Store, prefix: String) -> Pages<'_> {
    Pages { store, prefix, after: None, more: true }
}

impl Pages<'_> {
    /// The next page: at most 1,000 objects, none when all have been seen. What was deleted or has come meanwhile does
    /// not disturb: each page begins after the last key of the one before.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Listed>>, StoreError> {
        if !self.more {
            return Ok(None);
        }
        let Page { objects, more } = self.store.list(&self.prefix, self.after.as_deref()).await?;
        self.more = more;
        if let Some(last) = objects.last() {
            self.after = Some(last.key.clone());
        }
        Ok(Some(objects))
    }
}

/// How many objects there are under `prefix`, and when the newest of them was written: 0 without any.
///
/// # Errors
/// When S3 fails.
pub(super) async fn newest(store: &dyn Store, prefix: String) -> Result<(u64, u64), StoreError> {
    let (mut count, mut newest) = (0, 0);
    let mut pages = pages(store, prefix);
    while let Some(page) = pages.next().await? {
        count += page.len() as u64;
        newest = page.iter().map(|object| object.modified_ms).fold(newest, u64::max);
    }
    Ok((count, newest))
}
