//! Passes a command's output through, and keeps a part of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::command::DRAIN;

/// Bytes that are read at once: what a Linux pipe holds.
const CHUNK: usize = 64 << 10;

/// The part of an output that is kept: its beginning or its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Whether there were more.
    pub more: bool,
    limit: usize,
    end: bool,
}

impl Kept {
    /// Keeps the first `limit` bytes.
    pub(super) fn first(limit: usize) -> Self {
        Kept { limit, ..Kept::default() }
    }

    /// Keeps the last `limit` bytes.
    pub(super) fn last(limit: usize) -> Self {
        Kept { limit, end: true, ..Kept::default() }
    }

    fn add(&mut self, chunk: &[u8]) {
        if self.end {
            self.bytes.extend_from_slice(chunk);
            let surplus = self.bytes.len().saturating_sub(self.limit);
            self.more |= surplus > 0;
            self.bytes.drain(..surplus);
        } else {
            let room = self.limit - self.bytes.len();
            self.more |= chunk.len() > room;
            self.bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
        }
    }

    /// The text, from the beginning of its first whole line.
    pub(super) fn lines(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        whole(&text, self.more && self.end).trim_end().to_owned()
    }

    /// At most the last `limit` bytes of [`Kept::lines`], without records of a JSON log where there is anything else:
    /// flytekit logs so, at length, after the traceback that says what went wrong.
    pub(super) fn last_words(&self, limit: usize) -> String {
        let lines = self.lines();
        let said: Vec<&str> = lines.lines().filter(|line| !is_log_record(line)).collect();
        let said = if said.iter().all(|line| line.trim().is_empty()) { lines } else { said.join("\n") };
        let from = said.len().saturating_sub(limit);
        let cut = (from..said.len()).find(|at| said.is_char_boundary(*at)).unwrap_or(from);
        // A cut in front of a line leaves it whole.
        let inside = cut > 0 && !said[..cut].ends_with('\n');
        whole(&said[cut..], inside).trim_end().to_owned()
    }
}

/// The text from its second line on, if its first is not whole and is not all there is.
fn whole(text: &str, is_cut: bool) -> &str {
    match text.split_once('\n') {
        Some((_, rest)) if is_cut && !rest.is_empty() => rest,
        _ => text,
    }
}

/// Whether a line is one record of a log in JSON, as Python's and flytekit's loggers write it.
fn is_log_record(line: &str) -> bool {
    let object =
        line.starts_with('{').then(|| serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(line).ok());
    object.flatten().is_some_and(|object| object.contains_key("levelname") && object.contains_key("message"))
}

/// One output on its way.
#[derive(Debug)]
pub(super) struct Pass {
    kept: Arc<Mutex<Kept>>,
    task: JoinHandle<()>,
}

impl Pass {
    /// Begins to copy `from` to `to`, in pieces as they come.
    pub(super) fn start<R, W>(from: R, to: W, kept: Kept) -> Self
    where
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Unpin + Send + 'static,
    {
        let kept = Arc::new(Mutex::new(kept));
        Pass { task: tokio::spawn(copy(from, to, Arc::clone(&kept))), kept }
    }

    /// Waits for the end of the output, for a while, and returns what was kept of it.
    pub(super) async fn finish(mut self) -> Kept {
        if timeout(DRAIN, &mut self.task).await.is_err() {
            tracing::warn!("a process that the command started still holds its output open; it is not waited for");
            self.task.abort();
        }
        std::mem::take(&mut lock(&self.kept))
    }
}

async fn copy<R, W>(mut from: R, to: W, kept: Arc<Mutex<Kept>>)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut to = Some(to);
    let mut chunk = vec![0; CHUNK];
    while let Ok(read @ 1..) = from.read(&mut chunk).await {
        lock(&kept).add(&chunk[..read]);
        if let Some(open) = &mut to
            && (open.write_all(&chunk[..read]).await.is_err() || open.flush().await.is_err())
        {
            // Nobody reads the log any more: the command goes on, and its output still counts.
            to = None;
        }
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_is_passed_on_and_a_part_is_kept() {
        for (kept, bytes, more) in [
            (Kept::first(4), "abcd", true),
            (Kept::last(4), "efgh", true),
            (Kept::first(8), "abcdefgh", false),
            (Kept::last(8), "abcdefgh", false),
        ] {
            let (to, mut through) = tokio::io::duplex(64);
            let found = Pass::start(&b"abcdefgh"[..], to, kept).finish().await;
            assert_eq!((found.bytes.as_slice(), found.more), (bytes.as_bytes(), more));
            let mut passed = String::new();
            through.read_to_string(&mut passed).await.unwrap();
            assert_eq!(passed, "abcdefgh");
        }
    }

    #[tokio::test]
    async fn a_reader_that_is_gone_stops_nothing() {
        let (to, through) = tokio::io::duplex(1);
        drop(through);
        let found = Pass::start(&b"abcdefgh"[..], to, Kept::first(100)).finish().await;
        assert_eq!(found.bytes, b"abcdefgh");
    }

    #[test]
    fn last_words_are_those_of_no_log() {
        let record = r#"{"levelname": "ERROR", "message": "an unclosed connector", "name": "asyncio"}"#;
        let said = |text: &str, limit| {
            let mut kept = Kept::last(1000);
            kept.add(text.as_bytes());
            kept.last_words(limit)
        };
        assert_eq!(said(&format!("Traceback:\n  boom\n{record}\n"), 100), "Traceback:\n  boom");
        assert_eq!(said(&format!("{record}\n"), 1000), record, "nothing else was said");
        assert_eq!(said("{\"a\": 1}\n{not json\n", 100), "{\"a\": 1}\n{not json", "a command's own JSON stays");
        assert_eq!(said("first\nsecond\nthird\n", 12), "second\nthird");
        assert_eq!(said("first\nsecond\nthird\n", 13), "second\nthird");
        assert_eq!(said("abcdéfgh", 4), "fgh");
        assert_eq!(said("", 4), "");
    }

    #[test]
    fn a_cut_line_is_left_out() {
        let mut kept = Kept::last(12);
        kept.add(b"first line\n");
        kept.add(b"second\n\xff\n");
        assert_eq!(kept.lines(), "second\n\u{fffd}");
        let mut one = Kept::last(4);
        one.add(b"abcdefgh");
        assert_eq!(one.lines(), "efgh");
        let mut all = Kept::last(100);
        all.add(b"first\nsecond\n");
        assert_eq!(all.lines(), "first\nsecond");
    }
}
