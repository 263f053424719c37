//! Staging over a store in memory: what lies in the bucket afterwards, and what does not when the inputs are wrong.

use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use batchmap::aws::memory::MemoryStore;
use batchmap::aws::store::{Page, Store, StoreError};
use batchmap::idl::core::{Literal, LiteralType};
use batchmap::idl::json::{literal_from_json, literal_to_json};
use batchmap::idl::record::TaskRecord;
use batchmap::idl::types::{parse_type, type_name};
use batchmap::map::cache::Key;
use batchmap::map::layout::{Root, index_width};
use batchmap::map::pack::{IndexEntry, decode_element, decode_head};
use batchmap::map::spec;
use batchmap::run::bound::{Results, ResultsError};
use batchmap::run::stage::{StageError, StageOptions, Staged, stage};
use bytes::Bytes;
use prost::Message;
use serde_json::{Value, json};

const ID: &str = "20261122t203812-x";

fn root() -> Root {
    Root::new("team", ID)
}

/// One earlier execution, `earlier`, with outputs `score` (floats, one failed) and `label`.
struct Earlier;

#[async_trait]
impl Results for Earlier {
    async fn output(&self, id: &str, output: Option<&str>) -> Result<(LiteralType, Literal), ResultsError> {
        match (id, output) {
            ("earlier", Some("score")) => {
                let literal_type = parse_type("[float?]").unwrap();
                let literal = literal_from_json(&json!([0.5, null]), &literal_type).unwrap();
                Ok((literal_type, literal))
            }
            ("earlier", _) => Err(ResultsError::Unusable("it has the outputs label and score".to_owned())),
            _ => Err(ResultsError::Unusable("there is no such execution".to_owned())),
        }
    }
}

fn options(store: &Arc<dyn Store>) -> StageOptions {
    let store = store.clone();
    StageOptions { dry_run: false, stores: Arc::new(move |_| store.clone()), results: Arc::new(Earlier), stdin: None }
}

/// Stages a spec into a bucket of its own.
async fn run(document: Value) -> (Result<Staged, StageError>, Arc<MemoryStore>) {
    let memory = Arc::new(MemoryStore::new("bucket"));
    let store: Arc<dyn Store> = memory.clone();
    let task = spec::read(&document).unwrap_or_else(|faults| panic!("{faults}"));
    (stage(&task, &store, &root(), options(&store)).await, memory)
}

async fn staged(document: Value) -> (Staged, Arc<MemoryStore>) {
    let (result, memory) = run(document).await;
    (result.unwrap_or_else(|error| panic!("{error}")), memory)
}

/// The faults of a staging, which must have left no record behind.
async fn faults(document: Value) -> Vec<String> {
    let (result, memory) = run(document).await;
    let Err(StageError::Faults(faults)) = result else { panic!("{result:?}") };
    assert!(!memory.objects().contains_key(&root().task()), "something looks staged");
    faults.to_string().lines().map(str::to_owned).collect()
}

fn spec_of(map: Value) -> Value {
    json!({"command": ["run"], "map": map})
}

/// Every element of every pack, as a child reads it: bound inputs and mapped ones in the order of their names.
fn read_back(record: &TaskRecord, memory: &MemoryStore) -> Vec<(Value, Vec<Value>)> {
    let objects = memory.objects();
    let lists = record.mapped.len();
    let mut elements = Vec::new();
    for (pack, start) in record.pack_starts.iter().enumerate() {
        assert_eq!(*start, elements.len() as u64);
        let body = &objects[&root().pack(pack as u32)];
        let index = &objects[&root().pack_index(pack as u32)];
        for entry in index.chunks(index_width(lists) as usize) {
            let entry = IndexEntry::parse(entry, lists).unwrap();
            let head = decode_head(&body[..entry.head_len as usize]).unwrap();
            let head = head.iter().map(|(name, literal)| (name.clone(), literal_to_json(literal))).collect();
            let run = |run: &Range<u64>| {
                literal_to_json(&decode_element(&body[run.start as usize..run.end as usize]).unwrap())
            };
            elements.push((Value::Object(head), entry.runs.iter().map(run).collect()));
        }
    }
    assert_eq!(record.size, elements.len() as u64);
    elements
}

