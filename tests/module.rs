//! terraform/: its tables are current, what it writes for the client the client understands, and its logic holds with a
//! provider that is mocked. It is applied for real by `.ci/terraform`.

#[path = "support/skip.rs"]
mod skip;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use skip::skipped;
use tempfile::TempDir;

/// A directory of providers to take instead of the network's, in terraform's layout of a filesystem mirror.
const MIRROR: &str = "BATCHMAP_TEST_TF_MIRROR";

fn module() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("terraform")
}

fn is_there(program: &str) -> bool {
    let version = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        // What terraform leaves behind is of this machine.
        if path.is_dir() && !name.to_string_lossy().starts_with('.') {
            copy(&path, &to.join(name));
        } else if path.extension().is_some_and(|extension| extension == "tf" || extension == "hcl") {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// The module in a directory of its own, for terraform writes where it works.
struct Terraform(TempDir);

impl Terraform {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        copy(&module(), directory.path());
        let _ = fs::remove_file(directory.path().join(".terraform.lock.hcl"));
        Terraform(directory)
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new("terraform");
        command.args(args).arg("-no-color").current_dir(self.0.path()).stdin(Stdio::null());
        command.env("TF_IN_AUTOMATION", "1").env("CHECKPOINT_DISABLE", "1").env_remove("TF_DATA_DIR");
        if let Some(mirror) = std::env::var_os(MIRROR) {
            let mirror = mirror.to_string_lossy();
            let text = format!("provider_installation {{\n  filesystem_mirror {{\n    path = {mirror:?}\n  }}\n}}\n");
            let config = self.0.path().join("terraform.rc");
            fs::write(&config, text).unwrap();
            command.env("TF_CLI_CONFIG_FILE", config);
        }
        command.output().unwrap()
    }
}

#[test]
fn the_tables_of_its_readme_are_current() {
    if !is_there("python3") {
        return skipped("there is no python3");
    }
    let output = Command::new("python3").arg(module().join("tables.py")).arg("--check").output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
}

/// The names that the output `batchmap_toml` may write.
fn written() -> Vec<String> {
    let text = fs::read_to_string(module().join("outputs.tf")).unwrap();
    let list = text.split_once("settings = [").unwrap().1.split_once("\n  ]").unwrap().0;
    let names = list.lines().filter_map(|line| line.trim().strip_prefix("[\"")?.split_once('"'));
    names.map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn the_client_knows_every_setting_that_the_module_writes() {
    let names = written();
    assert!(names.iter().any(|name| name == "bucket") && names.len() >= 10, "{names:?}");
    for name in &names {
        assert!(batchmap::aws::target::SETTINGS.contains(&name.as_str()), "{name} is written, and is no setting");
    }
}

#[test]
fn its_logic_holds_with_a_mocked_provider() {
    if !is_there("terraform") {
        return skipped("terraform is not installed");
    }
    let terraform = Terraform::new();
    let formatted = terraform.run(&["fmt", "-check", "-recursive"]);
    assert!(formatted.status.success(), "run terraform fmt -recursive terraform: {}", told(&formatted));
    let initialised = terraform.run(&["init", "-backend=false", "-input=false"]);
    if !initialised.status.success() {
        let told = told(&initialised).to_lowercase();
        let far =
            ["could not connect", "could not query", "no such host", "connection refused", "unreachable", "timeout"];
        let out_of_reach = std::env::var_os(MIRROR).is_none() && far.iter().any(|words| told.contains(words));
        assert!(out_of_reach, "terraform init failed: {told}");
        return skipped(&format!("terraform cannot fetch its AWS provider; name a mirror with {MIRROR}"));
    }
    let tested = terraform.run(&["test"]);
    assert!(tested.status.success(), "{}", told(&tested));
}
