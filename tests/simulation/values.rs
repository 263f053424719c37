//! What subtasks take in and put out, and what of it the cache may give.

use std::collections::BTreeMap;

use batchmap::aws::memory::MemoryStore;
use batchmap::aws::store::Store;
use batchmap::idl::core::{BlobType, LiteralMap, LiteralType};
use batchmap::idl::core::{literal, scalar};
use batchmap::idl::make;
use batchmap::map::cache::{Key, Scheme, Types};
use batchmap::map::index::OriginalIndex;
use batchmap::map::ranges::Ranges;
use batchmap::map::task::Cache;
use bytes::Bytes;
use futures::FutureExt;
use prost::Message;

use crate::script::Script;

/// A call that memory answers at once.
pub fn at_once<T>(call: impl Future<Output = T>) -> T {
    call.now_or_never().expect("memory answers at once")
}

impl Script {
    /// The input of a subtask.
    fn element(&self, index: u64) -> u64 {
        if self.twins { index / 2 } else { index }
    }

    /// What the task makes of it: another version makes something else.
    pub fn value(&self, index: u64) -> u64 {
        10 * self.element(index) + self.cache.unwrap_or(0)
    }

    /// What names a subtask's outputs in the cache.
    pub fn keys(&self) -> Vec<Key> {
        let (inputs, outputs) = (
            BTreeMap::from([("x".to_owned(), LiteralType::default())]),
            batchmap::run::result::declared(&self.record()),
        );
        let version = self.cache.unwrap_or(0).to_string();
        let cache =
            Cache { version, ignored: Default::default(), overwrite: false, serialize: false, by_command: false };
        let types = Types { inputs: &inputs, outputs: &outputs };
        let scheme = Scheme::new(("t", &[]), &cache, types, &BTreeMap::new(), &["x".to_owned()]);
        (0..self.size).map(|index| scheme.key(&[make::integer(self.element(index) as i64)])).collect()
    }

    /// A subtask's outputs, in the file `file` if they are one.
    pub fn outputs(&self, store: &MemoryStore, index: u64, file: &str) -> Bytes {
        let value = self.value(index);
        let literal = if self.files {
            at_once(store.put(file, value.to_string().into())).expect("memory takes everything");
            make::blob(&BlobType::default(), format!("s3://{}/{file}", store.bucket()))
        } else {
            make::integer(value as i64)
        };
        LiteralMap { literals: [("o0".to_owned(), literal)].into() }.encode_to_vec().into()
    }

    /// Whether these are the outputs of a subtask, whole.
    pub fn are_outputs_of(&self, store: &MemoryStore, index: u64, body: &[u8]) -> bool {
        if !self.outputs_due {
            return body.is_empty();
        }
        let Ok(outputs) = LiteralMap::decode(body) else { return false };
        let value = self.value(index);
        let Some(literal) = outputs.literals.get("o0").filter(|_| outputs.literals.len() == 1) else { return false };
        let Some(literal::Value::Scalar(found)) = &literal.value else { return false };
        match &found.value {
            Some(scalar::Value::Blob(blob)) => {
                let key = blob.uri.strip_prefix("s3://bucket/");
                key.is_some_and(|key| at_once(store.get(key)).is_ok_and(|body| body == value.to_string()))
            }
            _ => *literal == make::integer(value as i64),
        }
    }

    /// The subtasks whose outputs the cache has, but for those in `known`.
    pub fn hits(&self, store: &MemoryStore, known: &Ranges) -> Ranges {
        if self.cache.is_none() || self.overwrite {
            return Ranges::default();
        }
        let keys = (0..).zip(self.keys());
        let usable = |(index, key): &(u64, Key)| {
            let entry = at_once(store.get(&self.root().cached(key)));
            !known.contains(OriginalIndex(*index)) && entry.is_ok_and(|body| self.are_outputs_of(store, *index, &body))
        };
        keys.filter(usable).map(|(index, _)| OriginalIndex(index)).collect()
    }

    /// Puts into the bucket what staging leaves there.
    pub fn stage(&self, store: &MemoryStore) {
        let put = |key: String, body: Vec<u8>| at_once(store.put(&key, body.into())).expect("memory takes everything");
        let keys = if self.cache.is_some() { self.keys() } else { Vec::new() };
        let ends = self.pack_starts.iter().copied().skip(1).chain([self.size]);
        for (pack, (start, end)) in (0..).zip(self.pack_starts.iter().copied().zip(ends)) {
            put(self.root().pack(pack), LiteralMap::default().encode_to_vec());
            if !keys.is_empty() {
                let own = &keys[start as usize..end as usize];
                put(self.root().pack_keys(pack), own.iter().flat_map(|key| key.0).collect());
            }
        }
        put(self.root().task(), self.record().encode_to_vec());
    }

    /// Damages entries of the cache, in one of the ways in which they can be.
    pub fn damage(&self, store: &MemoryStore) {
        let entries = store.objects().into_keys().filter(|key| key.starts_with("cache/"));
        for (number, key) in (0..).zip(entries).filter(|(number, _)| self.dice.hits("damaged", &[*number], self.damage))
        {
            let gone = make::blob(&BlobType::default(), "s3://bucket/raw/x/gone");
            let map = |name: &str| LiteralMap { literals: [(name.to_owned(), gone.clone())].into() }.encode_to_vec();
            let body = match self.dice.roll("damaged/how", &[number], 4) {
                0 => b"\xffgarbage".to_vec(),
                1 if self.outputs_due => Vec::new(),
                2 => map("o0"),
                _ => map("o1"),
            };
            at_once(store.put(&key, body.into())).expect("memory takes everything");
        }
    }
}
