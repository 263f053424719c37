//! An emulator whose children are containers, the worker's image, and images of tasks.

use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::sync::{Arc, Mutex, PoisonError};

use crate::emulator::{Emulator, Setting};
use crate::podman::{BUSYBOX, Podman};
use crate::skip;

/// The name of the worker's image in its archive.
pub const WORKER: &str = "localhost/batchmap:ci";
/// The name of the sample task's.
pub const SAMPLE: &str = "localhost/batchmap-sample:ci";

static MAKING: Mutex<()> = Mutex::new(());

/// An emulator that runs containers.
pub struct World {
    emulator: Emulator,
    podman: Arc<Podman>,
    folder: tempfile::TempDir,
}

/// How a command ended.
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl World {
    /// One that knows the worker's image; nothing where that or podman is absent.
    pub fn new() -> Option<World> {
        World::knowing(&["BATCHMAP_TEST_WORKER_IMAGE"])
    }

    /// One that knows the sample task's as well.
    pub fn with_sample() -> Option<World> {
        World::knowing(&["BATCHMAP_TEST_WORKER_IMAGE", "BATCHMAP_TEST_SAMPLE_IMAGE"])
    }

    fn knowing(variables: &[&str]) -> Option<World> {
        let mut archives = Vec::new();
        for name in variables {
            match std::env::var_os(name) {
                Some(archive) => archives.push(PathBuf::from(archive)),
                None => {
                    let why = format!("containers: {name} names no archive of an image; .ci/container makes it");
                    skip::skipped(&why);
                    return None;
                }
            }
        }
        let podman = Podman::shared().map_err(|why| skip::skipped(&why)).ok()?;
        let turn = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
        for archive in archives {
            podman.run(&["load", "--quiet", "--input", &archive.display().to_string()]);
        }
        drop(turn);
        let folder = tempfile::tempdir().unwrap();
        let setting = Setting::default().args(["--runner", "podman", "--slots", "4"]).data(&folder.path().join("data"));
        let setting = podman.env().iter().fold(setting, |setting, (name, value)| setting.env(name, value));
        Some(World { emulator: setting.start(), podman, folder })
    }

    /// `batchmap` as a user calls it, on this emulator.
    pub fn batchmap(&self, arguments: &[&str]) -> Ran {
        let mut command = self.emulator.client(env!("CARGO_BIN_EXE_batchmap"));
        // They look like settings that are misspelt.
        command.env_remove("BATCHMAP_TEST_WORKER_IMAGE").env_remove("BATCHMAP_TEST_SAMPLE_IMAGE");
        let (first, rest) = arguments.split_first().unwrap();
        command.arg(first).args(["--config", "/dev/null", "--endpoint", self.emulator.url()]).args(rest);
        let Output { status, stdout, stderr } = command.current_dir(self.folder.path()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }

    /// Runs a command in this image over 1, 2 and 3.
    pub fn run(&self, image: &str, flags: &[&str], command: &[&str]) -> Ran {
        let usual = ["run", "--image", image, "--map", "x=[1, 2, 3]"];
        let memory: &[&str] = if flags.contains(&"--mem") { &[] } else { &["--mem", "128Mi"] };
        self.batchmap(&[&usual[..], memory, flags, &["--"], command].concat())
    }

    /// The same with the worker injected.
    pub fn inject(&self, image: &str, flags: &[&str], command: &[&str]) -> Ran {
        self.run(image, &[&["--worker", "inject", "--worker-image", WORKER], flags].concat(), command)
    }

    /// An image that holds one static binary, `/busybox`, and nothing else.
    pub fn scratch_image(&self, name: &str, changes: &[&str]) -> String {
        // They share a podman, which makes one image at a time.
        let _turn = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
        if self.podman.try_run(&["image", "exists", name]).is_err() {
            let root = tempfile::tempdir().unwrap();
            let held = format!("{}:/bin/busybox", self.podman.run(&["create", BUSYBOX, "true"]).trim());
            let binary = root.path().join("busybox");
            self.podman.run(&["cp", &held, &binary.display().to_string()]);
            fs::metadata(&binary).unwrap();
            self.podman.image_of(root.path(), name, changes).unwrap();
        }
        name.to_owned()
    }
}

impl Ran {
    /// What it printed, of one that succeeded.
    pub fn outputs(&self) -> &str {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self.stdout.trim()
    }

    /// The id of the execution that it names.
    pub fn id(&self) -> String {
        let is_id = |word: &&str| word.len() > 20 && word.contains('t') && word.contains('-') && word.starts_with("20");
        let words = self.stderr.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
        words.filter(|word| !word.is_empty()).find(is_id).unwrap_or_else(|| panic!("{}", self.stderr)).to_owned()
    }
}
