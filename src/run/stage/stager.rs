//! Elements of all lists into packs, and packs into the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use tokio::task::JoinSet;

use super::column::Column;
use super::{StageError, Staged};
use crate::aws::store::{Store, StoreError};
use crate::idl::core::Literal;
use crate::idl::record::TaskRecord;
use crate::map::cache::Scheme;
use crate::map::layout::Root;
use crate::map::pack::{Pack, PackBuilder, Pushed};
use crate::map::spec::{Fault, Faults};
use crate::run::files::{Files, Upload};

/// Packs being written at once; with the one being filled, what staging holds of the data.
const IN_FLIGHT: usize = 4;
/// Faults in the data that are told one by one.
const TOLD: usize = 20;

/// Faults in the data: the first are kept, the others counted.
#[derive(Default)]
pub(super) struct DataFaults {
    pub(super) kept: Vec<Fault>,
    more: u64,
}

impl DataFaults {
    pub(super) fn push(&mut self, fault: Fault) {
        if self.kept.len() < TOLD { self.kept.push(fault) } else { self.more += 1 }
    }

    fn any(&self) -> bool {
        !self.kept.is_empty()
    }

    fn into_faults(mut self) -> Faults {
        if self.more > 0 {
            self.kept.push(Fault::missing(format!("... and {} more", self.more), "", ""));
        }
        Faults(self.kept)
    }
}

/// Elements on their way into packs, and packs on their way into the store.
pub(super) struct Stager {
    store: Arc<dyn Store>,
    root: Root,
    files: Files,
    dry_run: bool,
    builder: PackBuilder,
    /// How the elements' cache keys are made, where the task is cached.
    scheme: Option<Scheme>,
    /// Those of the pack under way, one after the other.
    keys: Vec<u8>,
    pub(super) faults: DataFaults,
    /// Elements taken so far.
    size: u64,
    starts: Vec<u64>,
    puts: JoinSet<Result<(), StoreError>>,
    pack_bytes: u64,
    file_count: u64,
    file_bytes: u64,
}

impl Stager {
    pub(super) fn new(store: Arc<dyn Store>, root: Root, files: Files, builder: PackBuilder, dry_run: bool) -> Self {
        Stager {
            store,
            root,
            files,
            dry_run,
            builder,
            scheme: None,
            keys: Vec::new(),
            faults: DataFaults::default(),
            size: 0,
            starts: Vec::new(),
            puts: JoinSet::new(),
            pack_bytes: 0,
            file_count: 0,
            file_bytes: 0,
        }
    }

    /// The same, making a cache key of each element as well.
    pub(super) fn keyed(self, scheme: Option<Scheme>) -> Self {
        Stager { scheme, ..self }
    }

    /// Takes elements of all lists in step until one ends; then all must have.
    pub(super) async fn zip(&mut self, columns: &mut [Column]) -> Result<(), StoreError> {
        if columns.is_empty() {
            // Nothing is mapped: one subtask with the bound values alone.
            return self.rows(columns, 1).await;
        }
        loop {
            let mut rows = usize::MAX;
            for column in columns.iter_mut() {
                let Some(ready) = column.ready(&mut self.faults).await? else { return Ok(()) };
                rows = rows.min(ready);
            }
            if rows == 0 {
                return self.same_length(columns).await;
            }
            self.rows(columns, rows).await?;
        }
    }

    /// Takes `rows` elements of each list, all of them ready.
    async fn rows(&mut self, columns: &mut [Column], rows: usize) -> Result<(), StoreError> {
        let mut uploads = Vec::new();
        let mut literals = Vec::with_capacity(columns.len());
        for _ in 0..rows {
            literals.clear();
            let mut line = 0;
            for column in columns.iter_mut() {
                let Some(item) = column.elements.pop() else { continue };
                line = item.line;
                let own = uploads.len();
                match column.convert(item, self.size, &self.files, &mut uploads) {
                    Ok(mut literal) => {
                        if self.scheme.as_ref().is_some_and(|scheme| scheme.counts(&column.name)) {
                            self.files.stamp(&mut literal, &uploads[own..]).await?;
                        }
                        literals.push(literal);
                    }
                    Err(fault) => self.faults.push(fault),
                }
            }
            // From the first fault on the rest is only read for further ones.
            if !self.faults.any() {
                self.push(&literals, columns, line).await?;
            }
            self.size += 1;
        }
        self.queue(uploads).await
    }