fn file(name: &str, content: impl AsRef<[u8]>) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    std::fs::File::create(&path).unwrap().write_all(content.as_ref()).unwrap();
    (directory, format!("@{}", path.display()))
}

fn input_type(record: &TaskRecord, name: &str) -> String {
    let interface = record.interface.as_ref().unwrap();
    type_name(interface.inputs.as_ref().unwrap().variables[name].r#type.as_ref().unwrap())
}

#[tokio::test]
async fn lists_are_zipped_beside_the_bound_values() {
    let (_directory, points) = file("points.json", "[1, 2.5,\n 3]");
    let (Staged { record, .. }, memory) = staged(json!({
        "name": "n", "image": "i", "command": ["run", "{{.inputs.x}}"],
        "inputs": {"t": "duration"},
        "outputs": {"o": "boolean"},
        "map": {"x": points, "a": ["p", "q", "r"]},
        "bind": {"threshold": 11, "t": "90s", "deep": {"list": [1]}, "earlier": "@earlier/score"},
        "policy": {
            "concurrency": 2, "concurrency_mode": "batches", "min_success_ratio": 0.5, "completion": "satisfied",
            "retries": 1, "timeout": "90s", "interruptible": true, "run_all_sub_nodes": true,
            "checkpoint": true
        },
        "resources": {"cpu": 2, "mem": 512, "gpu": 1},
        "environment": {"K": "v"},
        "input_dir": "/in"
    }))
    .await;
    let head = json!({"threshold": 11, "t": "90s", "deep": {"list": [1]}, "earlier": [0.5, null]});
    let elements = read_back(&record, &memory);
    let expected = [json!(["p", 1.0]), json!(["q", 2.5]), json!(["r", 3.0])];
    for ((bound, mapped), expected) in elements.iter().zip(&expected) {
        assert_eq!((bound, &json!(mapped)), (&head, expected));
    }
    assert_eq!(record.mapped, ["a", "x"]);
    assert_eq!((input_type(&record, "x"), input_type(&record, "t")), ("float".into(), "duration".into()));
    assert_eq!(input_type(&record, "earlier"), "[float?]");
    let policy = record.policy.as_ref().unwrap();
    assert_eq!((policy.min_successes, policy.timeout_ms, policy.concurrency), (2, 90_000, 2));
    assert_eq!((policy.concurrency_mode, policy.completion, policy.retries), (1, 1, 1));
    assert!(policy.interruptible && policy.run_all_sub_nodes && record.checkpoint);
    assert_eq!(record.resources.as_ref().map(|r| (r.cpu_milli, r.memory_mib, r.gpus)), Some((2000, 512, 1)));
    assert_eq!((record.version, record.name.as_str(), record.image.as_str()), (1, "n", "i"));
    assert_eq!((record.input_dir.as_str(), record.output_dir.as_str()), ("/in", ""));
    let written = TaskRecord::decode(memory.objects()[&root().task()].clone()).unwrap();
    assert_eq!(written, record);
}

#[tokio::test]
async fn an_empty_list_leaves_nothing() {
    for map in [json!({"x": []}), json!({"x": [], "y": []})] {
        let (staged, memory) = staged(spec_of(map)).await;
        assert_eq!((staged.record.size, staged.record.pack_starts.len(), staged.pack_bytes), (0, 0, 0));
        assert!(memory.objects().is_empty(), "there is no execution to record");
    }
}

#[tokio::test]
async fn json_lines_come_from_files_standard_input_and_s3_alike() {
    let lines = (0..25_000).map(|i| format!("{{\"i\": {i}}}\n")).collect::<String>();
    let memory = Arc::new(MemoryStore::new("bucket"));
    let store: Arc<dyn Store> = memory.clone();
    store.put("data/lines.jsonl", lines.clone().into()).await.unwrap();
    // A longer key that begins the same must not be taken for it.
    store.put("data/lines.jsonl.bak", "[]".into()).await.unwrap();
    let (_directory, path) = file("lines.jsonl", &lines);
    let document = spec_of(json!({"a": path, "b": "-", "c": "s3://bucket/data/lines.jsonl"}));
    let task = spec::read(&document).unwrap();
    let options = StageOptions { stdin: Some(Box::new(io::Cursor::new(lines))), ..options(&store) };
    let record = stage(&task, &store, &root(), options).await.unwrap().record;
    assert_eq!(record.pack_starts, [0, 10_000, 20_000]);
    let elements = read_back(&record, &memory);
    for (i, (_, mapped)) in elements.iter().enumerate() {
        let element = json!({"i": i});
        assert_eq!(mapped, &[element.clone(), element.clone(), element]);
    }
}

#[tokio::test]
async fn lines_that_are_lists_and_lists_of_lists() {
    let (_directory, lines) = file("rows.ndjson", "[1]\n[2, 3]\n");
    let (Staged { record, .. }, memory) = staged(spec_of(json!({"x": lines, "y": [[], ["a"]]}))).await;
    assert_eq!((input_type(&record, "x"), input_type(&record, "y")), ("[integer]".into(), "[string]".into()));
    let elements: Vec<Vec<Value>> = read_back(&record, &memory).into_iter().map(|(_, mapped)| mapped).collect();
    assert_eq!(elements, [[json!([1]), json!([])], [json!([2, 3]), json!(["a"])]]);
}

#[tokio::test]
async fn unequal_lists_are_told_with_all_lengths() {
    let (_directory, long) = file("long.jsonl", "1\n".repeat(5000));
    let found = faults(spec_of(json!({"a": [1, 2, 3], "b": long, "c": []}))).await;
    let problem = "lists mapped together must have the same length: a has 3, b has 5000, c has 0";
    assert_eq!(found, [format!("map: {problem}; correct the lists, or bind what is one value")]);
}

#[tokio::test]
async fn faults_in_the_data_carry_their_lines() {
    let (_directory, points) = file("points.jsonl", b"1\n\n{oops\n\"three\"\n\"\xff\"\n5\n1e999\n");
    let place = points[1..].to_owned();
    let found = faults(spec_of(json!({"x": points}))).await;
    assert_eq!(
        found,
        [
            format!("{place}:3: x[1]: is not JSON: key must be a string (column 2)"),
            format!(
                "{place}:4: x[2] is \"three\": expected integer, found \"three\"; the type integer was inferred from \
                 the first elements: correct this one, or give --input x:TYPE"
            ),
            format!("{place}:5: x[3]: holds invalid UTF-8 at byte 2 of the element; write it in UTF-8"),
            format!("{place}:7: x[5]: is not JSON: number out of range (column 5)"),
        ]
    );
}

#[tokio::test]
async fn a_type_that_turns_out_wider_names_the_wider_one() {
    let lines: String = (0..1000).map(|i| format!("{i}\n")).chain(["0.5\n".to_owned()]).collect();
    let (_directory, path) = file("points.jsonl", lines);
    let found = faults(spec_of(json!({"x": path}))).await;
    assert!(found.len() == 1 && found[0].contains(":1001: x[1000] is 0.5: "), "{found:?}");
    assert!(found[0].ends_with("give --input x:float"), "{found:?}");
    let mut document = spec_of(json!({"x": path}));
    document["inputs"] = json!({"x": "float"});
    assert_eq!(staged(document).await.0.record.size, 1001);
}

#[tokio::test]
async fn after_twenty_faults_the_rest_is_counted_and_nothing_more_is_written() {
    let list: Vec<Value> = (0..30_000).map(|i| if i < 29_900 { json!(i) } else { json!("x") }).collect();
    let (result, memory) = run(spec_of(json!({"x": list}))).await;
    let Err(StageError::Faults(faults)) = result else { panic!("{result:?}") };
    assert_eq!(faults.0.len(), 21);
    assert!(faults.0[0].field == "map.x[29900]", "{faults}");
    assert_eq!(faults.0[20].to_string(), "... and 80 more");
    assert!(!memory.objects().contains_key(&root().task()));
}

#[tokio::test]
async fn every_list_that_cannot_be_read_is_told_beside_what_is_wrong_with_bound_values() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().display();
    let long = "long/".repeat(40);
    let (_directory, broken) = file("broken.json", "[1,\n2");
    let document = json!({
        "command": ["run"],
        "inputs": {"model": "file", "scores": "[float]"},
        "map": {"a": format!("@{folder}"), "b": format!("@{folder}/{long}/none.json"), "c": &broken, "d": "s3://bucket/none"},
        "bind": {
            "model": format!("{folder}/model.bin"), "e": "@nobody", "scores": "@earlier/score", "f": "file:gs://b/k"
        },
    });
    let found = faults(document).await.join("\n");
    for expected in [
        &format!("map.a is {folder}: is a directory; "),
        &format!("map.b is {folder}/{long}/none.json: does not exist; "),
        &format!("map.c is {}:2: the array is not closed; ", &broken[1..]),
        "map.d is s3://bucket/none: does not exist; ",
        "bind.e is @nobody: there is no such execution; `batchmap list` shows",
        &format!("bind.model is \"{folder}/model.bin\": cannot be read: No such file"),
        "bind.scores is @earlier/score: that output is [float?]: element 1: expected float, found null; correct it",
        "bind.f is \"gs://b/k\": is neither a local path nor an s3:// address",
    ] {
        assert!(found.contains(expected), "{expected:?} should be in\n{found}");
    }
    assert_eq!(found.lines().count(), 8);
}

