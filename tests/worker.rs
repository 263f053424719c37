//! The worker: real processes over an in-memory store.

#[path = "support/child.rs"]
mod child;

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use batchmap::aws::memory::MemoryStore;
use batchmap::aws::store::{Page, Store, StoreError};
use batchmap::idl::core::container_error::Kind;
use batchmap::idl::core::execution_error::ErrorKind;
use batchmap::idl::json::literal_from_json;
use batchmap::idl::types::parse_type;
use batchmap::map::exit::{EXIT_RECOVERABLE, EXIT_SYSTEM, RECOVERABLE_FILE};
use batchmap::map::index::OriginalIndex;
use batchmap::map::layout::{ENV_ARRAY, ENV_EXECUTION, ENV_PLACE, Place};
use batchmap::worker::{self, WorkerArgs};
use bytes::Bytes;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::sync::Barrier;

use child::{Staged, error_of, literal, outputs_of, root};

/// Not a test: the process in which the others run the worker.
#[test]
#[ignore = "other tests start it"]
fn worker_process() {
    // Asked for by name without a test around it, it has nothing to do.
    if let Some(folder) = child::worker_folder() {
        std::process::exit(child::worker_process(&folder));
    }
}

fn numbers() -> Vec<Value> {
    (10..20).map(Value::from).collect()
}

fn one() -> Staged {
    Staged::new(&[json!(1)])
}

// Finding the element.

