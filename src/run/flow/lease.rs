//! Signs of life: a server writes its own object again and again, and whoever finds one too old takes over what its
//! server drove. Ages are told by S3's dates alone, never by two machines' clocks.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use crate::aws::store::{Store, StoreError};
use crate::map::layout::flyte::{FlyteRoot, unescape};

/// How often signs are given and looked at.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    /// Between two signs of one server, and between two looks for what nobody drives.
    pub beat: Duration,
    /// The age at which a sign means nothing any more.
    pub lapse: Duration,
}

impl Lease {
    /// On AWS: a server that dies is replaced within a minute, and one that S3 was out of reach of for half a minute is
    /// not.
    pub const AWS: Lease = Lease { beat: Duration::from_secs(10), lapse: Duration::from_secs(45) };

    /// On an endpoint that was named by hand: it is near, and who tries things out there does not want to wait.
    pub const EMULATED: Lease = Lease { beat: Duration::from_secs(2), lapse: Duration::from_secs(12) };

    /// Where no other server can be at work: whatever an earlier one drove is taken up at once.
    pub const ALONE: Lease = Lease { beat: Duration::from_secs(10), lapse: Duration::ZERO };
}

/// Gives a sign.
pub(super) async fn beat(store: &dyn Store, root: &FlyteRoot, server: &str) -> Result<(), StoreError> {
    store.put(&root.server(server), Bytes::new()).await
}

/// Takes the sign back, so that others need not wait.
pub(super) async fn leave(store: &dyn Store, root: &FlyteRoot, server: &str) -> Result<(), StoreError> {
    store.delete_many(&[root.server(server)]).await
}

/// The servers whose signs are younger than `lapse`.
pub(super) async fn servers(
    store: &dyn Store,
    root: &FlyteRoot,
    lapse: Duration,
) -> Result<BTreeSet<String>, StoreError> {
    let prefix = root.servers();
    let now = store.now().await?;
    let mut live = BTreeSet::new();
    let mut after = None;
    loop {
        let page = store.list(&prefix, after.as_deref()).await?;
        for object in &page.objects {
            let fresh = now.saturating_sub(object.modified_ms) < lapse.as_millis() as u64;
            if fresh && let Some(name) = object.key.strip_prefix(&prefix).and_then(unescape) {
                live.insert(name);
            }
        }
        after = page.objects.into_iter().last().map(|object| object.key);
        if !page.more {
            return Ok(live);
        }
    }
}