#[tokio::test]
async fn files_are_uploaded_and_their_addresses_staged() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    for name in ["a.csv", "b.csv", "model.bin"] {
        std::fs::write(directory.path().join(name), name).unwrap();
    }
    let (Staged { record, files, file_bytes, .. }, memory) = staged(json!({
        "command": ["run"],
        "inputs": {"x": "file[csv]", "pair": "[file]"},
        "map": {
            "x": [path("a.csv"), "s3://elsewhere/k.csv", path("b.csv")],
            "pair": [[path("a.csv"), path("b.csv")], [], ["s3://elsewhere/k.csv"]]
        },
        "bind": {"model": format!("file:{}", path("model.bin"))},
    }))
    .await;
    let raw = format!("s3://bucket/team/raw/{ID}/inputs");
    let elements = read_back(&record, &memory);
    assert_eq!(elements[0].0, json!({"model": format!("{raw}/model/model.bin")}));
    let mapped: Vec<&Vec<Value>> = elements.iter().map(|(_, mapped)| mapped).collect();
    let at = |rest: &str| format!("{raw}/{rest}");
    assert_eq!(
        json!(mapped),
        json!([
            [[at("pair/0000000000/0/a.csv"), at("pair/0000000000/1/b.csv")], at("x/0000000000/a.csv")],
            [[], "s3://elsewhere/k.csv"],
            [["s3://elsewhere/k.csv"], at("x/0000000002/b.csv")],
        ])
    );
    assert_eq!((files, file_bytes), (5, 29));
    let key = format!("team/raw/{ID}/inputs/x/0000000002/b.csv");
    assert_eq!(memory.objects()[&key], "b.csv");

    let missing = json!({"command": ["run"], "inputs": {"x": "file"}, "map": {"x": [path("a.csv"), path("none")]}});
    let found = faults(missing).await;
    assert!(found.len() == 1 && found[0].starts_with("map.x[1] is "), "{found:?}");
}