    async fn push(&mut self, literals: &[Literal], columns: &[Column], line: u64) -> Result<(), StoreError> {
        loop {
            match self.builder.try_push(literals) {
                Ok(Pushed::Added) => {
                    if self.builder.len() == 1 {
                        self.starts.push(self.size);
                    }
                    if let Some(scheme) = &self.scheme {
                        self.keys.extend_from_slice(&scheme.key(literals).0);
                    }
                    return Ok(());
                }
                Ok(Pushed::Full) => {
                    if let Some(pack) = self.builder.finish() {
                        self.put(pack).await?;
                    }
                }
                Err(error) => {
                    let place = columns.last().map(|column| column.place(line, self.size)).unwrap_or_default();
                    self.faults.push(Fault::missing(place, error.to_string(), ""));
                    return Ok(());
                }
            }
        }
    }

    /// Uploads files, unless something is wrong or this is a dry run.
    pub(super) async fn queue(&mut self, uploads: Vec<Upload>) -> Result<(), StoreError> {
        self.file_count += uploads.len() as u64;
        self.file_bytes += uploads.iter().map(|upload| upload.bytes).sum::<u64>();
        if self.dry_run || self.faults.any() {
            return Ok(());
        }
        self.files.upload(uploads).await
    }

    /// Begins to write a pack, once there is room for it among those being written.
    async fn put(&mut self, pack: Pack) -> Result<(), StoreError> {
        let keys = std::mem::take(&mut self.keys);
        self.pack_bytes += (pack.body.len() + pack.index.len() + keys.len()) as u64;
        if self.dry_run {
            return Ok(());
        }
        while self.puts.len() >= IN_FLIGHT {
            self.landed().await?;
        }
        // Its start was pushed with its first element.
        let number = (self.starts.len() - 1) as u32;
        let (body_key, index_key) = (self.root.pack(number), self.root.pack_index(number));
        let keys_key = self.root.pack_keys(number);
        let store = self.store.clone();
        self.puts.spawn(async move {
            let keys = async { if keys.is_empty() { Ok(()) } else { store.put(&keys_key, keys.into()).await } };
            futures::try_join!(store.put(&body_key, pack.body), store.put(&index_key, pack.index), keys).map(|_| ())
        });
        Ok(())
    }

    /// Waits for one of the packs being written.
    async fn landed(&mut self) -> Result<(), StoreError> {
        match self.puts.join_next().await {
            Some(Ok(put)) => put,
            // The store's own panic goes on here; none is cancelled while this waits.
            Some(Err(error)) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => Err(StoreError::Unreachable {
                    operation: "PutObject",
                    bucket: self.store.bucket().to_owned(),
                    key: self.root.pack(0),
                    message: error.to_string(),
                }),
            },
            None => Ok(()),
        }
    }

    /// One list has ended: a fault that names all lengths, unless all have.
    async fn same_length(&mut self, columns: &mut [Column]) -> Result<(), StoreError> {
        let mut lengths = BTreeMap::new();
        for column in columns.iter_mut() {
            match column.elements.count_rest().await {
                Ok(rest) => drop(lengths.insert(column.name.clone(), self.size + rest)),
                Err(error) => {
                    self.faults.push(column.failed(error)?);
                    return Ok(());
                }
            }
        }
        if lengths.values().any(|length| *length != self.size) {
            let all: Vec<String> = lengths.iter().map(|(name, length)| format!("{name} has {length}")).collect();
            let problem = format!("lists mapped together must have the same length: {}", all.join(", "));
            // At its start, for it explains faults in the data that come of lists not belonging together.
            self.faults.kept.insert(0, Fault::missing("map", problem, "correct the lists, or bind what is one value"));
        }
        Ok(())
    }

    /// Writes what is left and, last, the record that `record` makes of the size and the packs' starts.
    pub(super) async fn finish(
        mut self,
        record: impl FnOnce(u64, Vec<u64>) -> TaskRecord,
    ) -> Result<Staged, StageError> {
        if !self.faults.any()
            && let Some(pack) = self.builder.finish()
        {
            self.put(pack).await?;
        }
        while !self.puts.is_empty() {
            self.landed().await?;
        }
        if self.faults.any() {
            return Err(self.faults.into_faults().into());
        }
        let record = record(self.size, std::mem::take(&mut self.starts));
        // Empty lists have succeeded already: there will be no execution to record.
        if !self.dry_run && self.size > 0 {
            self.write_last(&record).await?;
        }
        let Stager { pack_bytes, file_count, file_bytes, .. } = self;
        Ok(Staged { record, pack_bytes, files: file_count, file_bytes })
    }

    /// Writes the record where none is. The one found in its place may be ours: the store tries again when a reply is
    /// lost.
    async fn write_last(&self, record: &TaskRecord) -> Result<(), StoreError> {
        let (key, body) = (self.root.task(), Bytes::from(record.encode_to_vec()));
        match self.store.put_new(&key, body.clone()).await {
            Err(StoreError::AlreadyExists { .. }) if self.store.get(&key).await? == body => Ok(()),
            written => written,
        }
    }
}
