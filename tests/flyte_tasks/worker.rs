//! The worker and commands of Flyte's, which a shell stands in for: a copy of the inputs is as good as outputs.

use std::collections::BTreeMap;
use std::fs;

use batchmap::idl::core::blob_type::BlobDimensionality;
use batchmap::idl::core::container_error::Kind as ErrorKind;
use batchmap::idl::core::execution_error::ErrorKind as Origin;
use batchmap::idl::core::literal_type::Type;
use batchmap::idl::core::{BlobType, ContainerError, ErrorDocument, Literal, LiteralType};
use batchmap::idl::make;
use batchmap::idl::record::Flyte;
use batchmap::idl::record::flyte::{Kind, Runner};
use batchmap::map::exit::{EXIT_DOCUMENT, EXIT_OUTPUT, EXIT_RECOVERABLE, EXIT_SYSTEM};
use batchmap::map::index::OriginalIndex;
use batchmap::map::layout::ENV_PROCESS;
use prost::Message;
use serde_json::json;

use crate::child::{Outcome, Staged, literal, root};

fn flyte(kind: Kind) -> Staged {
    let elements: Vec<Vec<Literal>> = (10..13).map(|n| vec![literal(&json!(n))]).collect();
    let bound = BTreeMap::from([("scale".to_owned(), literal(&json!(2.5)))]);
    let mut staged = Staged::packed(&["x"], &elements, &bound, usize::MAX).outputs(&[("x", "integer")]).child(0);
    staged.record.flyte = Some(Flyte { kind: kind.into(), ..Flyte::default() });
    staged
}

const COPY: &str = "cp \"$1\" \"$2/outputs.pb\"";

fn copy(staged: &Staged) -> Outcome {
    staged.shell(COPY, &["{{.input}}", "{{.outputPrefix}}"])
}

#[test]
fn a_single_command_reads_its_own_values() {
    assert_eq!(copy(&flyte(Kind::Single)).succeeded(), json!({"x": 10}));
    let bound = flyte(Kind::Single).outputs(&[("scale", "float"), ("x", "integer")]);
    assert_eq!(copy(&bound).succeeded(), json!({"scale": 2.5, "x": 10}));
}

#[test]
fn a_mapped_command_reads_lists_of_one_and_takes_the_first() {
    let staged = flyte(Kind::Map).set("BATCH_JOB_ARRAY_INDEX_OFFSET", 7);
    assert_eq!(copy(&staged).succeeded(), json!({"x": [10]}));
    let script = "cp \"$1\" \"$2/outputs.pb\"; eval echo \"index \\$$BATCH_JOB_ARRAY_INDEX_VAR_NAME\" \
                  \"offset $BATCH_JOB_ARRAY_INDEX_OFFSET.\"";
    let outcome = staged.shell(script, &["{{.input}}", "{{.outputPrefix}}"]);
    let printed = String::from_utf8_lossy(&outcome.stdout).into_owned();
    assert!(printed.contains("index 0 offset ."), "{printed}");
}

#[test]
fn a_map_of_the_old_kind_appends_its_index() {
    let script = "mkdir \"$2/0\"; cp \"$1\" \"$2/0/outputs.pb\"";
    let outcome = flyte(Kind::Map).shell(script, &["{{.input}}", "{{.outputPrefix}}"]);
    assert_eq!(outcome.succeeded(), json!({"x": [10]}));
}

#[test]
fn templates_are_flytes() {
    let script = format!("{COPY}; shift 2; printf '%s|' \"$@\"");
    let arguments = [
        "{{.input}}",
        "{{.outputPrefix}}",
        "{{.rawOutputDataPrefix}}",
        "{{ .CheckpointOutputPrefix }}",
        "{{.prevCheckpointPrefix}}",
        "{{$inputs.x}}",
        "{{.Names}}",
        "",
    ];
    let outcome = flyte(Kind::Single).shell(&script, &arguments);
    let raw = root().raw_attempt(OriginalIndex(0), "000000-01", "job:0");
    let raw = format!("s3://bucket/{}", raw.trim_end_matches('/'));
    let checkpoint = "s3://bucket/p/executions/e1/subtasks/0000000000/checkpoint/000000-01";
    let expected = format!("{raw}|{checkpoint}|\"\"|10|{{{{.Names}}}}||");
    assert!(String::from_utf8_lossy(&outcome.stdout).ends_with(&expected), "{}", outcome.stderr);
    let mut elsewhere = flyte(Kind::Single);
    elsewhere.record.flyte.as_mut().unwrap().raw_output_prefix = "s3://files/raw".to_owned();
    let outcome = elsewhere.shell(&script, &arguments);
    let printed = String::from_utf8_lossy(&outcome.stdout).into_owned();
    assert!(printed.contains("s3://files/raw/e1/0000000000/000000-01.job|"), "{printed}");
}

