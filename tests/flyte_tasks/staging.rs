//! Inputs that are literals already: the packs, their types and the cache's keys.

use std::sync::Arc;

use async_trait::async_trait;
use batchmap::aws::memory::MemoryStore;
use batchmap::aws::store::Store;
use batchmap::idl::core::{Literal, LiteralType};
use batchmap::idl::make;
use batchmap::idl::record::flyte::Kind;
use batchmap::idl::types::type_name;
use batchmap::map::cache::KEY_BYTES;
use batchmap::map::flyte::{self, Options};
use batchmap::map::layout::Root;
use batchmap::map::task::MapTask;
use batchmap::run::bound::{Results, ResultsError};
use batchmap::run::stage::{StageOptions, Staged, stage};

use crate::flytekit::{Fixture, fixture};

struct Nothing;

#[async_trait]
impl Results for Nothing {
    async fn output(&self, id: &str, _: Option<&str>) -> Result<(LiteralType, Literal), ResultsError> {
        Err(ResultsError::Unusable(format!("there is no {id}")))
    }
}

fn convert(fixture: &Fixture) -> MapTask {
    flyte::map_task(&fixture.template, &fixture.node, &fixture.inputs, &Options::default()).unwrap()
}

async fn staged(task: &MapTask) -> (Staged, Arc<MemoryStore>) {
    let memory = Arc::new(MemoryStore::new("bucket"));
    let store: Arc<dyn Store> = memory.clone();
    let other = store.clone();
    let options = StageOptions {
        dry_run: false,
        stores: Arc::new(move |_| other.clone()),
        results: Arc::new(Nothing),
        stdin: None,
    };
    (stage(task, &store, &Root::new("p", "e"), options).await.unwrap(), memory)
}

#[tokio::test]
async fn lists_and_bound_values_are_staged_as_they_are() {
    let (staged, memory) = staged(&convert(&fixture("partial_const"))).await;
    let record = staged.record;
    assert_eq!((record.size, record.mapped.as_slice()), (5, &["quantity".to_owned()][..]));
    let inputs = record.interface.unwrap().inputs.unwrap().variables;
    assert_eq!(type_name(inputs["quantity"].r#type.as_ref().unwrap()), "integer");
    assert_eq!(type_name(inputs["price"].r#type.as_ref().unwrap()), "float");
    assert_eq!(record.flyte.unwrap().kind(), Kind::Map);
    assert!(memory.objects().keys().any(|key| key.ends_with("inputs/000000.pb")));
}

#[tokio::test]
async fn a_task_without_a_list_is_one_subtask() {
    let (staged, memory) = staged(&convert(&fixture("batch_single"))).await;
    assert_eq!((staged.record.size, staged.record.mapped.len(), staged.record.pack_starts.len()), (1, 0, 1));
    let batch = staged.record.batch.unwrap();
    assert_eq!((batch.platform.as_str(), batch.propagate_tags, batch.scheduling_priority), ("EC2", true, Some(1)));
    assert!(memory.objects().keys().any(|key| key.ends_with("task.pb")));
}

#[tokio::test]
async fn an_empty_list_is_nothing_to_run() {
    let mut empty = fixture("detect_anomalies");
    empty.inputs.literals.insert("data_point".to_owned(), make::collection(vec![]));
    let (staged, memory) = staged(&convert(&empty)).await;
    assert_eq!(staged.record.size, 0);
    assert!(memory.objects().is_empty());
}

#[tokio::test]
async fn more_elements_than_are_copied_at_once_all_arrive() {
    let mut long = fixture("detect_anomalies");
    let values = (0..3000).map(make::integer).collect();
    long.inputs.literals.insert("data_point".to_owned(), make::collection(values));
    let (staged, _) = staged(&convert(&long)).await;
    assert_eq!(staged.record.size, 3000);
}

async fn keys(fixture: &Fixture) -> Vec<u8> {
    let (_, memory) = staged(&convert(fixture)).await;
    let objects = memory.objects();
    let keys = objects.iter().find(|(key, _)| key.ends_with("000000.keys"));
    keys.expect("a cached task").1.to_vec()
}

#[tokio::test]
async fn the_caches_keys_are_by_flytes_meaning() {
    let cached = || fixture("resources");
    let before = keys(&cached()).await;
    assert_eq!(before.len(), 3 * KEY_BYTES);
    let mut same = cached();
    same.template.id.as_mut().unwrap().version = "v2".to_owned();
    assert_eq!(keys(&same).await, before, "another version of the task is the same task to the cache");
    type Change = fn(&mut Fixture);
    let changes: [Change; 4] = [
        |it| it.template.id.as_mut().unwrap().name.push('x'),
        |it| it.template.id.as_mut().unwrap().project.push('x'),
        |it| it.template.id.as_mut().unwrap().domain.push('x'),
        |it| it.template.metadata.as_mut().unwrap().discovery_version.push('x'),
    ];
    for change in changes {
        let mut other = cached();
        change(&mut other);
        assert_ne!(keys(&other).await, before);
    }
}
