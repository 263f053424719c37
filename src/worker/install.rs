//! Puts the worker where the task's own container finds it.
//!
//! It runs in a container of its own that may have nothing but this program: no shell, no `/tmp`, a read-only root.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::map::inject::{BINARY, ROOTS};

/// Every user may read and start what is there.
const READABLE: u32 = 0o755;
/// Every user may write, and remove what is theirs: as `/tmp` is.
const WRITABLE: u32 = 0o1777;

/// Copies this program into `folder`, where any user may run it, and `roots`, the file of the system's authorities, beside
/// it; lets any user write to `scratch`. Returns where the program is: there whole or not at all.
///
/// # Errors
/// When one of them cannot be written; the message names it.
pub fn install(folder: &Path, scratch: Option<&Path>, roots: Option<&Path>) -> Result<PathBuf, String> {
    let own = own_program().map_err(|error| format!("cannot read this program: {error}"))?;
    let program = folder.join(BINARY);
    let cannot = |path: &Path, error: io::Error| {
        format!("cannot write {}: {error}; it must be a volume, and this container must run as root", path.display())
    };
    for (path, mode) in [(folder, READABLE)].into_iter().chain(scratch.map(|scratch| (scratch, WRITABLE))) {
        let made = fs::create_dir_all(path).and_then(|()| fs::set_permissions(path, Permissions::from_mode(mode)));
        made.map_err(|error| cannot(path, error))?;
    }
    if let Some(roots) = roots {
        let copied = folder.join(ROOTS);
        File::open(roots).and_then(|file| copy(file, &copied, 0o644)).map_err(|error| cannot(&copied, error))?;
    }
    // Last: where it is, all is there.
    copy(own, &program, READABLE).map_err(|error| cannot(&program, error))?;
    Ok(program)
}

/// The file of this program. On Linux it is reached even where its path is not known.
fn own_program() -> io::Result<File> {
    match File::open("/proc/self/exe") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => File::open(std::env::current_exe()?),
        opened => opened,
    }
}

fn copy(mut from: File, to: &Path, mode: u32) -> io::Result<()> {
    let unfinished = to.with_extension("unfinished");
    let mut file = File::create(&unfinished)?;
    io::copy(&mut from, &mut file)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    drop(file);
    fs::rename(&unfinished, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_user_may_run_it_and_write_to_the_scratch_folder() {
        let parent = tempfile::tempdir().unwrap();
        let (folder, scratch) = (parent.path().join("bin"), parent.path().join("tmp"));
        let roots = parent.path().join("roots");
        fs::write(&roots, "all of them").unwrap();
        for _ in 0..2 {
            let program = install(&folder, Some(&scratch), Some(&roots)).unwrap();
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
            assert_eq!((mode(&program), mode(&folder), mode(&scratch)), (READABLE, READABLE, WRITABLE));
            let own = std::env::current_exe().unwrap();
            assert_eq!(fs::metadata(&program).unwrap().len(), fs::metadata(own).unwrap().len());
            assert_eq!(fs::read_to_string(folder.join(ROOTS)).unwrap(), "all of them");
            assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
        }
    }

    #[test]
    fn what_cannot_be_written_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        fs::write(&file, "").unwrap();
        let problem = install(&file.join("bin"), None, None).unwrap_err();
        assert!(problem.starts_with("cannot write ") && problem.contains("file/bin"), "{problem}");
    }
}
