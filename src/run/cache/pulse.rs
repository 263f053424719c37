//! The heartbeat of an execution that holds leases: one small object, written anew while somebody drives it. Its age is
//! told by S3's own dates; how old it may grow stands in it, so that writer and reader agree.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::aws::store::{Store, StoreError};
use crate::map::cadence::Pace;
use crate::map::layout::Root;

/// How often an execution shows that it is driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// Between two signs of life.
    pub every: Duration,
    /// How old the last one may be: then the execution counts as gone, and others take over what it had begun.
    pub lasts: Duration,
}

/// What the object says.
#[derive(Debug, Serialize, Deserialize)]
struct Sign {
    lasts_ms: u64,
}

impl Beat {
    /// For polls of this pace: five minutes on AWS, where a PUT every 50 seconds costs nothing worth naming.
    pub fn of(pace: Pace) -> Self {
        let lasts = (pace.longest * 10).max(Duration::from_secs(30));
        Beat { every: lasts / 6, lasts }
    }
}

/// Keeps an execution's heartbeat up; it ends when this is dropped.
#[derive(Debug)]
pub struct Pulse {
    _task: JoinSet<()>,
    lapsed: Arc<AtomicBool>,
}

impl Pulse {
    /// Writes the first sign of life, and goes on with it.
    ///
    /// # Errors
    /// When the first cannot be written. Later ones are tried again.
    pub async fn start(store: Arc<dyn Store>, root: &Root, beat: Beat) -> Result<Self, StoreError> {
        let key = root.heartbeat();
        write(store.as_ref(), &key, beat).await?;
        let lapsed = Arc::new(AtomicBool::new(false));
        let mut task = JoinSet::new();
        task.spawn(go_on(store, key, beat, lapsed.clone()));
        Ok(Pulse { _task: task, lapsed })
    }

    /// Whether there was no sign for too long since this was last asked: others may have taken the execution for gone.
    pub fn has_lapsed(&self) -> bool {
        self.lapsed.swap(false, Ordering::Relaxed)
    }
}

async fn go_on(store: Arc<dyn Store>, key: String, beat: Beat, lapsed: Arc<AtomicBool>) {
    let mut last = Instant::now();
    loop {
        tokio::time::sleep(beat.every).await;
        match write(store.as_ref(), &key, beat).await {
            Ok(()) => {
                if last.elapsed() >= beat.lasts {
                    lapsed.store(true, Ordering::Relaxed);
                }
                last = Instant::now();
            }
            Err(error) => tracing::warn!(%error, "no sign of life could be given: others may take this run for gone"),
        }
    }
}

async fn write(store: &dyn Store, key: &str, beat: Beat) -> Result<(), StoreError> {
    let sign = Sign { lasts_ms: beat.lasts.as_millis() as u64 };
    store.put(key, serde_json::to_vec(&sign).expect("a number is plain data").into()).await
}

/// Whether the execution at `root` shows signs of life at `now_ms`, by the store's clock.
///
/// # Errors
/// When S3 fails.
pub async fn is_beating(store: &dyn Store, root: &Root, now_ms: u64) -> Result<bool, StoreError> {
    let key = root.heartbeat();
    let found = store.list(&key, None).await?.objects.into_iter().find(|object| object.key == key);
    let Some(object) = found else { return Ok(false) };
    let sign: Option<Sign> = match store.get(&key).await {
        Ok(body) => serde_json::from_slice(&body).ok(),
        Err(StoreError::NotFound { .. }) => return Ok(false),
        Err(error) => return Err(error),
    };
    let lasts_ms = sign.map_or(Beat::of(Pace::AWS).lasts.as_millis() as u64, |sign| sign.lasts_ms);
    Ok(now_ms.saturating_sub(object.modified_ms) <= lasts_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::memory::MemoryStore;

    #[tokio::test(start_paused = true)]
    async fn a_heartbeat_ends_with_its_driver_and_is_judged_by_the_stores_dates() {
        let memory = Arc::new(MemoryStore::new("b"));
        let store: Arc<dyn Store> = memory.clone();
        let (root, beat) = (Root::new("", "x"), Beat::of(Pace::AWS));
        let alive = async || is_beating(store.as_ref(), &root, store.now().await.unwrap()).await.unwrap();
        assert!(!alive().await);
        let pulse = Pulse::start(store.clone(), &root, beat).await.unwrap();
        for _ in 0..5 {
            memory.pass(beat.lasts / 2);
            assert!(alive().await);
            tokio::time::sleep(beat.every).await;
            tokio::task::yield_now().await;
        }
        assert!(!pulse.has_lapsed());
        drop(pulse);
        tokio::time::sleep(beat.every * 3).await;
        memory.pass(beat.lasts + Duration::from_secs(1));
        assert!(!alive().await);
    }
}
