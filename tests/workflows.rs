//! Workflows as flytekit registers them, compiled: those of `tests/fixtures/flytekit`, which are single nodes as a rule.

use std::fs;
use std::path::{Path, PathBuf};

use batchmap::idl::admin::{TaskSpec, WorkflowSpec};
use batchmap::idl::core::{CompiledTask, CompiledWorkflow, CompiledWorkflowClosure, TaskTemplate};
use batchmap::map::workflow::{Graph, NodeKind};
use prost::Message;

/// The folders that hold a workflow.
fn folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/flytekit");
    let folders = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = folders.filter(|folder| folder.join("workflow.pb").exists()).collect();
    folders.sort();
    folders
}

/// The workflow with the tasks that lie beside it.
fn closure(folder: &Path) -> CompiledWorkflowClosure {
    let spec = WorkflowSpec::decode(fs::read(folder.join("workflow.pb")).unwrap().as_slice()).unwrap();
    let compiled = |template| CompiledWorkflow { template: Some(template), connections: None };
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let tasks = files.filter(|file| {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with("task") && name.ends_with(".pb")
    });
    let task = |file: PathBuf| TaskSpec::decode(fs::read(file).unwrap().as_slice()).unwrap().template;
    CompiledWorkflowClosure {
        primary: spec.template.map(compiled),
        sub_workflows: spec.sub_workflows.into_iter().map(compiled).collect(),
        tasks: tasks.map(|file| CompiledTask { template: task(file) }).collect(),
        launch_plans: Vec::new(),
    }
}

#[test]
fn every_fixture_compiles() {
    let folders = folders();
    assert!(folders.len() > 20, "{folders:?}");
    for folder in folders {
        let graph = Graph::compile(&closure(&folder)).unwrap_or_else(|faults| panic!("{}: {faults}", folder.display()));
        let node = graph.nodes().first().unwrap_or_else(|| panic!("{}: no node", folder.display()));
        let task: &TaskTemplate = node.task().unwrap();
        // ArrayNodes are the maps of today; the older ones are tasks of their own type.
        let array = matches!(node.kind(), NodeKind::Array(_));
        let name = task.id.as_ref().map_or("", |id| &id.name);
        assert!(!array || name.ends_with("-arraynode"), "{name}");
    }
}

#[test]
fn the_output_of_a_task_goes_into_a_map() {
    let folder = folders().into_iter().find(|folder| folder.ends_with("partial_taskout")).unwrap();
    let graph = Graph::compile(&closure(&folder)).unwrap();
    let [price, map] = graph.nodes() else { panic!("two nodes") };
    assert_eq!((price.name(), price.upstream()), ("get_price", &[][..]));
    assert!(map.array().is_some());
    assert_eq!(map.upstream(), [0]);
}
