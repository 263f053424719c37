use super::*;
use crate::idl::record::Flyte;
use crate::idl::record::flyte::Kind;
use crate::map::index::OriginalIndex;
use crate::map::layout::Root;
use crate::map::plan::{Members, Packs};
use crate::map::ranges::Ranges;

const MAP: &str = "pyflyte-map-execute --inputs {{.input}} --output-prefix {{.outputPrefix}} --raw-output-data-prefix \
                   {{.rawOutputDataPrefix}} --checkpoint-path {{.checkpointOutputPrefix}} --prev-checkpoint \
                   {{.prevCheckpointPrefix}} --resolver R -- vars  resolver r task-module m task-name t";

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn record(command: &str, kind: Kind) -> TaskRecord {
    let flyte = Flyte { kind: kind.into(), runner: StoredRunner::Stock.into(), raw_output_prefix: String::new() };
    TaskRecord { command: words(command), flyte: Some(flyte), size: 20, ..TaskRecord::default() }
}

fn rendered(record: &TaskRecord, runner: StoredRunner, members: &Members, attempts: u32, previous: bool) -> Rendered {
    let (root, packs) = (Root::new("p", "id"), Packs::new(vec![0, 10], 20));
    render(record, runner, &Array { bucket: "b", root: &root, number: 3, members, packs: &packs, attempts, previous })
}

fn range(first: u64, count: u32) -> Members {
    Members::Range { first: OriginalIndex(first), count }
}

fn some(indices: &[u64]) -> Members {
    Members::List(indices.iter().copied().map(OriginalIndex).collect::<Ranges>())
}

#[test]
fn children_of_an_array_share_a_script_and_part_by_their_variables() {
    let Rendered { command, environment } =
        rendered(&record(MAP, Kind::Map), StoredRunner::Stock, &range(12, 5), 1, false);
    assert_eq!(command[..2], ["sh", "-c"]);
    let base = "s3://b/p/executions/id";
    let expected = format!(
        "BATCHMAP_CHILD=${{AWS_BATCH_JOB_ID%%:*}}/$AWS_BATCH_JOB_ARRAY_INDEX/$AWS_BATCH_JOB_ATTEMPT; exec \
         'pyflyte-map-execute' '--inputs' '{base}/inputs/000001.pb' '--output-prefix' \
         '{base}/children/outputs/000003/'\"$BATCHMAP_CHILD\" '--raw-output-data-prefix' \
         's3://b/p/raw/id/children/000003/'\"$BATCHMAP_CHILD\" '--checkpoint-path' \
         '{base}/children/checkpoints/000003/'\"$BATCHMAP_CHILD\" '--prev-checkpoint' '\"\"' '--resolver' 'R' '--' \
         'vars' '' 'resolver' 'r' 'task-module' 'm' 'task-name' 't'"
    );
    assert_eq!(command[2], expected);
    assert_eq!(environment["BATCH_JOB_ARRAY_INDEX_OFFSET"], "2");
    assert_eq!(environment["BATCH_JOB_ARRAY_INDEX_VAR_NAME"], "AWS_BATCH_JOB_ARRAY_INDEX");
}

#[test]
fn a_job_alone_has_its_index_by_a_variable_of_our_own() {
    let alone = rendered(&record(MAP, Kind::Map), StoredRunner::Stock, &range(12, 1), 1, false);
    assert!(alone.command[2].starts_with("BATCHMAP_CHILD=${AWS_BATCH_JOB_ID%%:*}/0/$AWS_BATCH_JOB_ATTEMPT; exec "));
    assert!(!alone.command[2].contains("ARRAY_INDEX"));
    assert_eq!(alone.environment["BATCH_JOB_ARRAY_INDEX_VAR_NAME"], "BATCHMAP_ELEMENT");
    assert_eq!(
        (alone.environment["BATCHMAP_ELEMENT"].as_str(), alone.environment["BATCH_JOB_ARRAY_INDEX_OFFSET"].as_str()),
        ("0", "2")
    );
    // A single task asks for no index, and reads the pack of its values.
    let single = rendered(
        &record("pyflyte-execute --inputs {{.input}}", Kind::Single),
        StoredRunner::Stock,
        &range(0, 1),
        1,
        false,
    );
    assert_eq!(single.environment, BTreeMap::new());
    assert!(single.command[2].ends_with("exec 'pyflyte-execute' '--inputs' 's3://b/p/executions/id/inputs/000000.pb'"));
}