#[test]
fn a_child_of_a_range_gets_its_element() {
    let staged = Staged::new(&numbers()).outputs(&[("o0", "integer")]).child(3);
    let place = Place::Range { pack: 0, position: 4, first: OriginalIndex(4) };
    let outcome = staged.set(ENV_PLACE, place).run(&["echo", "{{.inputs.x}}"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert_eq!(outcome.outputs(7), Some(json!({"o0": 17})));
    assert_eq!(outcome.stdout, b"17\n");
}

#[test]
fn a_child_of_a_compacted_array_gets_its_element() {
    let elements: Vec<_> = numbers().iter().map(|value| vec![literal(value)]).collect();
    let mut staged = Staged::packed(&["x"], &elements, &BTreeMap::new(), 4).outputs(&[("o0", "integer")]);
    let member = |index: u64, pack: u32, position: u32| {
        [&index.to_le_bytes()[..], &pack.to_le_bytes(), &position.to_le_bytes()].concat()
    };
    let members = [member(2, 0, 2), member(9, 2, 1)].concat();
    staged.objects.insert(root().array_indices(5), members.into());
    let staged = staged.set(ENV_PLACE, Place::List).set(ENV_ARRAY, 5).set("AWS_BATCH_JOB_ATTEMPT", 2).child(1);
    let outcome = staged.run(&["echo", "{{.inputs.x}}"]);
    assert_eq!(outcome.outputs(9), Some(json!({"o0": 19})), "{}", outcome.stderr);
    let failed = staged.run(&["false"]);
    assert!(failed.error(9, "000005-02").is_some());
}

#[test]
fn a_range_may_run_on_into_the_next_pack() {
    let elements: Vec<_> = numbers().iter().map(|value| vec![literal(value)]).collect();
    for child in [3, 4, 9] {
        let staged = Staged::packed(&["x"], &elements, &BTreeMap::new(), 4).outputs(&[("o0", "integer")]).child(child);
        let outcome = staged.run(&["echo", "{{.inputs.x}}"]);
        assert_eq!(outcome.outputs(child.into()), Some(json!({"o0": 10 + child})), "{}", outcome.stderr);
    }
}

#[test]
fn without_an_index_it_is_child_0_and_says_so() {
    let outcome = Staged::new(&numbers()).outputs(&[("o0", "integer")]).run(&["echo", "{{.inputs.x}}"]);
    assert_eq!(outcome.succeeded(), json!({"o0": 10}));
    assert!(outcome.stderr.contains("plain job") && outcome.stderr.contains("child 0"), "{}", outcome.stderr);
}

#[test]
fn an_environment_that_is_no_jobs_is_named() {
    let mut staged = one();
    staged.environment.remove(ENV_EXECUTION);
    let outcome = staged.run(&["true"]);
    assert_eq!(outcome.code, Some(EXIT_SYSTEM));
    assert!(outcome.stderr.contains("BATCHMAP_EXECUTION is not set"), "{}", outcome.stderr);
}

#[test]
fn records_that_cannot_be_trusted_are_refused() {
    type Change = fn(&mut Staged);
    let changes: [(Change, &str); 5] = [
        (|staged| staged.record.version = 2, "format 2, this worker reads 1"),
        (|staged| staged.record.mapped.push("y".to_owned()), "20 bytes, not 12"),
        (|staged| staged.record.size = 0, "beyond the 0"),
        (|staged| staged.record.pack_starts.clear(), "no pack"),
        (|staged| drop(staged.objects.insert(root().pack(0), Bytes::from_static(&[0; 12]))), "has only"),
    ];
    for (change, message) in changes {
        let mut staged = one();
        change(&mut staged);
        let error = staged.run(&["true"]).failed(EXIT_SYSTEM);
        assert!(error.message.contains(message), "{}", error.message);
        assert_eq!((error.kind(), error.origin()), (Kind::Recoverable, ErrorKind::System));
    }
    let mut staged = one();
    staged.objects.remove(&root().pack_index(0));
    assert_eq!(staged.run(&["true"]).failed(EXIT_SYSTEM).code, "SYSTEM:Storage");
}

// Giving the inputs.

#[test]
fn inputs_come_in_arguments_files_and_environment() {
    let bound = json!({"flag": true, "name": "a b", "opts": {"k": [1, 2]}, "price": 6.0});
    let staged = Staged::with_bound(&[json!("s1"), json!("s2")], &bound).child(1).outputs(&[("o0", "string")]);
    let script = r#"
        printf '%s|' "$@"
        for name in flag name opts price x; do printf '%s|' "$(cat "$BATCHMAP_INPUT_DIR/$name")"; done
        printf '%s|' "$BATCHMAP_INPUT_flag" "$BATCHMAP_INPUT_name" "$BATCHMAP_INPUT_x"
        printf '%s|' "$BATCHMAP_INDEX" "$BATCHMAP_SIZE" "$BATCHMAP_ATTEMPT" "$FROM_RECORD" "$INHERITED"
        [ "$BATCHMAP_INPUT_DIR" = "$6" ] && [ "$BATCHMAP_OUTPUT_DIR" = "$7" ] && printf dirs"#;
    let arguments = [
        "{{.inputs.x}}",
        "<{{ .Inputs.name }}>",
        "{{.inputs.flag}}{{.inputs.price}}",
        "{{.inputs.opts}}",
        "",
        "{{.inputDir}}",
        "{{.outputDir}}",
        "{{.outputPrefix}} {{.rawOutputDataPrefix}}",
        "\\{{.inputs.x}} {{x}}",
    ];
    let mut staged = staged.set("INHERITED", "yes");
    staged.record.environment.insert("FROM_RECORD".to_owned(), "r".to_owned());
    let outcome = staged.shell(script, &arguments);
    let output = outcome.outputs(1).unwrap_or_else(|| panic!("{}", outcome.stderr));
    let parts: Vec<&str> = output["o0"].as_str().unwrap().split('|').collect();
    assert_eq!(parts[..5], ["s2", "<a b>", "true6.0", r#"{"k":[1,2]}"#, ""]);
    assert_eq!(
        parts[7],
        "s3://bucket/p/executions/e1/subtasks/0000000001 s3://bucket/p/raw/e1/0000000001/000000-01.job"
    );
    assert_eq!(parts[8], "{{.inputs.x}} {{x}}");
    assert_eq!(parts[9..14], ["true", "a b", r#"{"k":[1,2]}"#, "6.0", "s2"]);
    assert_eq!(parts[14..], ["true", "a b", "s2", "1", "2", "000000-01", "r", "yes", "dirs"]);
}

#[test]
fn a_value_that_looks_like_a_template_stays_as_it_is() {
    let staged = Staged::with_bound(&[json!("{{.inputs.y}} $(echo no) `no`")], &json!({"y": "SECRET"}));
    let outcome = staged.outputs(&[("o0", "string")]).run(&["printf", "%s", "{{.inputs.x}}"]);
    assert_eq!(outcome.succeeded(), json!({"o0": "{{.inputs.y}} $(echo no) `no`"}));
}

#[test]
fn long_values_and_zero_bytes_stay_out_of_the_environment() {
    let staged =
        Staged::with_bound(&[json!("x".repeat(40_000))], &json!({"z": "a\u{0}b"})).outputs(&[("o0", "string")]);
    let script = "echo ${BATCHMAP_INPUT_x-unset} ${BATCHMAP_INPUT_z-unset} $(wc -c < $BATCHMAP_INPUT_DIR/x) \
                  $(wc -c < $BATCHMAP_INPUT_DIR/z)";
    assert_eq!(staged.shell(script, &[]).succeeded(), json!({"o0": "unset unset 40000 3"}));
    let error = staged.run(&["echo", "{{.inputs.z}}"]).failed(126);
    assert!(error.message.contains("input z holds a zero byte"), "{}", error.message);
}

#[test]
fn an_unknown_input_is_named() {
    let error = one().run(&["echo", "{{.inputs.nope}}"]).failed(126);
    assert!(error.message.contains("{{.inputs.nope}} names no input (inputs: x)"), "{}", error.message);
    assert_eq!((error.kind(), error.origin()), (Kind::NonRecoverable, ErrorKind::User));
}

#[test]
fn the_records_command_is_used_when_none_is_given() {
    let mut staged = one().outputs(&[("o0", "string")]);
    staged.record.command = ["sh", "-c", "echo $#", "sh", "", "{{.inputs.x}}"].map(str::to_owned).to_vec();
    assert_eq!(staged.run(&[]).succeeded(), json!({"o0": "2"}));
    staged.record.command.clear();
    assert!(staged.run(&[]).failed(EXIT_SYSTEM).message.contains("no command"));
}

#[test]
fn the_records_directories_are_used() {
    let mut staged = one().outputs(&[("a", "string"), ("b", "string")]);
    let (input_dir, output_dir) = (staged.path().join("in"), staged.path().join("out"));
    staged.record.input_dir = input_dir.to_string_lossy().into_owned();
    staged.record.output_dir = output_dir.to_string_lossy().into_owned();
    fs::create_dir_all(&output_dir).unwrap();
    fs::write(output_dir.join("a"), "stale").unwrap();
    let error = staged.shell(&format!("cat {}/x > {}/b", input_dir.display(), output_dir.display()), &[]).failed(1);
    assert!(error.message.contains("output a") && !error.message.contains("output b"), "{}", error.message);
    assert_eq!(fs::read_to_string(output_dir.join("b")).unwrap(), "1");
}

#[test]
fn files_are_downloaded_and_uploaded() {
    let file = parse_type("file[csv]").unwrap();
    let value = |uri: &str| literal_from_json(&json!(uri), &file).unwrap();
    let elements = [vec![value("s3://bucket/data/one.csv")]];
    let bound = BTreeMap::from([("table".to_owned(), value("s3://other/two.csv"))]);
    let mut staged = Staged::packed(&["x"], &elements, &bound, 1).outputs(&[("copy", "file[csv]"), ("none", "file?")]);
    staged.objects.insert("data/one.csv".to_owned(), Bytes::from_static(b"1\n"));
    fs::create_dir_all(staged.path().join("other")).unwrap();
    fs::write(staged.path().join("other/two.csv"), "2\n").unwrap();
    let script = r#"cat "$1" "$BATCHMAP_INPUT_table" > "$BATCHMAP_OUTPUT_DIR/copy""#;
    let outcome = staged.shell(script, &["{{.inputs.x}}"]);
    let address = "s3://bucket/p/raw/e1/0000000000/000000-01.job/copy";
    assert_eq!(outcome.succeeded(), json!({"copy": address, "none": null}));
    assert_eq!(outcome.objects["p/raw/e1/0000000000/000000-01.job/copy"], "1\n2\n");

    for (uri, message) in
        [("s3://bucket/gone", "does not exist"), ("https://x/y", "only s3://"), ("s3://b", "only s3://")]
    {
        let staged = Staged::packed(&["x"], &[vec![value(uri)]], &BTreeMap::new(), 1);
        let error = staged.run(&["true"]).failed(126);
        assert!(error.message.contains("input x") && error.message.contains(message), "{}", error.message);
    }
}

/// A submission of unknown outcome may have made two jobs of one array: the outputs of the first to end stay, and so do
/// the files that they name.
#[test]
fn twin_jobs_do_not_replace_one_anothers_files() {
    let mut staged = one().outputs(&[("o", "file")]);
    let mut first = None;
    for twin in ["aaaa-1:0", "bbbb-2:0"] {
        staged = staged.set("AWS_BATCH_JOB_ID", twin);
        let outcome = staged.shell(&format!("echo {twin} > $BATCHMAP_OUTPUT_DIR/o"), &[]);
        let outputs = outcome.succeeded();
        let address = outputs["o"].as_str().unwrap().strip_prefix("s3://bucket/").unwrap().to_owned();
        assert_eq!(outcome.objects[&address], "aaaa-1:0\n", "{twin}");
        assert_eq!(*first.get_or_insert_with(|| address.clone()), address);
        staged.objects.extend(outcome.objects);
    }
}

// Taking the outputs.

#[test]
fn standard_output_is_the_only_output() {
    for (literal_type, script, expected) in [
        ("boolean", "echo True", json!(true)),
        ("integer", "echo 42", json!(42)),
        ("float", "echo 6", json!(6.0)),
        ("string", "printf ' a\\n\\n'", json!(" a\n")),
        ("string", "true", json!("")),
        ("struct", r#"echo '{"a": 1}'"#, json!({"a": 1})),
        ("[float]", "echo '[1, 2.5]'", json!([1.0, 2.5])),
        ("duration", "echo 5m", json!("300s")),
        ("none", "true", json!(null)),
        ("integer?", "true", json!(null)),
        ("binary", "printf '\\377'", json!({"binary": "/w==", "tag": ""})),
    ] {
        let outcome = one().outputs(&[("o0", literal_type)]).shell(script, &[]);
        assert_eq!(outcome.succeeded(), json!({ "o0": expected }), "{literal_type}");
    }
}

#[test]
fn files_are_outputs_by_name_and_outrank_standard_output() {
    let outcome = one()
        .outputs(&[("a", "integer"), ("b", "string")])
        .shell("echo log; echo 5 > $BATCHMAP_OUTPUT_DIR/a; echo text > $BATCHMAP_OUTPUT_DIR/b", &[]);
    assert_eq!(outcome.succeeded(), json!({"a": 5, "b": "text"}));
    assert_eq!(outcome.stdout, b"log\n");
    let outcome = one().outputs(&[("a", "integer")]).shell("echo log; echo 5 > $BATCHMAP_OUTPUT_DIR/a", &[]);
    assert_eq!(outcome.succeeded(), json!({"a": 5}));
}

#[test]
fn no_outputs_are_no_bytes() {
    let outcome = one().run(&["echo", "text"]);
    assert_eq!(outcome.succeeded(), json!({}));
    assert!(outcome.objects[&root().outputs(OriginalIndex(0))].is_empty());
}

#[test]
fn outputs_that_are_missing_or_wrong_are_all_named() {
    let staged = one().outputs(&[("a", "integer"), ("b", "string"), ("c", "[integer]"), ("d", "file")]);
    let script = "cd $BATCHMAP_OUTPUT_DIR; echo x > a; printf '[1,' > c; mkdir d";
    let error = staged.shell(script, &[]).failed(1);
    assert_eq!(
        (error.code.as_str(), error.kind(), error.origin()),
        ("USER:Output", Kind::NonRecoverable, ErrorKind::User)
    );
    for part in [
        r#"output a (integer): expected integer, found "x""#,
        "output b (string): missing",
        "output c ([integer]): expected [integer], found \"[1,\" (not JSON",
        "output d (file)",
    ] {
        assert!(error.message.contains(part), "{part} in {}", error.message);
    }
}

#[test]
fn standard_output_that_is_no_value_is_shown() {
    for (literal_type, script, part) in [
        ("integer", "echo twelve", r#"found "twelve""#),
        ("integer", "true", "found nothing"),
        ("string", "printf 'a\\377b'", "no UTF-8 (at byte 1)"),
        ("string", "head -c 9000000 /dev/zero | tr '\\0' x", "at most 8388608 bytes"),
        ("file", "echo x", "missing; write it to the file"),
    ] {
        let error = one().outputs(&[("o0", literal_type)]).shell(script, &[]).failed(1);
        assert!(error.message.contains(part), "{}", error.message);
        assert!(error.message.contains("output o0"), "{}", error.message);
    }
}

#[test]
fn the_first_complete_outputs_win() {
    let mut staged = one().outputs(&[("o0", "integer")]);
    let first = staged.run(&["echo", "1"]);
    let key = root().outputs(OriginalIndex(0));
    staged.objects.insert(key.clone(), first.objects[&key].clone());
    assert_eq!(staged.run(&["echo", "2"]).succeeded(), json!({"o0": 1}));
}

// Failing.

#[test]
fn a_failure_shows_the_last_lines_of_standard_error() {
    let outcome = one().shell("i=0; while [ $i -lt 1000 ]; do echo line $i >&2; i=$((i+1)); done; exit 3", &[]);
    let error = outcome.failed(3);
    assert_eq!(
        (error.code.as_str(), error.kind(), error.origin()),
        ("USER:ExitCode", Kind::NonRecoverable, ErrorKind::User)
    );
    assert!(error.message.starts_with("the command exited with code 3\nline "), "{}", error.message);
    assert!(error.message.ends_with("\nline 999") && error.message.len() < 2200, "{}", error.message);
    assert!(outcome.stderr.contains("line 0\n") && outcome.stderr.contains("line 999\n"));
}

#[test]
fn a_signal_gives_its_number_and_name() {
    assert!(one().shell("kill -KILL $$", &[]).failed(137).message.contains("SIGKILL; most often"));
    assert!(one().shell("kill -SEGV $$", &[]).failed(139).message.contains("SIGSEGV"));
}

#[test]
fn exit_code_75_or_a_file_make_a_failure_recoverable() {
    let error = one().shell("echo busy >&2; exit 75", &[]).failed(EXIT_RECOVERABLE);
    assert_eq!(
        (error.code.as_str(), error.kind(), error.origin()),
        ("USER:Recoverable", Kind::Recoverable, ErrorKind::User)
    );
    assert!(error.message.contains("busy"), "{}", error.message);
    for (exit, code) in [(0, EXIT_RECOVERABLE), (5, 5)] {
        let script = format!("echo ' come again ' > $BATCHMAP_OUTPUT_DIR/{RECOVERABLE_FILE}; exit {exit}");
        let error = one().shell(&script, &[]).failed(code);
        assert_eq!((error.message.as_str(), error.kind()), ("come again", Kind::Recoverable));
    }
}

#[test]
fn a_command_that_cannot_be_started_is_named() {
    let error = one().run(&["no-such-program"]).failed(127);
    assert!(error.message.contains("\"no-such-program\" is not found"), "{}", error.message);
    let staged = one();
    let file = staged.path().join("plain.txt");
    fs::write(&file, "x").unwrap();
    let error = staged.run(&[file.to_str().unwrap()]).failed(126);
    assert_eq!((error.code.as_str(), error.kind()), ("USER:Command", Kind::NonRecoverable));
    let error = one().run(&["echo", &"x".repeat(200_000)]).failed(126);
    assert!(error.message.contains("{{.inputDir}}"), "{}", error.message);
}

#[test]
fn a_command_that_takes_too_long_is_stopped() {
    let outcome = one().timeout_ms(50).shell("echo begun >&2; sleep 1000 & sleep 1000", &[]);
    let error = outcome.failed(124);
    assert_eq!(
        (error.code.as_str(), error.kind(), error.origin()),
        ("USER:Timeout", Kind::NonRecoverable, ErrorKind::User)
    );
    assert!(error.message.contains("timeout of 50ms"), "{}", error.message);
    let again = one().timeout_ms(50).retrying_timeouts().run(&["sleep", "1000"]).failed(124);
    assert_eq!((again.kind(), again.origin()), (Kind::Recoverable, ErrorKind::User));
    assert_eq!(one().timeout_ms(600_000).run(&["true"]).succeeded(), json!({}));
}

// Processes. Output ends only when no process holds it open: `finish` would wait for one that was left behind.

#[test]
fn nothing_of_the_group_outlives_the_command() {
    let outcome = one().outputs(&[("o0", "string")]).shell("sleep 1000 & echo done", &[]);
    assert_eq!(outcome.succeeded(), json!({"o0": "done"}));
    assert!(!outcome.stderr.contains("still holds"), "{}", outcome.stderr);
}

#[test]
fn signals_are_forwarded_to_the_whole_group() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        // The inner shell is a process of its own in the group; the outer one waits for it and ends as it did.
        let script = "trap : TERM INT; sh -c \"trap 'echo inner; exit 3' TERM INT; echo ready; while :; do sleep 0.05; \
                      done\"; exit $?";
        let staged = one().outputs(&[("o0", "string")]);
        let mut running = staged.start(&["sh", "-c", script]);
        assert_eq!(running.line(), "ready");
        running.signal(signal);
        let outcome = running.finish();
        let error = outcome.failed(3);
        assert_eq!(outcome.stdout, b"inner\n");
        assert_eq!((error.code.as_str(), error.kind()), ("SYSTEM:Terminated", Kind::Recoverable));
        assert!(error.message.contains(signal.as_str()), "{}", error.message);
    }
}

#[test]
fn a_command_that_finishes_its_work_on_sigterm_has_succeeded() {
    let script = "trap 'echo 7 > $BATCHMAP_OUTPUT_DIR/o0; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
    let staged = one().outputs(&[("o0", "integer")]);
    let mut running = staged.start(&["sh", "-c", script]);
    assert_eq!(running.line(), "ready");
    running.signal(Signal::SIGTERM);
    assert_eq!(running.finish().succeeded(), json!({"o0": 7}));
}

#[test]
fn a_command_that_gives_up_on_sigterm_is_not_blamed() {
    let staged = one().outputs(&[("a", "integer"), ("b", "integer")]);
    let mut running = staged.start(&["sh", "-c", "trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done"]);
    assert_eq!(running.line(), "ready");
    running.signal(Signal::SIGTERM);
    assert_eq!(running.finish().failed(1).code, "SYSTEM:Terminated");
}

#[test]
fn the_command_dies_with_a_worker_that_is_killed() {
    let staged = one();
    let mut running = staged.start(&["sh", "-c", "echo ready; exec sleep 1000"]);
    assert_eq!(running.line(), "ready");
    running.signal(Signal::SIGKILL);
    // The command holds this end open; it ends only because the command does.
    assert_eq!(running.line(), "");
}

// In this process, over stores that a worker process could not be given.

async fn run_here(staged: &Staged, store: Arc<dyn Store>, command: &[&str]) -> i32 {
    let environment = staged.environment.iter().map(|(name, value)| (name.into(), value.into()));
    let mut args =
        WorkerArgs { command: command.iter().map(|word| (*word).to_owned()).collect(), ..WorkerArgs::default() };
    args.environment = environment.collect();
    worker::run(args, async |bucket: &str| {
        assert_eq!(bucket, "bucket");
        Ok(Arc::clone(&store))
    })
    .await
}

async fn memory(staged: &Staged) -> MemoryStore {
    let store = MemoryStore::new("bucket");
    for (key, body) in staged.all() {
        store.put(&key, body).await.unwrap();
    }
    store
}

/// A store in which the reads of one round must all have been asked for before any is answered, and whose writes can be
/// made to fail.
struct Rounds {
    inner: MemoryStore,
    /// How many reads each round has, in order.
    rounds: Vec<Barrier>,
    /// The round of a key.
    round: fn(&str, Option<&Range<u64>>) -> usize,
    refuse_outputs: bool,
    calls: std::sync::Mutex<Vec<String>>,
}

impl Rounds {
    async fn enter(&self, key: &str, range: Option<&Range<u64>>) {
        self.calls.lock().unwrap().push(key.to_owned());
        if let Some(barrier) = self.rounds.get((self.round)(key, range)) {
            barrier.wait().await;
        }
    }
}

#[async_trait]
impl Store for Rounds {
    fn bucket(&self) -> &str {
        self.inner.bucket()
    }
    async fn put(&self, key: &str, body: Bytes) -> Result<(), StoreError> {
        self.inner.put(key, body).await
    }
    async fn put_new(&self, key: &str, body: Bytes) -> Result<(), StoreError> {
        self.calls.lock().unwrap().push(key.to_owned());
        if self.refuse_outputs {
            let (bucket, key, message) = ("bucket".to_owned(), key.to_owned(), "connection reset".to_owned());
            return Err(StoreError::Unreachable { operation: "PutObject", bucket, key, message });
        }
        self.inner.put_new(key, body).await
    }
    async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        self.enter(key, None).await;
        self.inner.get(key).await
    }
    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        if !range.is_empty() {
            self.enter(key, Some(&range)).await;
        }
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

#[tokio::test]
async fn three_round_trips() {
    let elements = [vec![literal(&json!(1)), literal(&json!("a"))]];
    let bound = BTreeMap::from([("b".to_owned(), literal(&json!(2)))]);
    let staged = Staged::packed(&["x", "y"], &elements, &bound, 1);
    let round = |key: &str, _: Option<&Range<u64>>| usize::from(key.ends_with("000000.pb"));
    // Index entry and record; head and two elements.
    let rounds = vec![Barrier::new(2), Barrier::new(3)];
    let inner = memory(&staged).await;
    let store = Arc::new(Rounds { inner, rounds, round, refuse_outputs: false, calls: Default::default() });
    assert_eq!(run_here(&staged, store.clone(), &["true"]).await, 0);
    let calls = store.calls.lock().unwrap();
    assert_eq!(calls.len(), 2 + 3 + 1, "{calls:?}");
    assert_eq!(calls.last(), Some(&root().outputs(OriginalIndex(0))));
}

#[tokio::test]
async fn four_round_trips_of_a_compacted_array() {
    let mut staged = one().set(ENV_PLACE, Place::List);
    staged.objects.insert(root().array_indices(0), Bytes::from_static(&[0; 16]));
    let round = |key: &str, _: Option<&Range<u64>>| match key {
        _ if key.ends_with("/indices") || key.ends_with("task.pb") => 0,
        _ if key.ends_with(".idx") => 1,
        _ => 2,
    };
    // Member entry and record; index entry; the element, for there is no head.
    let rounds = vec![Barrier::new(2), Barrier::new(1), Barrier::new(1)];
    let inner = memory(&staged).await;
    let store = Arc::new(Rounds { inner, rounds, round, refuse_outputs: false, calls: Default::default() });
    assert_eq!(run_here(&staged, store.clone(), &["true"]).await, 0);
    assert_eq!(store.calls.lock().unwrap().len(), 2 + 1 + 1 + 1);
}

#[tokio::test]
async fn outputs_that_cannot_be_written_are_the_systems_fault() {
    let staged = one();
    let inner = memory(&staged).await;
    let (rounds, round) = (vec![], (|_: &str, _: Option<&Range<u64>>| 0) as fn(&str, Option<&Range<u64>>) -> usize);
    let store = Arc::new(Rounds { inner, rounds, round, refuse_outputs: true, calls: Default::default() });
    assert_eq!(run_here(&staged, store.clone(), &["true"]).await, EXIT_SYSTEM);
    let error = error_of(&store.inner.objects()[&root().error(OriginalIndex(0), "000000-01")]).unwrap();
    assert_eq!((error.kind(), error.origin()), (Kind::Recoverable, ErrorKind::System));
    assert!(error.message.contains("connection reset"), "{}", error.message);
}

#[tokio::test]
async fn a_bucket_that_cannot_be_opened_is_the_systems_fault() {
    let staged = one();
    let environment = staged.environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
    let args = WorkerArgs { command: vec!["true".to_owned()], environment };
    let code = worker::run(args, async |_: &str| Err("no credentials".to_owned())).await;
    assert_eq!(code, EXIT_SYSTEM);
}

/// The clock stands still until the command is deaf to SIGTERM (a blocking task keeps tokio from moving it), then runs
/// ahead whenever all wait.
#[tokio::test(start_paused = true)]
async fn a_command_deaf_to_sigterm_is_killed_after_the_grace() {
    let staged = one().timeout_ms(60_000);
    let store = Arc::new(memory(&staged).await);
    let pipe = staged.path().join("ready");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let script = format!("trap '' TERM; echo > {}; while :; do sleep 0.05; done", pipe.display());
    let begun = tokio::time::Instant::now();
    let ready = tokio::task::spawn_blocking(move || fs::read(pipe));
    let code = run_here(&staged, store.clone(), &["sh", "-c", &script]).await;
    ready.await.unwrap().unwrap();
    assert_eq!(code, 124);
    assert!(begun.elapsed() >= std::time::Duration::from_secs(70), "{:?}", begun.elapsed());
    assert!(!store.objects().contains_key(&root().outputs(OriginalIndex(0))));
}

#[tokio::test]
async fn attempts_at_once_leave_one_complete_output() {
    let staged = one().outputs(&[("o0", "integer")]);
    let store = Arc::new(memory(&staged).await);
    let runs = (1..=4).map(|value| {
        let (staged, store) = (&staged, store.clone());
        async move { run_here(staged, store, &["echo", &value.to_string()]).await }
    });
    assert_eq!(futures::future::join_all(runs).await, [0; 4]);
    let outputs = outputs_of(&store.objects()[&root().outputs(OriginalIndex(0))]);
    assert!((1..=4).any(|value| outputs == json!({ "o0": value })), "{outputs}");
}
