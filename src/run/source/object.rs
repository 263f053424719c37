//! Reading an object of S3 as a stream of ranged GETs, one ahead.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

use crate::aws::store::{Store, StoreError};

/// Bytes of one GET: large enough that its latency is small beside its transfer.
const RANGE_BYTES: u64 = 8 << 20;

/// The bytes of an object, in order; to be read outside the runtime. A [`StoreError`] is inside the error that reading
/// gives.
pub(super) struct ObjectReader {
    chunk: Bytes,
    /// An empty chunk is the end: a sender that merely vanished must not pass for it.
    chunks: mpsc::Receiver<Result<Bytes, StoreError>>,
    ended: bool,
}

impl ObjectReader {
    /// Begins to read `key`. Must be called within a runtime.
    pub(super) fn open(store: Arc<dyn Store>, key: &str) -> Self {
        let (sender, chunks) = mpsc::channel(1);
        let key = key.to_owned();
        tokio::spawn(async move {
            if let Err(error) = send_all(store.as_ref(), &key, &sender).await {
                // Without a reader there is nobody to tell.
                let _ = sender.send(Err(error)).await;
            }
        });
        ObjectReader { chunk: Bytes::new(), chunks, ended: false }
    }
}

async fn send_all(
    store: &dyn Store,
    key: &str,
    sender: &mpsc::Sender<Result<Bytes, StoreError>>,
) -> Result<(), StoreError> {
    // The key sorts before every other one that begins with it.
    let listed = store.list(key, None).await?.objects.into_iter().next().filter(|object| object.key == key);
    let Some(object) = listed else {
        return Err(StoreError::NotFound { bucket: store.bucket().to_owned(), key: key.to_owned() });
    };
    let mut start = 0;
    while start < object.size {
        let end = object.size.min(start + RANGE_BYTES);
        let chunk = store.get_range(key, start..end).await?;
        if chunk.len() as u64 != end - start {
            let message = format!("{} of {} bytes came; was the object replaced?", chunk.len(), end - start);
            let (bucket, key) = (store.bucket().to_owned(), key.to_owned());
            return Err(StoreError::Unreachable { operation: "GetObject", bucket, key, message });
        }
        if sender.send(Ok(chunk)).await.is_err() {
            return Ok(());
        }
        start = end;
    }
    let _ = sender.send(Ok(Bytes::new())).await;
    Ok(())
}

impl Read for ObjectReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.chunk.is_empty() && !self.ended {
            let stopped = || io::Error::other("its reader has stopped");
            self.chunk = self.chunks.blocking_recv().ok_or_else(stopped)?.map_err(io::Error::other)?;
            self.ended = self.chunk.is_empty();
        }
        let length = buffer.len().min(self.chunk.len());
        self.chunk.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}
