//! The list of files that make a checkpoint.

use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

/// The format that this program writes, and the only one it reads.
const VERSION: u32 = 1;

/// Bytes of a manifest that are read at most: far more than the files of one attempt need.
pub(super) const MAX_MANIFEST: u64 = 64 << 20;

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Path below the directory, with `/` between its parts.
    pub path: String,
    /// The number of the object that holds it.
    pub object: u32,
    /// Bytes.
    pub size: u64,
    /// BLAKE3 of its contents, in hexadecimal.
    pub hash: String,
}

/// A complete checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    version: u32,
    /// Its files, each path once.
    pub files: Vec<Entry>,
}

impl Manifest {
    /// A manifest of these files.
    pub(super) fn new(files: Vec<Entry>) -> Self {
        Manifest { version: VERSION, files }
    }

    /// The bytes as stored.
    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain data")
    }

    /// Reads a manifest. It was written by a child, and is not trusted to stay within the directory.
    ///
    /// # Errors
    /// When it is none, is of another version, or names a path that is not below the directory.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let manifest: Manifest = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if manifest.version != VERSION {
            return Err(format!("its format is {}, and this worker knows {VERSION}", manifest.version));
        }
        match manifest.files.iter().find(|entry| !is_below(&entry.path)) {
            Some(entry) => Err(format!("{:?} does not name a file below the directory", entry.path)),
            None => Ok(manifest),
        }
    }
}

/// Whether a path leads to somewhere below where it begins.
fn is_below(path: &str) -> bool {
    !path.is_empty()
        && !path.contains('\0')
        && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str) -> Manifest {
        Manifest::new(vec![Entry { path: path.to_owned(), object: 0, size: 1, hash: "x".to_owned() }])
    }

    #[test]
    fn a_manifest_survives_its_bytes() {
        assert_eq!(Manifest::decode(&of("a/b").encode()), Ok(of("a/b")));
    }

    #[test]
    fn no_path_leads_out_of_the_directory() {
        for path in ["", "/etc/passwd", "../x", "a/../../x", "a\0"] {
            assert!(Manifest::decode(&of(path).encode()).is_err(), "{path:?}");
        }
    }

    #[test]
    fn what_is_no_manifest_of_this_version_is_refused() {
        for text in ["", "{}", r#"{"version":2,"files":[]}"#, r#"{"version":1,"files":[{"path":"a"}]}"#] {
            assert!(Manifest::decode(text.as_bytes()).is_err(), "{text}");
        }
    }
}
