//! Events of many streams in the order of their times.
//!
//! A stream is opened when its first event is due, and closed after each piece that is read of it: thousands of streams
//! take neither thousands of files nor their size in memory.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;

use super::store::{LogEvent, LogStore};

/// Events read of a stream at a time.
const PIECE: usize = 64;

/// A place in the merged order: time, stream, offset in it.
pub(super) type Place = (u64, String, u64);

/// The events of some streams of a group, merged.
pub(super) struct Merged<'a> {
    store: &'a LogStore,
    group: &'a str,
    after: Option<Place>,
    end_ms: u64,
    /// What comes next of each stream, the earliest on top.
    due: BinaryHeap<Reverse<(u64, String, u64)>>,
    held: std::collections::HashMap<String, VecDeque<LogEvent>>,
}

impl<'a> Merged<'a> {
    /// Begins at the first event at or after `start_ms` and, when `after` is given, behind that place; ends before
    /// `end_ms`.
    ///
    /// # Errors
    /// `NotFound` for an unknown stream; otherwise one cannot be read.
    pub(super) fn new(
        store: &'a LogStore,
        group: &'a str,
        streams: &[String],
        start_ms: u64,
        end_ms: u64,
        after: Option<Place>,
    ) -> io::Result<Self> {
        let mut merged = Merged { store, group, after, end_ms, due: BinaryHeap::new(), held: Default::default() };
        let start = start_ms.max(merged.after.as_ref().map_or(0, |(time, ..)| *time));
        for stream in streams {
            let opened = store.open(group, stream)?;
            let offset = opened.seek(start)?;
            if let Some(event) = opened.forward(offset, opened.length, 1)?.events.first() {
                merged.due.push(Reverse((event.timestamp_ms, stream.clone(), event.offset)));
            }
        }
        Ok(merged)
    }

    /// The next event and its stream.
    ///
    /// # Errors
    /// A stream cannot be read.
    pub(super) fn next(&mut self) -> io::Result<Option<(String, LogEvent)>> {
        while let Some(Reverse((time, stream, offset))) = self.due.pop() {
            if time >= self.end_ms {
                continue;
            }
            let event = self.event(&stream, offset)?;
            if let Some(event) = event
                && self.after.as_ref().is_none_or(|after| (time, &stream, offset) > (after.0, &after.1, after.2))
            {
                return Ok(Some((stream, event)));
            }
        }
        Ok(None)
    }

    /// Takes the event at an offset, and says when the next of its stream is due.
    fn event(&mut self, stream: &str, offset: u64) -> io::Result<Option<LogEvent>> {
        let mut events = self.held.remove(stream).unwrap_or_default();
        if events.is_empty() {
            let opened = self.store.open(self.group, stream)?;
            events = opened.forward(offset, opened.length, PIECE)?.events.into();
        }
        let event = events.pop_front();
        if events.is_empty()
            && let Some(event) = &event
        {
            let opened = self.store.open(self.group, stream)?;
            let behind = opened.forward(event.offset, opened.length, 1)?.end;
            events = opened.forward(behind, opened.length, PIECE)?.events.into();
        }
        if let Some(next) = events.front() {
            self.due.push(Reverse((next.timestamp_ms, stream.to_owned(), next.offset)));
            self.held.insert(stream.to_owned(), events);
        }
        Ok(event)
    }
}
