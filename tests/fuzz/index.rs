//! What a worker reads before it starts: the record, its entry of a compacted array, the pack's index, the pack, and the
//! manifest of the checkpoint that an earlier attempt left.

use std::collections::BTreeMap;
use std::sync::Arc;

use batchmap::aws::memory::MemoryStore;
use batchmap::aws::store::Store;
use batchmap::map::index::OriginalIndex;
use batchmap::map::layout::{ENV_PLACE, Place};
use batchmap::map::pack::IndexEntry;
use batchmap::worker::{self, WorkerArgs};
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;

use crate::change::changed;
use crate::child::{Staged, literal, root};
use crate::meter::metered;
use crate::{cases, corpus, seeds};

fn try_entry(bytes: &[u8]) {
    for lists in [0, 1, 2, 7, bytes.len() / 8, usize::MAX >> 8] {
        metered(bytes.len(), || {
            if let Ok(entry) = IndexEntry::parse(bytes, lists) {
                assert!(entry.runs.len() == lists && entry.runs.iter().all(|run| run.start <= run.end));
            }
        });
    }
}

/// Two lists and a bound value, in packs of two; child 1 is entry 1 of a compacted array.
fn staged() -> Staged {
    let element = |x: u64| vec![literal(&json!(x)), literal(&json!({"k": [x]}))];
    let elements: Vec<_> = (0..5).map(element).collect();
    let bound = BTreeMap::from([("b".to_owned(), literal(&json!("text")))]);
    let mut staged = Staged::packed(&["x", "y"], &elements, &bound, 2).child(1);
    let members = [[0_u8; 16], [3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]].concat();
    staged.objects.insert(root().array_indices(0), members.into());
    let saved = root().saved_checkpoint(OriginalIndex(3), "000000-00");
    let hash = blake3::hash(b"1").to_hex();
    let entry = |path: &str, object: u32| json!({"path": path, "object": object, "size": 1, "hash": hash.as_str()});
    let manifest = json!({"version": 1, "files": [entry("a", 0), entry("deep/er/b", 1)]}).to_string();
    staged.objects.insert(format!("{saved}manifest"), manifest.into());
    for object in ["000000", "000001"] {
        staged.objects.insert(format!("{saved}{object}"), "1".into());
    }
    staged.record.checkpoint = true;
    staged.set(ENV_PLACE, Place::List)
}

/// The number of those.
const READ: usize = 5;

/// The objects that a child reads, in order.
fn read_by_the_child() -> [String; READ] {
    let manifest = format!("{}manifest", root().saved_checkpoint(OriginalIndex(3), "000000-00"));
    [root().task(), root().array_indices(0), root().pack_index(1), root().pack(1), manifest]
}

/// Runs the worker over a bucket in which one object is damaged; what it is to run is never there, so no child starts.
fn try_worker(damaged: usize, bytes: &[u8]) -> i32 {
    let staged = staged();
    let environment = staged.environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
    let args = WorkerArgs { command: vec!["/no/such/program".to_owned()], environment };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let code = runtime.block_on(async {
        let store = MemoryStore::new("bucket");
        for (key, body) in staged.all() {
            store.put(&key, body).await.unwrap();
        }
        store.put(&read_by_the_child()[damaged], Bytes::copy_from_slice(bytes)).await.unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let run = worker::run(args, async |_: &str| Ok(store.clone()));
        metered_async(bytes.len(), run).await
    });
    assert!([76, 126, 127].contains(&code), "{code}");
    code
}

/// As [`metered`], around all of a future: the runtime has this one thread.
async fn metered_async<T>(input: usize, future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| metered(input, || future.as_mut().poll(context))).await
}

#[test]
fn the_corpus_of_indices() {
    for (_, bytes) in corpus("index") {
        try_entry(&bytes);
        for damaged in 0..READ {
            try_worker(damaged, &bytes);
        }
    }
    // Undamaged, it gets as far as the command.
    let task = staged().all()[&root().task()].clone();
    assert_eq!(try_worker(0, &task), 127);
}

fn damaged() -> impl Strategy<Value = (usize, Vec<u8>)> {
    let objects = staged().all();
    (0..READ).prop_flat_map(move |which| {
        let whole = objects[&read_by_the_child()[which]].to_vec();
        (Just(which), changed(vec![whole]))
    })
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn no_bytes_break_an_index_entry(bytes in changed(seeds("index"))) {
        try_entry(&bytes);
    }

    #[test]
    fn no_damaged_object_breaks_the_worker((which, bytes) in damaged()) {
        try_worker(which, &bytes);
    }
}
