//! Whatever bytes come: no panic, and no more memory than the bytes can account for.
//!
//! Each target takes arbitrary bytes, and valid ones that were changed a little. The files of `tests/corpus/<target>/`
//! are what the changes begin from, and are tried as they are in every run; an input that has once broken something
//! belongs there. `PROPTEST_CASES` tries more.

mod change;
#[path = "../support/child.rs"]
#[allow(dead_code)]
mod child;
#[path = "../support/emulator.rs"]
mod emulator;
mod endpoint;
mod index;
mod journal;
mod literal;
mod meter;
mod retry;
mod snapshot;
mod spec;

use std::path::PathBuf;

use proptest::test_runner::{Config, FileFailurePersistence};

/// The files of a target's corpus: name and bytes.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<(String, Vec<u8>)> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{target} has a corpus");
    files
}

/// The bytes of a target's corpus.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    corpus(target).into_iter().map(|(_, bytes)| bytes).collect()
}

/// How a target is tried: as many cases as given, unless the environment says otherwise. What breaks is printed, and is
/// to be put into the corpus.
fn cases(count: u32) -> Config {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    Config {
        cases: asked.unwrap_or(count),
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..Config::default()
    }
}
