//! What a directory holds, cheaply enough to be looked at again and again.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Files of one checkpoint at most.
pub(super) const MAX_FILES: usize = 10_000;

/// By which a change of a file is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    size: u64,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Stamp {
            size: metadata.size(),
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Every file below a directory, by its path with `/` between the parts.
pub(super) type Snapshot = BTreeMap<String, Stamp>;

/// Looks at every file below `directory`. Links, sockets and the like are passed over; a file that goes while one looks
/// is not there.
///
/// # Errors
/// When a directory cannot be read, a name is no UTF-8, or there are more than [`MAX_FILES`].
pub(super) fn scan(directory: &Path) -> Result<Snapshot, String> {
    let mut found = Snapshot::new();
    walk(directory, "", &mut found)?;
    Ok(found)
}

fn walk(directory: &Path, prefix: &str, found: &mut Snapshot) -> Result<(), String> {
    let unreadable = |error: &io::Error| format!("{} cannot be read: {error}", directory.display());
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unreadable(&error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| unreadable(&error))?;
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(unreadable(&error)),
        };
        let name = entry.file_name();
        let name = name.to_str().ok_or_else(|| format!("{name:?} is no UTF-8: give the file another name"))?;
        let path = format!("{prefix}{name}");
        if metadata.is_dir() {
            walk(&entry.path(), &format!("{path}/"), found)?;
        } else if metadata.is_file() {
            found.insert(path, Stamp::of(&metadata));
            if found.len() > MAX_FILES {
                return Err(format!("there are more than {MAX_FILES} files: put them into an archive"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_and_changes_seen() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        fs::write(folder.path().join("a/b/c"), "1").unwrap();
        fs::write(folder.path().join("d"), "2").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
        let before = scan(folder.path()).unwrap();
        assert_eq!(before.keys().collect::<Vec<_>>(), ["a/b/c", "d"]);
        assert_eq!(scan(folder.path()).unwrap(), before);
        fs::write(folder.path().join("new"), "3").unwrap();
        fs::rename(folder.path().join("new"), folder.path().join("d")).unwrap();
        assert_ne!(scan(folder.path()).unwrap()["d"], before["d"]);
        assert_eq!(scan(&folder.path().join("gone")), Ok(Snapshot::new()));
    }
}