#[test]
fn the_command_may_be_in_the_record_with_an_empty_argument() {
    let mut staged = flyte(Kind::Single);
    let words =
        ["sh", "-c", "[ -z \"$3\" ] && cp \"$1\" \"$2/outputs.pb\"", "sh", "{{.input}}", "{{.outputPrefix}}", ""];
    staged.record.command = words.map(str::to_owned).into();
    assert_eq!(staged.run(&[]).succeeded(), json!({"x": 10}));
}

fn error(origin: Origin, kind: ErrorKind) -> Vec<u8> {
    let error = ContainerError {
        code: "USER:ValueError".to_owned(),
        message: "it is wrong".to_owned(),
        kind: kind.into(),
        origin: origin.into(),
        ..ContainerError::default()
    };
    ErrorDocument { error: Some(error) }.encode_to_vec()
}

#[test]
fn an_error_document_decides_whatever_the_exit_code() {
    let cases = [
        (Origin::User, ErrorKind::NonRecoverable, EXIT_DOCUMENT),
        (Origin::User, ErrorKind::Recoverable, EXIT_RECOVERABLE),
        (Origin::System, ErrorKind::NonRecoverable, EXIT_DOCUMENT),
        (Origin::System, ErrorKind::Recoverable, EXIT_RECOVERABLE),
    ];
    for (origin, kind, exit) in cases {
        for own in [0, 1] {
            let staged = flyte(Kind::Map);
            let document = staged.path().join("document");
            fs::write(&document, error(origin, kind)).unwrap();
            let script = format!("cp '{}' \"$1/error.pb\"; exit {own}", document.display());
            let failed = staged.shell(&script, &["{{.outputPrefix}}"]).failed(exit);
            assert_eq!((failed.code.as_str(), failed.message.as_str()), ("USER:ValueError", "it is wrong"));
            assert_eq!((failed.origin(), failed.kind()), (origin, kind));
        }
    }
}

#[test]
fn what_is_left_wrong_is_said_in_words() {
    for (script, exit, expected) in [
        ("echo so it goes >&2; exit 3", 3, "exited with code 3\nso it goes"),
        ("echo so it goes >&2", EXIT_OUTPUT, "neither outputs nor an error\nso it goes"),
        ("echo > \"$1/futures.pb\"", EXIT_OUTPUT, "@dynamic task"),
        ("printf '\\377' > \"$1/outputs.pb\"", EXIT_OUTPUT, "outputs.pb is no LiteralMap"),
        (": > \"$1/outputs.pb\"", EXIT_OUTPUT, "outputs.pb lacks x"),
        ("printf '\\377' > \"$1/error.pb\"", EXIT_OUTPUT, "error.pb cannot be read"),
    ] {
        let failed = flyte(Kind::Single).shell(script, &["{{.outputPrefix}}"]).failed(exit);
        assert!(failed.message.contains(expected), "{script}: {}", failed.message);
    }
}

#[test]
fn a_task_without_outputs_leaves_an_empty_file() {
    let outcome = flyte(Kind::Map).outputs(&[]).shell(": > \"$1/outputs.pb\"", &["{{.outputPrefix}}"]);
    assert_eq!(outcome.succeeded(), json!({}));
}

#[test]
fn a_deck_goes_beside_the_outputs() {
    let script = format!("{COPY}; echo '<b>' > \"$2/deck.html\"");
    let outcome = flyte(Kind::Single).shell(&script, &["{{.input}}", "{{.outputPrefix}}"]);
    outcome.succeeded();
    assert_eq!(outcome.objects["p/executions/e1/subtasks/0000000000/deck.html"], "<b>\n");
}

#[test]
fn a_raw_container_has_files_for_inputs_and_outputs() {
    let script = "expr \"$(cat \"$1/x\")\" + {{.inputs.x}} > \"$BATCHMAP_OUTPUT_DIR/x\"";
    let mut staged = flyte(Kind::Container);
    staged.record.input_dir = staged.path().join("in").to_string_lossy().into_owned();
    let directory = staged.record.input_dir.clone();
    assert_eq!(staged.shell(script, &[&directory]).succeeded(), json!({"x": 20}));
    // Processes of one machine do not share the directory that a container would have: the path is put right.
    fs::remove_dir_all(&directory).unwrap();
    let apart = staged.set(ENV_PROCESS, 1);
    assert_eq!(apart.shell(script, &[&directory]).succeeded(), json!({"x": 20}));
    assert!(!fs::exists(&directory).unwrap());
}

