//! A podman with a store of its own, for the tests of containers; and images that need no network.

// Each test binary uses its own part of it.
#![allow(dead_code)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tempfile::TempDir;

/// What every test image can run, all of it busybox.
const APPLETS: [&str; 16] = [
    "sh", "cat", "chmod", "cp", "echo", "env", "false", "id", "kill", "ls", "mkdir", "sleep", "tail", "touch", "true",
    "wget",
];

/// The image of [`Podman::busybox`].
pub const BUSYBOX: &str = "localhost/batchmap-test:busybox";

/// podman over a store in a temporary directory. What it has run, and the store, are gone when it is dropped.
pub struct Podman {
    dir: TempDir,
    /// For this process's children: how podman is to be called here.
    env: Vec<(String, String)>,
}

/// The one that tests of this process share while any of them runs.
static SHARED: Mutex<Weak<Podman>> = Mutex::new(Weak::new());

impl Podman {
    /// One for all tests that run at the same time in this process.
    ///
    /// # Errors
    /// As [`Podman::prepare`].
    pub fn shared() -> Result<Arc<Podman>, String> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(podman) = shared.upgrade() {
            return Ok(podman);
        }
        let podman = Arc::new(Podman::prepare()?);
        *shared = Arc::downgrade(&podman);
        Ok(podman)
    }

    /// A podman that can run containers here.
    ///
    /// # Errors
    /// Why it cannot, for [`super::skip::skipped`] or its like.
    pub fn prepare() -> Result<Podman, String> {
        let version = Command::new("podman").arg("--version").stdin(Stdio::null()).output();
        if !version.is_ok_and(|output| output.status.success()) {
            return Err("there is no podman".to_owned());
        }
        let busybox = static_busybox().ok_or("there is no static busybox to make an image of")?;
        // The settings of this machine's podman do, or those that get along with fewer rights and older cgroups.
        let mut why = String::new();
        for modest in [false, true] {
            let podman = Podman::with_store(modest).map_err(|error| format!("podman needs a directory: {error}"))?;
            match podman.import(&busybox).and_then(|()| podman.try_run(&["run", "--rm", BUSYBOX, "true"])) {
                Ok(_) => return Ok(podman),
                Err(error) => why = error,
            }
        }
        Err(format!("podman cannot run a container here: {why}"))
    }

    fn with_store(modest: bool) -> std::io::Result<Podman> {
        let dir = tempfile::Builder::new().prefix("bm-pod").tempdir()?;
        let path = |name: &str| dir.path().join(name).display().to_string();
        let (graph, run) = (path("graph"), path("run"));
        let storage = format!("[storage]\ndriver=\"overlay\"\ngraphroot=\"{graph}\"\nrunroot=\"{run}\"\n");
        fs::write(dir.path().join("storage.conf"), storage)?;
        let mut env = vec![("CONTAINERS_STORAGE_CONF".to_owned(), path("storage.conf"))];
        if modest {
            fs::write(
                dir.path().join("containers.conf"),
                "[containers]\ndefault_ulimits=[\"nofile=1024:1024\",\"nproc=1024:1024\"]\n[engine]\nruntime=\"runc\"\n\
                 cgroup_manager=\"cgroupfs\"\nevents_logger=\"file\"\n",
            )?;
            env.push(("CONTAINERS_CONF".to_owned(), path("containers.conf")));
        }
        Ok(Podman { dir, env })
    }

    /// What a process that calls podman needs in its environment to reach this store.
    pub fn env(&self) -> &[(String, String)] {
        &self.env
    }

    /// A directory that goes when this does.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// `podman` on this store.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.envs(self.env.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
        command
    }

    /// What podman answers; panics when it fails.
    pub fn run(&self, args: &[&str]) -> String {
        self.try_run(args).unwrap_or_else(|error| panic!("podman {args:?}: {error}"))
    }

    /// What podman answers, or says is wrong.
    pub fn try_run(&self, args: &[&str]) -> Result<String, String> {
        let output = self.command("podman").args(args).output().map_err(|error| error.to_string())?;
        told(&output)
    }

    /// The names of containers, ended ones too, and volumes that have this label; all when it is empty.
    pub fn left(&self, label: &str) -> Vec<String> {
        let filter = format!("--filter=label={label}");
        let filter: &[&str] = if label.is_empty() { &[] } else { &[&filter] };
        let containers = self.listing(&[&["ps", "--all", "--format={{.Names}}"], filter].concat());
        let volumes = self.listing(&[&["volume", "ls", "--quiet"], filter].concat());
        containers.lines().chain(volumes.lines()).map(str::to_owned).collect()
    }

    /// What podman lists. It fails over what goes while it looks, and is asked again.
    fn listing(&self, args: &[&str]) -> String {
        for _ in 0..100 {
            match self.try_run(args) {
                Ok(listed) => return listed,
                Err(error) => assert!(error.contains("no such"), "podman {args:?}: {error}"),
            }
        }
        self.run(args)
    }

    /// Makes an image of a directory's files.
    pub fn image_of(&self, root: &Path, name: &str, changes: &[&str]) -> Result<(), String> {
        let tar = self.dir.path().join("image.tar");
        let packed = Command::new("tar").arg("-C").arg(root).arg("-cf").arg(&tar).arg(".").output();
        told(&packed.map_err(|error| format!("tar: {error}"))?)?;
        let mut args = vec!["import"];
        for change in changes {
            args.extend(["--change", change]);
        }
        let tar = tar.display().to_string();
        args.extend([tar.as_str(), name]);
        self.try_run(&args).map(drop)
    }

    fn import(&self, busybox: &Path) -> Result<(), String> {
        let root = self.dir.path().join("root");
        let make = || -> std::io::Result<()> {
            for folder in ["bin", "tmp", "etc"] {
                fs::create_dir_all(root.join(folder))?;
            }
            fs::copy(busybox, root.join("bin/busybox"))?;
            for applet in APPLETS {
                symlink("busybox", root.join("bin").join(applet))?;
            }
            fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\nworker:x:1234:1234::/:/bin/sh\n")?;
            fs::write(root.join("etc/group"), "root:x:0:\nworker:x:1234:\n")
        };
        make().map_err(|error| format!("cannot make an image: {error}"))?;
        self.image_of(&root, BUSYBOX, &[])
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = self.try_run(&["rm", "-f", "-a", "-t", "0"]);
        // Its layers are mounts and belong to many users: podman takes them away, not the directory's own end.
        let _ = self.try_run(&["system", "reset", "--force"]);
    }
}

fn told(output: &Output) -> Result<String, String> {
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

/// A busybox that runs where nothing else is.
fn static_busybox() -> Option<PathBuf> {
    let named = std::env::var_os("BATCHMAP_TEST_BUSYBOX").map(PathBuf::from);
    let usual = ["/bin/busybox", "/usr/bin/busybox", "/bin/busybox.static"].map(PathBuf::from);
    named.into_iter().chain(usual).find(|path| fs::read(path).is_ok_and(|bytes| is_static(&bytes)))
}

/// Whether an ELF file names no interpreter: it needs no libraries then.
fn is_static(elf: &[u8]) -> bool {
    let number = |at: usize, size: usize| {
        let bytes = elf.get(at..at + size)?;
        Some(bytes.iter().rev().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte)))
    };
    // 64-bit, little-endian: program headers from the offset at 32, each of the size at 54, as many as at 56.
    let headers = || Some((number(32, 8)?, number(54, 2)?, number(56, 2)?));
    let Some((from, size, count)) = headers().filter(|_| elf.starts_with(b"\x7fELF\x02\x01")) else { return false };
    const INTERPRETER: usize = 3;
    (0..count).all(|place| number(from + place * size, 4) != Some(INTERPRETER))
}
