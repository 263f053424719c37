//! terraform's AWS provider against `batchmap emulator`: what it makes is there, shows no drift, changes in place, and goes.

#[path = "support/emulator.rs"]
mod emulator;
#[path = "support/skip.rs"]
mod skip;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use aws_sdk_batch::Client;
use aws_sdk_batch::config::{BehaviorVersion, Credentials, Region};
use emulator::{Emulator, NAME, succeeds};
use skip::skipped;
use tempfile::TempDir;

/// A directory of providers to take instead of the network's, in terraform's layout of a filesystem mirror.
const MIRROR: &str = "BATCHMAP_TEST_TF_MIRROR";

/// A working directory of terraform that is pointed at an emulator.
struct Terraform<'a> {
    directory: TempDir,
    emulator: &'a Emulator,
}

impl Terraform<'_> {
    fn new(emulator: &Emulator) -> Terraform<'_> {
        let directory = TempDir::new().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/terraform/main.tf");
        fs::copy(source, directory.path().join("main.tf")).unwrap();
        Terraform { directory, emulator }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.emulator.client("terraform");
        // The configuration names the endpoint of Batch and of nothing else: whoever calls another service is found out.
        command.env_remove("AWS_ENDPOINT_URL").env("TF_VAR_endpoint", self.emulator.url());
        command.env("TF_IN_AUTOMATION", "1").env("CHECKPOINT_DISABLE", "1").current_dir(self.directory.path());
        if let Some(mirror) = std::env::var_os(MIRROR) {
            let config = self.directory.path().join("terraform.rc");
            let mirror = mirror.to_string_lossy();
            let text = format!("provider_installation {{\n  filesystem_mirror {{\n    path = {mirror:?}\n  }}\n}}\n");
            fs::write(&config, text).unwrap();
            command.env("TF_CLI_CONFIG_FILE", config);
        }
        command.args(args).arg("-no-color");
        command
    }

    /// Applies, and finds nothing to change after that.
    fn settle(&self, changed: bool) -> String {
        let variable = format!("-var=changed={changed}");
        let applied = succeeds(&mut self.command(&["apply", "-auto-approve", "-input=false", &variable]));
        // 0 is no difference, 2 is drift.
        succeeds(&mut self.command(&["plan", "-detailed-exitcode", "-input=false", &variable]));
        applied
    }
}

fn is_there() -> bool {
    let version = Command::new("terraform").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

fn client(emulator: &Emulator) -> Client {
    let config = aws_sdk_batch::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("key", "secret", None, None, "test"))
        .endpoint_url(emulator.url());
    Client::from_conf(config.build())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_terraform_makes_shows_no_drift_and_goes() {
    if !is_there() {
        return skipped("terraform is not installed");
    }
    let emulator = Emulator::start();
    let terraform = Terraform::new(&emulator);
    let Output { status, stdout, stderr } = terraform.command(&["init", "-input=false"]).output().unwrap();
    if !status.success() {
        let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert!(std::env::var_os(MIRROR).is_none(), "terraform init failed over {MIRROR}: {said}");
        return skipped(&format!("terraform cannot fetch its AWS provider; name a mirror with {MIRROR}"));
    }
    let batch = client(&emulator);

    terraform.settle(false);
    assert_eq!(queue(&batch).await, (1, 600));

    let applied = terraform.settle(true);
    assert!(applied.contains("0 added") && applied.contains("0 destroyed"), "all changes are in place: {applied}");
    assert_eq!(queue(&batch).await, (5, 900));
    let revisions = batch.describe_job_definitions().job_definition_name("tf-container").send().await.unwrap();
    let revisions: Vec<_> = revisions.job_definitions.unwrap_or_default();
    let told: Vec<_> =
        revisions.iter().map(|found| (found.revision.unwrap(), found.status.as_deref().unwrap())).collect();
    assert_eq!(told, [(2, "ACTIVE"), (1, "INACTIVE")]);

    succeeds(&mut terraform.command(&["destroy", "-auto-approve", "-input=false"]));
    assert_nothing_is_left(&batch).await;
}

/// The priority of a queue, and the seconds of its first time limit.
async fn queue(batch: &Client) -> (i32, i32) {
    let found = batch.describe_job_queues().job_queues("tf-main").send().await.unwrap().job_queues.unwrap().remove(0);
    (found.priority.unwrap(), found.job_state_time_limit_actions.unwrap()[0].max_time_seconds.unwrap())
}

async fn assert_nothing_is_left(batch: &Client) {
    let queues = batch.describe_job_queues().send().await.unwrap().job_queues.unwrap();
    let mut names: Vec<_> = queues.into_iter().filter_map(|found| found.job_queue_name).collect();
    let environments = batch.describe_compute_environments().send().await.unwrap().compute_environments.unwrap();
    names.extend(environments.into_iter().filter_map(|found| found.compute_environment_name));
    let own = |name: &String| name == NAME || *name == format!("{NAME}-interruptible");
    assert!(names.iter().all(own), "{names:?}");
    let policies = batch.list_scheduling_policies().send().await.unwrap().scheduling_policies.unwrap();
    assert!(policies.is_empty(), "{policies:?}");
    let active = batch.describe_job_definitions().status("ACTIVE").send().await.unwrap().job_definitions.unwrap();
    assert!(active.is_empty(), "{active:?}");
}
