//! The stored result: `outputs.pb`, a flyteidl LiteralMap of one list for each output.

use std::io::Write;

use bytes::Bytes;
use prost::encoding::{encode_varint, encoded_len_varint};
use serde::Serialize;

use super::spool::spool_error;
use super::{ResultError, Spool};
use crate::aws::store::Store;
use crate::map::layout::Root;

/// Bytes of outputs above which the result is stored in parts: one object of that size is still read whole by flyteidl.
pub const PART_LIMIT: u64 = 1 << 30;

/// What stands in place of `outputs.pb` when the result is in parts.
#[derive(Debug, Serialize)]
struct Manifest {
    version: u32,
    /// Each part's key and how many elements of each list it holds, in the order of the list.
    parts: Vec<(String, u64)>,
}

/// Stores the result and returns its key: `outputs.pb`, or a manifest of parts.
///
/// # Errors
/// When S3 or the local disk fails.
pub async fn write(store: &dyn Store, root: &Root, spool: &Spool, part_limit: u64) -> Result<String, ResultError> {
    let parts = spool.bytes().div_ceil(part_limit.max(1)).max(1);
    let rows_a_part = spool.rows().div_ceil(parts).max(1);
    let mut rows = spool.read()?;
    let mut manifest = Manifest { version: 1, parts: Vec::new() };
    for part in 0..parts {
        let count = rows_a_part.min(spool.rows() - (part * rows_a_part).min(spool.rows()));
        let key = if parts == 1 { root.result() } else { root.result_part(part) };
        let file = assemble(spool.names(), &mut rows, count)?;
        store.upload(&key, file.path()).await?;
        manifest.parts.push((key, count));
    }
    if parts == 1 {
        return Ok(root.result());
    }
    let body = serde_json::to_vec(&manifest).expect("a manifest is plain data");
    store.put(&root.result_manifest(), Bytes::from(body)).await?;
    Ok(root.result_manifest())
}

/// The next `count` rows as a LiteralMap in a file.
fn assemble(names: &[String], rows: &mut super::spool::Rows, count: u64) -> Result<TempFile, ResultError> {
    // A list's length stands before its elements, so each column goes to a file of its own first.
    let mut columns: Vec<Column> = names.iter().map(|_| Column::create()).collect::<Result<_, _>>()?;
    for _ in 0..count {
        let Some(row) = rows.next_row()? else { break };
        for (column, literal) in columns.iter_mut().zip(row) {
            column.push(&literal)?;
        }
    }
    let mut whole = TempFile::create()?;
    for (name, column) in names.iter().zip(columns) {
        column.finish(name, &mut whole)?;
    }
    whole.file.flush().map_err(spool_error)?;
    Ok(whole)
}

/// The elements of one list, as the repeated field of a LiteralCollection.
struct Column {
    file: TempFile,
    bytes: u64,
}

/// Wire type 2 (length-delimited) of protobuf field `number`.
const fn delimited(number: u8) -> u8 {
    number << 3 | 2
}

impl Column {
    fn create() -> Result<Self, ResultError> {
        Ok(Column { file: TempFile::create()?, bytes: 0 })
    }

    fn push(&mut self, literal: &[u8]) -> Result<(), ResultError> {
        let mut head = vec![delimited(1)];
        encode_varint(literal.len() as u64, &mut head);
        self.file.file.write_all(&head).and_then(|()| self.file.file.write_all(literal)).map_err(spool_error)?;
        self.bytes += (head.len() + literal.len()) as u64;
        Ok(())
    }

    /// Writes `literals { key: name, value: Literal { collection: … } }` to `whole`.
    fn finish(mut self, name: &str, whole: &mut TempFile) -> Result<(), ResultError> {
        self.file.file.flush().map_err(spool_error)?;
        let field = |bytes: u64| 1 + encoded_len_varint(bytes) as u64 + bytes;
        let literal = field(self.bytes);
        let entry = field(name.len() as u64) + field(literal);
        let mut head = vec![delimited(1)];
        encode_varint(entry, &mut head);
        head.push(delimited(1));
        encode_varint(name.len() as u64, &mut head);
        head.extend_from_slice(name.as_bytes());
        head.push(delimited(2));
        encode_varint(literal, &mut head);
        head.push(delimited(2));
        encode_varint(self.bytes, &mut head);
        whole.file.write_all(&head).map_err(spool_error)?;
        let mut column = std::fs::File::open(self.file.path()).map_err(spool_error)?;
        std::io::copy(&mut column, &mut whole.file).map_err(spool_error)?;
        Ok(())
    }
}

/// A temporary file with a name, removed when dropped.
struct TempFile {
    path: std::path::PathBuf,
    file: std::io::BufWriter<std::fs::File>,
}

impl TempFile {
    fn create() -> Result<Self, ResultError> {
        let path = super::spool::unique_path();
        let file = std::fs::File::options().write(true).create_new(true).open(&path).map_err(spool_error)?;
        Ok(TempFile { path, file: std::io::BufWriter::new(file) })
    }

    fn path(&self) -> &std::path::Path {
        &self.path
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        // It is in the folder for temporary files: one that stays does no harm.
        let _ = std::fs::remove_file(&self.path);
    }
}
