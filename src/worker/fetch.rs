//! From the store to the inputs: what a child reads before it can start, in as few round trips as possible.
//!
//! ```text
//! range:      index entry ‖ task.pb              head ‖ elements
//! compacted:  member entry ‖ task.pb   index entry   head ‖ elements
//! ```

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::future::try_join_all;
use prost::Message;

use super::failure::Failure;
use super::setting::Setting;
use crate::aws::store::{Store, StoreError};
use crate::idl::core::Literal;
use crate::idl::record::TaskRecord;
use crate::map::index::OriginalIndex;
use crate::map::layout::{INDICES_WIDTH, Place, RECORD_VERSION, index_width};
use crate::map::pack::{IndexEntry, decode_element, decode_head};

/// What a child needs to start.
#[derive(Debug)]
pub(super) struct Fetched {
    /// The execution's record.
    pub record: TaskRecord,
    /// The child's place in the caller's list.
    pub index: OriginalIndex,
    /// Every input's value.
    pub inputs: BTreeMap<String, Literal>,
}

/// An element's place in the packs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    pack: u32,
    position: u32,
}

/// Reads the record and the child's own inputs. `index` is filled in as soon as it is known, so that a failure after
/// that can be written down under it.
pub(super) async fn fetch(
    store: &dyn Store,
    setting: &Setting,
    index: &mut Option<OriginalIndex>,
) -> Result<Fetched, Failure> {
    let task = setting.root.task();
    let (record, original, slot, guessed) = match setting.place {
        Place::Range { pack, position, first: _ } => {
            let slot = Slot { pack, position: position.saturating_add(setting.child.0) };
            let (entry, record) = tokio::join!(index_entry(store, setting, slot), store.get(&task));
            (decode_record(&record?)?, index.ok_or_else(unknown_index)?, slot, Some(entry))
        }
        Place::List => {
            let key = setting.root.array_indices(setting.array);
            let start = u64::from(setting.child.0) * INDICES_WIDTH;
            let (member, record) = tokio::join!(store.get_range(&key, start..start + INDICES_WIDTH), store.get(&task));
            let (original, slot) = decode_member(&member?)?;
            *index = Some(original);
            (decode_record(&record?)?, original, slot, None)
        }
    };
    check(&record, setting, original)?;
    // The record says where each pack begins: a range that runs on into the next pack is read there.
    let located = locate(&record.pack_starts, original).ok_or_else(|| no_pack(original))?;
    let entry = match guessed {
        Some(entry) if located == slot => entry?,
        _ => index_entry(store, setting, located).await?,
    };
    let inputs = read_inputs(store, setting, located, &entry, &record.mapped).await?;
    Ok(Fetched { record, index: original, inputs })
}

async fn index_entry(store: &dyn Store, setting: &Setting, slot: Slot) -> Result<Bytes, StoreError> {
    let start = u64::from(slot.position) * setting.width;
    store.get_range(&setting.inputs.pack_index(slot.pack), start..start + setting.width).await
}

async fn read_inputs(
    store: &dyn Store,
    setting: &Setting,
    slot: Slot,
    entry: &[u8],
    mapped: &[String],
) -> Result<BTreeMap<String, Literal>, Failure> {
    let key = setting.inputs.pack(slot.pack);
    let damaged = |error| Failure::system(format!("s3://{}/{key}: {error}", setting.bucket));
    let entry = IndexEntry::parse(entry, mapped.len()).map_err(damaged)?;
    let runs = std::iter::once(0..entry.head_len).chain(entry.runs);
    let read = try_join_all(runs.map(|run| read_run(store, &key, run))).await?;
    let (head, elements) = read.split_first().ok_or_else(|| damaged("no head".to_owned()))?;
    let mut inputs = decode_head(head).map_err(damaged)?;
    for (name, element) in mapped.iter().zip(elements) {
        inputs.insert(name.clone(), decode_element(element).map_err(damaged)?);
    }
    Ok(inputs)
}

async fn read_run(store: &dyn Store, key: &str, run: std::ops::Range<u64>) -> Result<Bytes, Failure> {
    let expected = run.end - run.start;
    let bytes = store.get_range(key, run.clone()).await?;
    if bytes.len() as u64 == expected {
        return Ok(bytes);
    }
    let (bucket, found) = (store.bucket(), bytes.len());
    Err(Failure::system(format!("s3://{bucket}/{key} has only {found} of the bytes {run:?} that its index names")))
}

/// The record's first field, which every version has: another version's record may not decode as ours.
#[derive(Clone, PartialEq, Message)]
struct Version {
    #[prost(uint32, tag = "1")]
    version: u32,
}

fn decode_record(bytes: &[u8]) -> Result<TaskRecord, Failure> {
    let damaged = |error| Failure::system(format!("task.pb cannot be read: {error}"));
    let found = Version::decode(bytes).map_err(damaged)?.version;
    if found == RECORD_VERSION {
        return TaskRecord::decode(bytes).map_err(damaged);
    }
    Err(Failure::system(format!(
        "task.pb has format {found}, this worker reads {RECORD_VERSION}; use the same batchmap in the image as on the \
         machine that submits"
    )))
}

fn decode_member(bytes: &[u8]) -> Result<(OriginalIndex, Slot), Failure> {
    let wrong = |_| Failure::system(format!("an entry of an array has {INDICES_WIDTH} bytes, found {}", bytes.len()));
    let bytes: [u8; INDICES_WIDTH as usize] = bytes.try_into().map_err(wrong)?;
    let [low, high, pack, position] =
        [0, 4, 8, 12].map(|at| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]));
    Ok((OriginalIndex(u64::from(high) << 32 | u64::from(low)), Slot { pack, position }))
}

/// What the environment says must fit what the record says.
fn check(record: &TaskRecord, setting: &Setting, index: OriginalIndex) -> Result<(), Failure> {
    let width = index_width(record.mapped.len());
    if setting.width != width {
        let (found, mapped) = (setting.width, record.mapped.len());
        return Err(Failure::system(format!(
            "index entries of {mapped} mapped inputs have {width} bytes, not {found}"
        )));
    }
    if index.0 >= record.size {
        return Err(Failure::system(format!("subtask {index} is beyond the {} of the execution", record.size)));
    }
    Ok(())
}

fn locate(pack_starts: &[u64], index: OriginalIndex) -> Option<Slot> {
    let pack = pack_starts.partition_point(|start| *start <= index.0).checked_sub(1)?;
    let position = u32::try_from(index.0 - pack_starts[pack]).ok()?;
    Some(Slot { pack: u32::try_from(pack).ok()?, position })
}

fn no_pack(index: OriginalIndex) -> Failure {
    Failure::system(format!("no pack of the execution holds subtask {index}"))
}

fn unknown_index() -> Failure {
    Failure::system("a range gives no original index")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_by_the_starts_of_packs() {
        let slot = |pack, position| Some(Slot { pack, position });
        let starts = [0, 10, 25];
        for (index, expected) in
            [(0, slot(0, 0)), (9, slot(0, 9)), (10, slot(1, 0)), (24, slot(1, 14)), (99, slot(2, 74))]
        {
            assert_eq!(locate(&starts, OriginalIndex(index)), expected, "{index}");
        }
        assert_eq!(locate(&[], OriginalIndex(0)), None);
    }

    #[test]
    fn members_are_little_endian() {
        let bytes = [1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0];
        assert_eq!(decode_member(&bytes), Ok((OriginalIndex((2 << 32) + 1), Slot { pack: 3, position: 4 })));
        assert!(decode_member(&bytes[..15]).is_err());
    }
}
