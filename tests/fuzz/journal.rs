//! The journal's reader, and the machine that its events are replayed into; and the record beside it.

use std::sync::Arc;

use batchmap::aws::memory::MemoryStore;
use batchmap::aws::store::Store;
use batchmap::idl::record::{Policy, TaskRecord};
use batchmap::map::event::{Event, Failure};
use batchmap::map::execution::{Action, Execution};
use batchmap::map::index::OriginalIndex;
use batchmap::map::layout::{RECORD_VERSION, Root};
use batchmap::map::policy::Origin;
use batchmap::map::ranges::Ranges;
use batchmap::run::journal::Journal;
use batchmap::run::launch;
use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;

use crate::change::changed;
use crate::meter::metered;
use crate::{cases, corpus, seeds};

/// Actions that are taken out of a machine after each event: it has a few at a time, and one that asked for ever would
/// hang its driver.
const ACTIONS: usize = 2000;

pub fn root() -> Root {
    Root::new("p", "e1")
}

pub fn record() -> TaskRecord {
    let policy = Policy { concurrency: 7, min_successes: 20, retries: 1, interruptible: true, ..Policy::default() };
    TaskRecord {
        version: RECORD_VERSION,
        command: vec!["true".to_owned()],
        mapped: vec!["x".to_owned()],
        size: 25,
        pack_starts: vec![0, 10, 20],
        policy: Some(policy),
        ..TaskRecord::default()
    }
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// A journal that a driver would write: every array goes through, every fifth child fails recoverably at first.
pub fn lived() -> Vec<Vec<u8>> {
    runtime().block_on(async {
        let store = Arc::new(MemoryStore::new("bucket"));
        let (mut journal, _) = Journal::open(store.clone(), root(), "w".to_owned()).await.unwrap();
        let mut machine = launch::machine(&record());
        let started = Event::Started { definition: "d:1".to_owned(), queue: "q".to_owned(), interruptible_queue: None };
        machine.handle(&started).unwrap();
        journal.append(1, vec![started]).await.unwrap();
        for now in 2.. {
            let Some(event) = next(&mut machine) else { break };
            machine.handle(&event).unwrap();
            journal.append(now, vec![event]).await.unwrap();
        }
        assert!(machine.finished().is_some());
        let prefix = root().journal();
        store.objects().into_iter().filter(|(key, _)| key.starts_with(&prefix)).map(|(_, body)| body.to_vec()).collect()
    })
}

fn next(machine: &mut Execution) -> Option<Event> {
    while let Some(action) = machine.next_action() {
        match action {
            Action::Record(event) => return Some(event),
            Action::Submit { array } => return Some(Event::Submitted { array, job: format!("job-{array}") }),
            Action::Finish(_) => return None,
            _ => {}
        }
    }
    let (array, members) = machine.running().next().map(|(number, array, _)| (number, array.members.ranges()))?;
    let again = |index: &OriginalIndex| machine.retried() == 0 && index.0.is_multiple_of(5);
    let failed: Ranges = members.iter().filter(again).collect();
    let failures = (!failed.is_empty()).then(|| Failure {
        indices: failed,
        origin: Origin::User,
        recoverable: true,
        starts: 1,
        code: "USER:Recoverable".to_owned(),
        message: "again".to_owned(),
    });
    let succeeded = members.iter().filter(|index| !again(index)).collect();
    Some(Event::Settled { array, succeeded, failures: failures.into_iter().collect(), ended: true })
}

/// Reads a bucket with this record and these journal records, and asks what is read what it would do.
fn try_journal(task: &[u8], records: &[Vec<u8>]) -> bool {
    let input = task.len() + records.iter().map(Vec::len).sum::<usize>();
    runtime().block_on(async {
        let store = Arc::new(MemoryStore::new("bucket"));
        store.put(&root().task(), Bytes::copy_from_slice(task)).await.unwrap();
        for (number, body) in (1..).zip(records) {
            store.put(&root().journal_record(number), Bytes::copy_from_slice(body)).await.unwrap();
        }
        let store: Arc<dyn Store> = store;
        // Everything is there at once, so nothing waits between two polls of this future.
        let root = root();
        let mut read = std::pin::pin!(launch::read(&store, &root));
        let read = std::future::poll_fn(|context| metered(input, || read.as_mut().poll(context))).await;
        match read {
            Ok(mut known) => {
                metered(input, || {
                    known.execution.resume();
                    ask(&mut known.execution, false);
                });
                true
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                false
            }
        }
    })
}

/// Everything that a driver asks of a machine.
pub fn ask(machine: &mut Execution, forged: bool) {
    let mut actions = 0;
    while let Some(action) = machine.next_action() {
        actions += 1;
        assert!(actions < ACTIONS, "it asks for ever: {action:?}");
        match action {
            // A driver hands it back.
            Action::Record(event) => match machine.handle(&event) {
                Ok(()) => {}
                // Of a state that nothing has led to: its driver stops and says so.
                Err(_) if forged => break,
                Err(error) => panic!("its own event does not fit: {error}"),
            },
            Action::Finish(_) => break,
            _ => {}
        }
    }
    let _ = serde_json::to_string(&machine.summary()).unwrap();
    let counts = machine.outcomes();
    assert!(counts.succeeded() + counts.failed() <= machine.packs().size());
}

/// Each event by itself, in any order: what does not fit is refused, and the machine goes on.
fn try_events(records: &[Vec<u8>]) {
    let mut machine = launch::machine(&record());
    for body in records {
        let Ok(value) = serde_json::from_slice::<serde_json::Value>(body) else { continue };
        for event in value["events"].as_array().into_iter().flatten() {
            let Ok(event) = serde_json::from_value::<Event>(event.clone()) else { continue };
            let before = machine.clone();
            metered(body.len() + 4096, || match machine.handle(&event) {
                Ok(()) => ask(&mut machine.clone(), false),
                Err(_) => assert!(machine == before, "what is refused changes nothing"),
            });
        }
    }
}

#[test]
fn the_corpus_of_journals() {
    for (_, bytes) in corpus("journal") {
        let records: Vec<_> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        try_journal(&record().encode_to_vec(), &records);
        try_events(&records);
        try_journal(&bytes, &lived());
    }
}

#[test]
fn a_whole_journal_is_read() {
    assert!(try_journal(&record().encode_to_vec(), &lived()));
    try_events(&lived());
}

/// A size takes memory, so it must be one that the packs can hold.
#[test]
fn a_damaged_size_takes_no_memory() {
    for size in [26, 30_001, u64::from(u32::MAX), u64::MAX >> 1, u64::MAX] {
        let task = TaskRecord { size, ..record() }.encode_to_vec();
        let read = try_journal(&task, &lived()[..1]);
        assert_eq!(read, size <= 30_000, "{size}");
    }
}

fn damaged() -> impl Strategy<Value = (usize, Vec<u8>)> {
    let records = lived();
    (0..records.len()).prop_flat_map(move |which| (Just(which), changed(vec![records[which].clone()])))
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn no_damaged_record_breaks_the_reader((which, bytes) in damaged(), order in any::<prop::sample::Index>()) {
        let mut records = lived();
        records[which] = bytes;
        try_journal(&record().encode_to_vec(), &records);
        let split = order.index(records.len());
        records.rotate_left(split);
        try_events(&records);
    }

    #[test]
    fn no_damaged_task_breaks_the_reader(bytes in changed(vec![record().encode_to_vec()])) {
        try_journal(&bytes, &lived());
    }

    #[test]
    fn no_lines_break_the_reader(bytes in changed(seeds("journal"))) {
        let records: Vec<_> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        try_journal(&record().encode_to_vec(), &records);
        try_events(&records);
    }
}