#[test]
fn a_raw_container_has_all_its_inputs_in_one_file_and_says_its_error_in_one() {
    let staged = flyte(Kind::Container);
    let script = "cat \"$BATCHMAP_INPUT_DIR/inputs.json\"; cmp \"$BATCHMAP_INPUT_DIR/inputs.json\" \
                  \"$BATCHMAP_INPUT_DIR/inputs.yaml\" && test -s \"$BATCHMAP_INPUT_DIR/inputs.pb\" && \
                  cp \"$BATCHMAP_INPUT_DIR/x\" \"$BATCHMAP_OUTPUT_DIR/x\"";
    let outcome = staged.shell(script, &[]);
    assert_eq!(outcome.succeeded(), json!({"x": 10}));
    assert_eq!(String::from_utf8_lossy(&outcome.stdout), r#"{"scale":2.5,"x":10}"#);
    for (exit, due) in [(0, 1), (7, 7)] {
        let script = format!(
            "printf 1 > \"$BATCHMAP_OUTPUT_DIR/x\"; echo no luck > \"$BATCHMAP_OUTPUT_DIR/_ERROR\"; exit {exit}"
        );
        let failed = staged.shell(&script, &[]).failed(due);
        assert_eq!((failed.code.as_str(), failed.message.as_str()), ("USER:ExitCode", "no luck"));
    }
}

#[test]
fn a_raw_container_has_folders_for_lists_dictionaries_and_directories() {
    let directory = BlobType { dimensionality: BlobDimensionality::Multipart.into(), ..BlobType::default() };
    let bound = BTreeMap::from([
        ("d".to_owned(), make::blob(&directory, "s3://bucket/elsewhere/d/")),
        ("m".to_owned(), make::dictionary([("k".to_owned(), make::boolean(true)), ("n".to_owned(), make::none())])),
        ("xs".to_owned(), make::collection(vec![make::integer(3), make::string("s")])),
    ]);
    let mut staged = Staged::packed(&["x"], &[vec![literal(&json!(1))]], &bound, 1).outputs(&[("o", "file")]).child(0);
    staged.record.flyte = Some(Flyte { kind: Kind::Container.into(), ..Flyte::default() });
    let outputs = staged.record.interface.as_mut().unwrap().outputs.as_mut().unwrap();
    let of_directory = LiteralType { r#type: Some(Type::Blob(directory)), ..LiteralType::default() };
    outputs.variables.get_mut("o").unwrap().r#type = Some(of_directory);
    staged.objects.insert("elsewhere/d/a".to_owned(), "A".into());
    staged.objects.insert("elsewhere/d/sub/b".to_owned(), "B".into());
    let script = "cd \"$BATCHMAP_INPUT_DIR\"; cat d/a d/sub/b m/k m/n xs/0 xs/1; cp -r d \"$BATCHMAP_OUTPUT_DIR/o\"";
    let outcome = staged.shell(script, &[]);
    let address = outcome.succeeded()["o"].as_str().unwrap().to_owned();
    assert_eq!(String::from_utf8_lossy(&outcome.stdout), "ABtruenull3s");
    let key = address.strip_prefix("s3://bucket/").unwrap();
    assert_eq!(
        (&outcome.objects[&format!("{key}/a")][..], &outcome.objects[&format!("{key}/sub/b")][..]),
        (&b"A"[..], &b"B"[..])
    );
    let plain = staged.shell("echo > \"$BATCHMAP_OUTPUT_DIR/o\"", &[]).failed(EXIT_OUTPUT);
    assert!(plain.message.contains("is no directory"), "{}", plain.message);
}

#[test]
fn processes_of_one_machine_work_in_directories_of_their_own() {
    let script = format!("{COPY}; pwd; echo \"$PYTHONPATH\"; echo \"$TMPDIR\"; : > left");
    let staged = flyte(Kind::Single).set("PYTHONPATH", "/elsewhere");
    let here = staged.shell(&script, &["{{.input}}", "{{.outputPrefix}}"]);
    let own = std::env::current_dir().unwrap();
    let printed = String::from_utf8_lossy(&here.stdout).into_owned();
    assert!(printed.starts_with(&format!("{}\n/elsewhere\n", own.display())), "{printed}");
    fs::remove_file(own.join("left")).unwrap();

    let apart = staged.set(ENV_PROCESS, 1);
    let outcome = apart.shell(&script, &["{{.input}}", "{{.outputPrefix}}"]);
    outcome.succeeded();
    let printed = String::from_utf8_lossy(&outcome.stdout).into_owned();
    let lines: Vec<&str> = printed.lines().collect();
    assert!(lines[0].ends_with("/work") && lines[1] == format!("{}:/elsewhere", lines[0]), "{printed}");
    assert!(lines[2].ends_with("/tmp"), "{printed}");
    assert!(!own.join("left").exists());
}

#[test]
fn a_command_for_images_without_a_worker_is_none_of_its() {
    let mut staged = flyte(Kind::Map);
    staged.record.flyte.as_mut().unwrap().runner = Runner::Stock.into();
    assert!(copy(&staged).failed(EXIT_SYSTEM).message.contains("without a worker"));
}
