//! Rows of literals on local disk.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use prost::Message;

use super::ResultError;
use crate::idl::core::Literal;

/// One list of literals for each output, in an unnamed temporary file: it is gone when the process is.
pub struct Spool {
    names: Vec<String>,
    file: BufWriter<File>,
    rows: u64,
    bytes: u64,
}

impl Spool {
    /// An empty spool for the outputs `names`.
    ///
    /// # Errors
    /// When no temporary file can be made.
    pub fn create(names: Vec<String>) -> Result<Self, ResultError> {
        let file = tempfile().map_err(spool_error)?;
        Ok(Spool { names, file: BufWriter::new(file), rows: 0, bytes: 0 })
    }

    /// The outputs' names, in the order of a row.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The number of rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes of all literals together.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends a row: one literal for each name.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn push(&mut self, row: &[Literal]) -> Result<(), ResultError> {
        debug_assert_eq!(row.len(), self.names.len());
        for literal in row {
            let body = literal.encode_to_vec();
            let length = body.len() as u64;
            self.file
                .write_all(&length.to_le_bytes())
                .and_then(|()| self.file.write_all(&body))
                .map_err(spool_error)?;
            self.bytes += length;
        }
        self.rows += 1;
        Ok(())
    }

    /// Makes what was pushed readable.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn rewind(&mut self) -> Result<(), ResultError> {
        self.file.flush().map_err(spool_error)
    }

    /// The rows from the first on, each literal as its encoded bytes. Call [`Spool::rewind`] first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&self) -> Result<Rows, ResultError> {
        let mut file = self.file.get_ref().try_clone().map_err(spool_error)?;
        file.seek(SeekFrom::Start(0)).map_err(spool_error)?;
        Ok(Rows { file: BufReader::new(file), columns: self.names.len(), left: self.rows })
    }
}

/// Iterates over the rows of a spool. Two of them over one spool must not be used at once: they share its position.
pub struct Rows {
    file: BufReader<File>,
    columns: usize,
    left: u64,
}

impl Rows {
    /// The next row, each literal as its encoded bytes.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next_row(&mut self) -> Result<Option<Vec<Vec<u8>>>, ResultError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        (0..self.columns).map(|_| self.next_literal().map_err(spool_error)).collect::<Result<_, _>>().map(Some)
    }

    fn next_literal(&mut self) -> std::io::Result<Vec<u8>> {
        let mut length = [0; 8];
        self.file.read_exact(&mut length)?;
        let mut body = vec![0; u64::from_le_bytes(length) as usize];
        self.file.read_exact(&mut body)?;
        Ok(body)
    }
}

/// A file without a name.
fn tempfile() -> std::io::Result<File> {
    let path = unique_path();
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// A path in the folder for temporary files that no other call in any process gets.
pub(super) fn unique_path() -> std::path::PathBuf {
    std::env::temp_dir().join(format!("batchmap-{}-{:016x}", std::process::id(), crate::run::random()))
}

pub(super) fn spool_error(source: std::io::Error) -> ResultError {
    ResultError::Spool { path: std::env::temp_dir().display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::idl::make;

    #[test]
    fn rows_come_back_in_order() {
        let mut spool = Spool::create(vec!["a".to_owned(), "b".to_owned()]).unwrap();
        for i in 0..1000 {
            spool.push(&[make::integer(i), make::string("x".repeat(i as usize % 7))]).unwrap();
        }
        spool.rewind().unwrap();
        for _ in 0..2 {
            let mut rows = spool.read().unwrap();
            for i in 0..1000 {
                let row = rows.next_row().unwrap().unwrap();
                assert_eq!(row[0], make::integer(i).encode_to_vec());
                assert_eq!(row[1], make::string("x".repeat(i as usize % 7)).encode_to_vec());
            }
            assert!(rows.next_row().unwrap().is_none());
        }
    }
}