#[test]
fn a_compacted_array_reads_a_pack_of_its_own() {
    let compacted = rendered(&record(MAP, Kind::Map), StoredRunner::Stock, &some(&[11, 13]), 1, false);
    assert!(compacted.command[2].contains("'s3://b/p/executions/id/arrays/000003/inputs.pb'"));
    assert_eq!(compacted.environment["BATCH_JOB_ARRAY_INDEX_OFFSET"], "0");
    // The packs of an execution that recovers another one are the other's; its own are its own.
    let record = TaskRecord { inputs_of: "old".to_owned(), ..record(MAP, Kind::Map) };
    let script = |members| rendered(&record, StoredRunner::Stock, &members, 1, false).command.remove(2);
    assert!(script(range(12, 5)).contains("'s3://b/p/executions/old/inputs/000001.pb'"));
    assert!(script(some(&[11, 13])).contains("'s3://b/p/executions/id/arrays/000003/inputs.pb'"));
}

#[test]
fn an_earlier_checkpoint_is_looked_for_where_there_may_be_one() {
    let script = |attempts, previous, text: &str| {
        rendered(&record(text, Kind::Map), StoredRunner::Stock, &range(0, 2), attempts, previous).command.remove(2)
    };
    assert!(!script(1, false, MAP).contains("BATCHMAP_PREVIOUS"));
    let again = script(2, false, MAP);
    assert!(
        again.contains("BATCHMAP_PREVIOUS=$(python3 -c '")
            && again.contains("--prev-checkpoint' \"$BATCHMAP_PREVIOUS\"")
    );
    assert!(
        again.contains(" 's3://b/p/executions/id/children/checkpoints/000003/' \"$BATCHMAP_CHILD\"); exec"),
        "{again}"
    );
    assert!(
        script(1, true, MAP)
            .contains("\"$BATCHMAP_CHILD\" 's3://b/p/executions/id/arrays/000003/previous.json'); exec")
    );
    assert!(!script(3, true, "pyflyte-map-execute --inputs {{.input}}").contains("PREVIOUS"));
}

#[test]
fn without_a_shell_all_arguments_are_the_same_and_none_is_empty() {
    let bare = rendered(&record(MAP, Kind::Map), StoredRunner::StockNoShell, &range(12, 5), 3, false);
    let line = bare.command.join(" ");
    let base = "s3://b/p/executions/id";
    assert!(
        line.contains(&format!(
            "--inputs {base}/inputs/000001.pb --output-prefix {base}/children/outputs/000003 --raw"
        ))
    );
    assert!(line.contains(
        "--checkpoint-path {{.checkpointOutputPrefix}} --prev-checkpoint \"\" --resolver R -- vars , resolver"
    ));
    assert_eq!(bare.environment["BATCH_JOB_ARRAY_INDEX_OFFSET"], "2");
    let single = rendered(
        &record("pyflyte-execute --output-prefix {{.outputPrefix}}", Kind::Single),
        StoredRunner::StockNoShell,
        &range(0, 1),
        1,
        false,
    );
    assert_eq!(single.command[2], format!("{base}/children/outputs/000003/0"));
}

fn converted(text: &str, kind: FlyteKind, mapping: &Mapping, runner: Runner) -> (String, FlyteKind, Faults) {
    let mut faults = Faults::default();
    let (words, kind) = command(words(text), kind, mapping, runner, &mut faults);
    check(&words, kind, &Policy { retries: 1, ..Policy::default() }, &BTreeMap::new(), runner, &mut faults);
    (words.join(" "), kind, faults)
}

