//! Who computes a key.
//!
//! ```text
//! leases/<key>/00000001   "<execution> <subtask>"     created with If-None-Match: of racing ones, one is the holder
//! leases/<key>/00000002   the next one's, once the holder is gone or has settled its subtask without an entry
//! ```
//! The greatest number counts. Nobody deletes a lease but `batchmap gc`, and that all of a key's together: so whoever
//! creates number 1 is the first, and of two that follow the same holder only one gets the next number.
//!
//! A lease is not renewed. It names an execution, and lives as long as that one does: an execution has one heartbeat
//! for all its leases. What the holder has made of its subtask is read from the holder's journal: there is nothing to
//! release that could be forgotten.

use bytes::Bytes;

use crate::aws::store::{Store, StoreError};
use crate::map::cache::Key;
use crate::map::index::OriginalIndex;
use crate::map::layout::Root;

/// Whose lease it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    /// The id of the execution.
    pub(super) execution: String,
    /// Its subtask that has the key.
    pub(super) index: OriginalIndex,
}

/// The newest lease of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) number: u64,
    /// Whose it is; absent when that cannot be read.
    pub(super) holder: Option<Holder>,
}

impl Holder {
    fn encode(&self) -> Bytes {
        format!("{} {}", self.execution, self.index).into()
    }

    /// The holder that a lease names.
    pub(super) fn decode(body: &[u8]) -> Option<Self> {
        let (execution, index) = std::str::from_utf8(body).ok()?.split_once(' ')?;
        let index = OriginalIndex(index.parse().ok()?);
        (!execution.is_empty()).then(|| Holder { execution: execution.to_owned(), index })
    }
}

/// The id of the execution that a lease with this content names.
pub fn holder(lease: &[u8]) -> Option<String> {
    Holder::decode(lease).map(|holder| holder.execution)
}

/// Creates lease number `number`; whether it is new. When it is not, it may be our own all the same: a repeated request
/// finds what the first one has written.
pub(super) async fn create(
    store: &dyn Store,
    root: &Root,
    key: &Key,
    number: u64,
    holder: &Holder,
) -> Result<bool, StoreError> {
    match store.put_new(&root.lease(key, number), holder.encode()).await {
        Ok(()) => Ok(true),
        Err(StoreError::AlreadyExists { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The newest lease of a key, if it has any.
pub(super) async fn newest(store: &dyn Store, root: &Root, key: &Key) -> Result<Option<Lease>, StoreError> {
    let prefix = root.leases(key);
    let mut last: Option<String> = None;
    loop {
        let page = store.list(&prefix, last.as_deref()).await?;
        last = page.objects.into_iter().last().map(|object| object.key).or(last);
        if !page.more {
            break;
        }
    }
    let Some(name) = last else { return Ok(None) };
    let Some(number) = name.strip_prefix(&prefix).and_then(|number| number.parse().ok()) else { return Ok(None) };
    match store.get(&name).await {
        Ok(body) => Ok(Some(Lease { number, holder: Holder::decode(&body) })),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::memory::MemoryStore;

    #[tokio::test]
    async fn the_greatest_number_counts_and_each_has_one_holder() {
        let (store, root, key) = (MemoryStore::new("b"), Root::new("p", "x"), Key([7; 32]));
        let holder = |execution: &str| Holder { execution: execution.to_owned(), index: OriginalIndex(3) };
        assert_eq!(newest(&store, &root, &key).await.unwrap(), None);
        assert!(create(&store, &root, &key, 1, &holder("x")).await.unwrap());
        assert!(!create(&store, &root, &key, 1, &holder("y")).await.unwrap());
        assert_eq!(newest(&store, &root, &key).await.unwrap(), Some(Lease { number: 1, holder: Some(holder("x")) }));
        for number in 2..1200 {
            assert!(create(&store, &root, &key, number, &holder("y")).await.unwrap());
        }
        let last = newest(&store, &root, &key).await.unwrap().unwrap();
        assert_eq!((last.number, last.holder), (1199, Some(holder("y"))));
    }

    #[test]
    fn what_names_nobody_is_nobodys() {
        for body in [&b""[..], b"x", b"x y", b" 1", b"\xff 1"] {
            assert_eq!(Holder::decode(body), None);
        }
    }
}