#[tokio::test]
async fn inputs_too_large_for_a_pack_are_told_to_be_files() {
    let large = "x".repeat(9 << 20);
    let mut document = spec_of(json!({"x": [1, 2]}));
    document["bind"] = json!({"big": large});
    let found = faults(document).await;
    assert!(found.len() == 1 && found[0].contains("Pass big as a file"), "{found:?}");
    let found = faults(spec_of(json!({"x": ["small", large]}))).await;
    assert!(found[0].starts_with("map.x[1]: ") && found[0].contains("Pass x as a file"), "{found:?}");
}

#[tokio::test]
async fn a_dry_run_counts_and_writes_nothing() {
    let document = spec_of(json!({"x": (0..20_001).collect::<Vec<_>>()}));
    let memory = Arc::new(MemoryStore::new("bucket"));
    let store: Arc<dyn Store> = memory.clone();
    let task = spec::read(&document).unwrap();
    let dry = stage(&task, &store, &root(), StageOptions { dry_run: true, ..options(&store) }).await.unwrap();
    assert!(memory.objects().is_empty());
    let real = stage(&task, &store, &root(), options(&store)).await.unwrap();
    assert_eq!(dry, real);
    assert_eq!(real.record.pack_starts, [0, 10_000, 20_000]);
    let written: u64 =
        memory.objects().iter().filter(|(key, _)| key.contains("/inputs/")).map(|(_, b)| b.len() as u64).sum();
    assert_eq!(real.pack_bytes, written);
    // The same record again is ours; another one is not.
    stage(&task, &store, &root(), options(&store)).await.unwrap();
    let other = spec::read(&spec_of(json!({"x": [1]}))).unwrap();
    let error = stage(&other, &store, &root(), options(&store)).await.unwrap_err();
    assert!(matches!(error, StageError::Store(StoreError::AlreadyExists { .. })), "{error}");
}

