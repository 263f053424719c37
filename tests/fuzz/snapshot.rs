//! Snapshots of the journal: damaged ones are passed over, and one that somebody has forged, digest and all, breaks
//! nothing either.

use std::sync::Arc;

use batchmap::aws::memory::MemoryStore;
use batchmap::aws::store::Store;
use batchmap::map::event::Event;
use batchmap::run::journal::{Record, Stored};
use batchmap::run::launch::{self, Names};
use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;

use crate::cases;
use crate::change::changed;
use crate::journal::{ask, lived, record, root, runtime};
use crate::meter::metered;

/// The snapshot after so many records of the journal, as two lines.
fn snapshot(sequence: u64) -> Vec<u8> {
    let mut machine = launch::machine(&record());
    let records = lived();
    let events = records[..sequence as usize].iter().flat_map(|body| {
        let record: Record = serde_json::from_slice(body).unwrap();
        record.events
    });
    events.for_each(|event: Event| machine.handle(&event).unwrap());
    let names = Names { definition: "d:1".to_owned(), queue: "q".to_owned(), interruptible_queue: None };
    let stored = Stored { names: Some(names), first_ms: 1, last_ms: sequence, state: machine.snapshot() };
    stored.encode(sequence).to_vec()
}

/// The second line under a digest of its own.
fn forged(sequence: u64, state: &[u8]) -> Vec<u8> {
    let digest = blake3::hash(state).to_hex();
    let version = batchmap::map::execution::SNAPSHOT_VERSION;
    let head = format!("{{\"version\":{version},\"sequence\":{sequence},\"digest\":\"{digest}\"}}\n");
    [head.as_bytes(), state].concat()
}

/// Reads a journal with this snapshot in it; the answer is how many records had to be read.
fn try_snapshot(sequence: u64, body: &[u8], is_forged: bool) {
    let (task, records) = (record().encode_to_vec(), lived());
    let input = body.len() + task.len() + records.iter().map(Vec::len).sum::<usize>();
    runtime().block_on(async {
        let store = Arc::new(MemoryStore::new("bucket"));
        let root = root();
        store.put(&root.task(), task.into()).await.unwrap();
        for (number, body) in (1..).zip(records) {
            store.put(&root.journal_record(number), body.into()).await.unwrap();
        }
        store.put(&root.snapshot(sequence), Bytes::copy_from_slice(body)).await.unwrap();
        let store: Arc<dyn Store> = store;
        let mut read = std::pin::pin!(launch::read(&store, &root));
        let read = std::future::poll_fn(|context| metered(input, || read.as_mut().poll(context))).await;
        match read {
            Ok(mut known) => metered(input, || {
                known.execution.resume();
                ask(&mut known.execution, is_forged);
            }),
            Err(error) => assert!(is_forged, "a damaged snapshot is passed over: {error}"),
        }
    });
}

fn state(sequence: u64) -> Vec<u8> {
    let whole = snapshot(sequence);
    let newline = whole.iter().position(|byte| *byte == b'\n').unwrap();
    whole[newline + 1..].to_vec()
}

#[test]
fn an_honest_snapshot_is_read() {
    for sequence in 1..=lived().len() as u64 {
        try_snapshot(sequence, &snapshot(sequence), false);
        try_snapshot(sequence, &forged(sequence, &state(sequence)), false);
    }
}

fn damaged() -> impl Strategy<Value = (u64, Vec<u8>)> {
    (1..=lived().len() as u64).prop_flat_map(|sequence| (Just(sequence), changed(vec![snapshot(sequence)])))
}

fn made_up() -> impl Strategy<Value = (u64, Vec<u8>)> {
    (1..=lived().len() as u64).prop_flat_map(|sequence| (Just(sequence), changed(vec![state(sequence)])))
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn a_damaged_snapshot_changes_nothing((sequence, bytes) in damaged()) {
        try_snapshot(sequence, &bytes, false);
    }

    #[test]
    fn no_forged_snapshot_breaks_the_reader((sequence, state) in made_up()) {
        try_snapshot(sequence, &forged(sequence, &state), true);
    }
}
