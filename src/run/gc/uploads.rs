//! Files that clients have uploaded: archives of code, and inputs. They go by age, unless a registered entity, which never
//! goes, or an execution that stays, or the cache names them.
//!
//! A client that uploads a file again, as flytekit does whenever it registers code, makes it young again. What remains of
//! races: an entity that is registered in the very moment of the removal, and names an old upload that was not sent again.

use super::pages::pages;
use super::{Amount, Gc};
use crate::aws::store::{Listed, StoreError};

/// How far back entities are looked at again before uploads go, in milliseconds: the store's dates are to the second.
const MARGIN_MS: u64 = 60_000;

/// The folder of an upload, below the prefix of all of them: project, domain and folder.
pub(super) fn folder_of<'k>(prefix: &str, key: &'k str) -> Option<&'k str> {
    let rest = key.strip_prefix(prefix)?;
    let third = rest.match_indices('/').nth(2)?.0;
    Some(&rest[..third])
}

impl Gc<'_> {
    /// Finds the folders in which everything is old.
    pub(super) async fn find_uploads(&mut self) -> Result<(), StoreError> {
        let (store, prefix) = (self.store.clone(), self.flyte.all_uploads());
        let mut pages = pages(store.as_ref(), prefix.clone());
        // The files of one folder may lie on two pages.
        let mut last: Option<(String, bool)> = None;
        while let Some(page) = pages.next().await? {
            for file in page {
                let Some(folder) = folder_of(&prefix, &file.key) else { continue };
                let old = self.is_old(file.modified_ms, self.options.older_than);
                match &mut last {
                    Some((known, all_old)) if known == folder => *all_old &= old,
                    last => {
                        let before = last.replace((folder.to_owned(), old));
                        self.uploads.extend(before.filter(|(_, old)| *old).map(|(folder, _)| folder));
                    }
                }
            }
        }
        self.uploads.extend(last.filter(|(_, old)| *old).map(|(folder, _)| folder));
        Ok(())
    }

    /// Reads which files registered entities name.
    pub(super) async fn read_names_of_entities(&mut self) -> Result<(), StoreError> {
        self.read_names_under(self.flyte.projects(), |_| true).await.map(drop)
    }

    /// Removes those folders that nobody names.
    pub(super) async fn remove_uploads(&mut self) -> Result<(), StoreError> {
        if self.uploads.is_empty() {
            return Ok(());
        }
        for key in self.look_for_new_flows().await? {
            self.read_names_of_flow(&key).await?;
        }
        let since = self.now_ms.saturating_sub(MARGIN_MS);
        self.read_names_under(self.flyte.projects(), move |entity| entity.modified_ms >= since).await?;
        let prefix = self.flyte.all_uploads();
        let mut amount = Amount::default();
        for folder in std::mem::take(&mut self.uploads) {
            if self.names.has_upload(&folder) {
                continue;
            }
            let files = self.under(format!("{prefix}{folder}/")).await?;
            // Somebody may have sent one again.
            if files.iter().all(|file| self.is_old(file.modified_ms, self.options.older_than)) {
                self.remove_objects(&files).await?;
                files.iter().for_each(|file| amount.add(file));
            }
        }
        self.report.uploads = amount;
        Ok(())
    }

    /// Everything under a prefix that holds little.
    async fn under(&self, prefix: String) -> Result<Vec<Listed>, StoreError> {
        let mut pages = pages(self.store.as_ref(), prefix);
        let mut all = Vec::new();
        while let Some(page) = pages.next().await? {
            all.extend(page);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders() {
        let of = |key| folder_of("flyte/uploads/", key);
        assert_eq!(of("flyte/uploads/p/d/abc/fast.tar.gz"), Some("p/d/abc"));
        assert_eq!(of("flyte/uploads/p/d/abc/a/b"), Some("p/d/abc"));
        assert_eq!((of("flyte/uploads/p/d/abc"), of("flyte/entities/p/d/t/n/v")), (None, None));
    }
}