/// Lines without end in sight, counting how many have been read.
struct Lines {
    left: u64,
    read: Arc<AtomicU64>,
}

impl Read for Lines {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let lines = (buffer.len() as u64 / 2).min(self.left);
        for pair in buffer.chunks_exact_mut(2).take(lines as usize) {
            pair.copy_from_slice(b"7\n");
        }
        self.left -= lines;
        self.read.fetch_add(lines, Ordering::SeqCst);
        Ok(2 * lines as usize)
    }
}

/// A slow store that watches how far the reader is ahead of what has been written.
struct Watched {
    inner: MemoryStore,
    read: Arc<AtomicU64>,
    packs_written: AtomicU64,
    packs_in_flight: AtomicUsize,
}

const PACK: u64 = 10_000;

#[async_trait]
impl Store for Watched {
    fn bucket(&self) -> &str {
        self.inner.bucket()
    }
    async fn put(&self, key: &str, body: Bytes) -> Result<(), StoreError> {
        if key.ends_with(".pb") {
            let in_flight = self.packs_in_flight.fetch_add(1, Ordering::SeqCst) + 1;
            assert!(in_flight <= 4, "{in_flight} packs are being written at once");
            // Room for a reader without a bound to run far ahead.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            let ahead = self.read.load(Ordering::SeqCst) - PACK * self.packs_written.load(Ordering::SeqCst);
            // Four in flight, one waiting to be, one being filled; three batches in the channel and at its ends, the
            // lines read ahead to infer the type, and the reader's buffer of 64 KiB.
            assert!(ahead <= 6 * PACK + 5 * 1024 + 32 * 1024 + 1024, "{ahead} lines are in memory");
        }
        self.inner.put(key, body).await?;
        if key.ends_with(".pb") {
            self.packs_written.fetch_add(1, Ordering::SeqCst);
            self.packs_in_flight.fetch_sub(1, Ordering::SeqCst);
        }
        Ok(())
    }
    async fn put_new(&self, key: &str, body: Bytes) -> Result<(), StoreError> {
        assert_eq!(self.packs_in_flight.load(Ordering::SeqCst), 0, "the record is written last");
        self.inner.put_new(key, body).await
    }
    async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        self.inner.get(key).await
    }
    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.inner.get_range(key, range).await
    }
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, StoreError> {
        self.inner.list(prefix, after).await
    }
    async fn list_directories(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.inner.list_directories(prefix).await
    }
    async fn delete_many(&self, keys: &[String]) -> Result<(), StoreError> {
        self.inner.delete_many(keys).await
    }
    async fn now(&self) -> Result<u64, StoreError> {
        self.inner.now().await
    }
    async fn upload(&self, key: &str, file: &Path) -> Result<(), StoreError> {
        self.inner.upload(key, file).await
    }
    async fn download(&self, key: &str, file: &Path) -> Result<(), StoreError> {
        self.inner.download(key, file).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_is_never_held_in_memory() {
    const LINES: u64 = 200_000;
    let read = Arc::new(AtomicU64::new(0));
    let store: Arc<dyn Store> = Arc::new(Watched {
        inner: MemoryStore::new("bucket"),
        read: read.clone(),
        packs_written: AtomicU64::new(0),
        packs_in_flight: AtomicUsize::new(0),
    });
    let task = spec::read(&spec_of(json!({"x": "-"}))).unwrap();
    let stdin: Box<dyn Read + Send> = Box::new(Lines { left: LINES, read });
    let staged = stage(&task, &store, &root(), StageOptions { stdin: Some(stdin), ..options(&store) }).await.unwrap();
    assert_eq!(staged.record.size, LINES);
    assert_eq!(staged.record.pack_starts.len() as u64, LINES / PACK);
}

fn cached(mut document: Value) -> Value {
    document["policy"] = json!({"cache": true, "cache_version": "1"});
    document
}

/// The cache's keys of every element, as they are staged.
fn keys(record: &TaskRecord, memory: &MemoryStore) -> Vec<Key> {
    let objects = memory.objects();
    (0..record.pack_starts.len())
        .flat_map(|p| Key::all(&objects[&root().pack_keys(p as u32)]).collect::<Vec<_>>())
        .collect()
}

#[tokio::test]
async fn every_element_of_a_cached_task_has_its_key_beside_its_pack() {
    let list: Vec<u64> = (0..10_001).map(|n| n % 7000).collect();
    let (staged, memory) = staged(cached(spec_of(json!({"x": list})))).await;
    assert_eq!(staged.record.pack_starts, [0, 10_000]);
    assert_eq!(staged.record.cache.as_ref().unwrap().version, "1");
    let keys = keys(&staged.record, &memory);
    assert_eq!(keys.len(), 10_001);
    assert_eq!(keys[0], keys[7000], "equal elements have equal keys");
    assert_eq!(keys.iter().collect::<std::collections::BTreeSet<_>>().len(), 7000);
    let (plain, memory) = self::staged(spec_of(json!({"x": [1]}))).await;
    assert!(plain.record.cache.is_none());
    assert!(!memory.objects().contains_key(&root().pack_keys(0)), "others have none");
}

#[tokio::test]
async fn files_of_a_cached_task_carry_the_hash_of_their_content() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (one, same, other) = (file("one", "abc"), file("same", "abc"), file("other", "abd"));
    let document = |mapped: Value, bound: &str| {
        cached(json!({
            "command": ["run"], "inputs": {"x": "file?", "deep": "[file]"}, "map": {"x": mapped, "deep": [[one], [one], [one], [one]]},
            "bind": {"b": format!("file:{bound}")}
        }))
    };
    let (first, memory) = staged(document(json!([one, same, other, null]), &one)).await;
    let found = keys(&first.record, &memory);
    assert_eq!(found[0], found[1], "wherever it was and is");
    assert!(found[0] != found[2] && found[0] != found[3]);
    let pack = &memory.objects()[&root().pack(0)];
    let hash = b"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(pack.windows(hash.len()).filter(|window| window == hash).count(), 2 + 4 + 1);
    let (second, memory) = staged(document(json!([same, one, other, null]), &same)).await;
    assert_eq!(keys(&second.record, &memory), found);
    let (third, memory) = staged(document(json!([one, same, other, null]), &other)).await;
    assert!(keys(&third.record, &memory).iter().zip(&found).all(|(new, old)| new != old));
    let mut ignoring = document(json!([one, same, other, null]), &other);
    ignoring["policy"]["cache_ignore_inputs"] = json!(["b"]);
    let (_, memory) = staged(ignoring).await;
    let head = &memory.objects()[&root().pack(0)];
    let hashes = head.windows(7).filter(|window| window == b"sha256:").count();
    assert_eq!(hashes, 3 + 4, "what is ignored need not be read");
}
