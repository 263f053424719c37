//! How the scripted Batch's children without a worker find their elements and leave what they leave: by their script and
//! their environment alone.

use batchmap::aws::batch::SubmitRequest;
use batchmap::aws::memory::MemoryStore;
use batchmap::aws::store::Store;
use batchmap::idl::core::literal::Value;
use batchmap::idl::core::primitive::Value as Primitive;
use batchmap::idl::core::scalar::Value as Scalar;
use batchmap::idl::core::{Literal, LiteralMap};
use batchmap::map::index::OriginalIndex;
use batchmap::map::layout::Root;
use prost::Message;

/// Whether a submission is of children without a worker.
pub fn is_stock(request: &SubmitRequest) -> bool {
    request.command.first().is_some_and(|word| word == "sh")
}

/// Where child `child` of a job writes in its first attempt.
pub fn place(root: &Root, array: u32, job: &str, child: usize) -> String {
    format!("{}{job}/{child}/1/", root.children_outputs(array))
}

/// The execution, the array and the subtasks of a submission. Where there are several packs, element i is the number i.
pub async fn subtasks(store: &MemoryStore, request: &SubmitRequest) -> (Root, u32, Vec<OriginalIndex>) {
    let script = &request.command[2];
    let after = |mark: &str| script.split(mark).nth(1).unwrap_or_else(|| panic!("{mark} is not in {script}"));
    let execution = after("'--output-prefix' '").split("/children/outputs/").next().unwrap();
    let (_, root) = Root::parse(execution).unwrap();
    let array: u32 = after("/children/outputs/").split('/').next().unwrap().parse().unwrap();
    assert_eq!(script.contains("$AWS_BATCH_JOB_ARRAY_INDEX"), request.size > 1);
    let key = after("'--inputs' 's3://bucket/").split('\'').next().unwrap();
    let pack = LiteralMap::decode(store.get(key).await.expect("the pack is there first")).unwrap();
    let Some(offset) = request.environment.get("BATCH_JOB_ARRAY_INDEX_OFFSET") else {
        return (root, array, vec![OriginalIndex(0)]);
    };
    let offset: usize = offset.parse().unwrap();
    let Some(Value::Collection(list)) = &pack.literals["x"].value else { panic!("x is no list") };
    let own = &list.literals[offset..offset + request.size as usize];
    let one_pack = key == root.pack(0) && store.get(&root.pack(1)).await.is_err();
    let subtask = |(at, literal)| OriginalIndex(if one_pack { (offset + at) as u64 } else { number(literal) });
    (root, array, own.iter().enumerate().map(subtask).collect())
}

fn number(literal: &Literal) -> u64 {
    let Some(Value::Scalar(scalar)) = &literal.value else { panic!("no scalar") };
    let Some(Scalar::Primitive(primitive)) = &scalar.value else { panic!("no primitive") };
    let Some(Primitive::Integer(number)) = primitive.value else { panic!("no number") };
    number.cast_unsigned()
}