#[test]
fn resolvers_are_those_that_write_where_they_should() {
    let lists = Mapping::Lists { bound: BTreeSet::new(), original: false };
    let text = |resolver: &str| format!("pyflyte-map-execute --resolver {resolver} -- vars a");
    for given in [ARRAY_RESOLVER, LEGACY_RESOLVER] {
        for (runner, becomes) in
            [(Runner::Stock, ARRAY_RESOLVER), (Runner::StockNoShell, LEGACY_RESOLVER), (Runner::Worker, given)]
        {
            assert_eq!(converted(&text(given), FlyteKind::Map, &lists, runner).0, text(becomes));
        }
    }
}

#[test]
fn the_command_of_a_single_task_that_is_mapped_becomes_one_of_a_map() {
    let lists = Mapping::Lists { bound: ["a", "b"].map(str::to_owned).into(), original: false };
    let single =
        "pyflyte-fast-execute --dest-dir /x -- pyflyte-execute --inputs i --resolver r.x -- task-module m task-name t";
    let (text, kind, faults) = converted(single, FlyteKind::Single, &lists, Runner::Stock);
    let expected = format!(
        "pyflyte-fast-execute --dest-dir /x -- pyflyte-map-execute --inputs i --resolver {ARRAY_RESOLVER} -- vars a,b \
         resolver r.x task-module m task-name t"
    );
    assert_eq!((text, kind, faults.0.len()), (expected, FlyteKind::Map, 0));
    let (_, _, faults) = converted("pyflyte-execute --inputs i", FlyteKind::Single, &lists, Runner::Stock);
    assert!(faults.to_string().contains("flyte_images = \"worker\""), "{faults}");
}

#[test]
fn what_needs_the_worker_is_refused_where_there_is_none() {
    let refused = |text: &str, kind, runner| converted(text, kind, &Mapping::None, runner).2.to_string();
    for (text, kind, runner, expected) in [
        ("cp a b", FlyteKind::Container, Runner::Stock, "container.data_config"),
        ("jflyte --inputs {{.input}}", FlyteKind::Single, Runner::Stock, "runs neither pyflyte-execute nor"),
        ("pyflyte-execute {{.inputs.x}}", FlyteKind::Single, Runner::Stock, "filled in by batchmap's worker"),
        ("pyflyte-execute {{.inputPrefix}}", FlyteKind::Single, Runner::Stock, "filled in by batchmap's worker"),
        ("pyflyte-execute {{.perRetryUniqueKey}}", FlyteKind::Single, Runner::StockNoShell, "filled in by"),
        ("pyflyte-execute", FlyteKind::Single, Runner::StockNoShell, "metadata.retries is 1"),
    ] {
        let faults = refused(text, kind, runner);
        assert!(faults.contains(expected), "{text}: {faults}");
        assert_eq!(refused(text, kind, Runner::Worker), "", "{text}");
    }
    assert_eq!(refused("pyflyte-execute {{.perRetryUniqueKey}}", FlyteKind::Single, Runner::Stock), "");
    let mut faults = Faults::default();
    let environment = [("AWS_BATCH_X".to_owned(), "1".to_owned())].into();
    check(&words("pyflyte-execute"), FlyteKind::Single, &Policy::default(), &environment, Runner::Stock, &mut faults);
    assert!(faults.to_string().contains("container.env.AWS_BATCH_X"), "{faults}");
}

#[test]
fn code_is_unpacked_into_the_own_directory_only_by_fast_execute() {
    for (before, after) in [
        (
            "pyflyte-fast-execute --additional-distribution s3://b/k --dest-dir /root -- pyflyte-execute --dest-dir x",
            "pyflyte-fast-execute --additional-distribution s3://b/k --dest-dir . -- pyflyte-execute --dest-dir x",
        ),
        ("pyflyte-execute --dest-dir /root", "pyflyte-execute --dest-dir /root"),
        ("pyflyte-fast-execute --dest-dir", "pyflyte-fast-execute --dest-dir"),
    ] {
        let mut argv = words(before);
        unpack_here(&mut argv);
        assert_eq!(argv, words(after));
    }
}
