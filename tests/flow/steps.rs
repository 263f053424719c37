//! Steps of nodes: many at once, and one that breaks.

use std::sync::Arc;

use batchmap::map::workflow::FlowOutcome;
use batchmap::run::flow::{Flows, Host};

use super::world::{
    PATIENT, World, bound, ended, eventually, id, integer, list_of, node_of, record, runs, single_task, variables,
};

/// The journal's records that tell of this.
fn records(world: &World, of: &str) -> usize {
    let journal = world.root.flow(&id("e")).journal();
    let objects = world.store.memory.objects();
    let records = objects.iter().filter(|(key, _)| key.starts_with(&journal));
    records.filter(|(_, body)| String::from_utf8_lossy(body).contains(of)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_begin_together_are_one_record() {
    const NODES: usize = 60;
    let world = World::new();
    let mut wide = record("e");
    let closure = wide.workflow.as_mut().unwrap();
    let template = closure.primary.as_mut().unwrap().template.as_mut().unwrap();
    let node = |number| node_of(&format!("n{number}"), runs(&single_task()), vec![bound("xs", "", "x")]);
    template.nodes = (0..NODES).map(node).collect();
    template.interface.as_mut().unwrap().outputs = Some(variables(&[("o0", list_of(integer()))]));
    template.outputs = vec![bound("o0", "", "x")];
    let line = world.line();
    // The first that has begun is written while the others begin.
    line.hold("put_new", "e/journal/00000002");
    let flows = Flows::open(world.host("only", line.clone(), PATIENT));
    flows.create(wide).await.unwrap();
    eventually("their inputs", async || world.keys("/inputs.pb").len() == NODES).await;
    line.release();
    assert_eq!(ended(&flows, "e").await, FlowOutcome::Succeeded);
    let started = records(&world, "node_started");
    assert!((1..=4).contains(&started), "{started} records");
    assert_eq!(world.map_executions().len(), NODES);
    flows.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_breaks_fails_its_node_and_nothing_else() {
    let world = World::new();
    let host = world.host("only", world.line(), PATIENT);
    let flows = Flows::open(Host { definitions: Arc::new(|_| panic!("broken on purpose")), ..host });
    flows.create(record("e")).await.unwrap();
    match ended(&flows, "e").await {
        FlowOutcome::Failed { node: Some(node), error } => {
            assert_eq!((node.as_str(), error.code.as_str()), ("n0", "Internal"));
            assert!(error.message.contains("a fault of its own"), "{}", error.message);
        }
        outcome => panic!("{outcome:?}"),
    }
    assert_eq!((records(&world, "taken"), world.batch.submits()), (1, 0));
    eventually("the mark to go", async || world.keys("running/").is_empty()).await;
    flows.stop().await;
}
