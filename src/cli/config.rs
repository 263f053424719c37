//! Configuration: `batchmap.toml`, then `BATCHMAP_*`, then flags, the later overriding the earlier.
//!
//! ```toml
//! # batchmap.toml, in the current folder or one above it
//! region = "eu-central-1"
//! bucket = "my-bucket"
//! prefix = "team"
//! queue = "default"
//! interruptible_queue = "spot"
//! job_role = "arn:aws:iam::000000000000:role/batchmap-job"
//! ```

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::aws::target::{SETTINGS, Setting, Target};
use crate::map::spec::{Fault, Faults, nearest, suggest};

/// The file's name.
pub const FILE: &str = "batchmap.toml";
/// The table that `batchmap serve` alone reads.
const SERVE: &str = "serve";
/// The settings that are true or false.
const SWITCHES: [&str; 2] = ["assign_public_ip", "readonly_root"];
/// What a setting's environment variable begins with.
const ENVIRONMENT: &str = "BATCHMAP_";

/// Where executions go. Without any of these, in a file, the environment or flags, they run on this machine.
#[derive(Args, Clone, Debug, Default)]
pub struct TargetArgs {
    /// Configuration file, instead of batchmap.toml in the current folder or one above it; /dev/null for none
    #[arg(long, value_name = "FILE", help_heading = "Target")]
    pub config: Option<PathBuf>,
    /// AWS region [default: as for every AWS tool]
    #[arg(long, value_name = "REGION", help_heading = "Target")]
    pub region: Option<String>,
    /// S3 bucket for inputs, outputs and the journal
    #[arg(long, value_name = "BUCKET", help_heading = "Target")]
    pub bucket: Option<String>,
    /// What the keys in the bucket begin with
    #[arg(long, value_name = "PREFIX", help_heading = "Target")]
    pub prefix: Option<String>,
    /// AWS Batch job queue, by name or ARN
    #[arg(long, value_name = "QUEUE", help_heading = "Target")]
    pub queue: Option<String>,
    /// Job queue of interruptible (spot) tasks
    #[arg(long, value_name = "QUEUE", help_heading = "Target")]
    pub interruptible_queue: Option<String>,
    /// Role of the code inside the containers
    #[arg(long, value_name = "ARN", help_heading = "Target")]
    pub job_role: Option<String>,
    /// Role that pulls the image and writes the logs; Fargate needs one
    #[arg(long, value_name = "ARN", help_heading = "Target")]
    pub execution_role: Option<String>,
    /// Where the queues run containers: EC2 or FARGATE [default: EC2]
    #[arg(long, value_name = "PLATFORM", help_heading = "Target")]
    pub platform: Option<String>,
    /// CloudWatch log group [default: /aws/batch/job]
    #[arg(long, value_name = "GROUP", help_heading = "Target")]
    pub log_group: Option<String>,
    /// Give children a public address: on Fargate without NAT
    #[arg(long, value_name = "BOOL", help_heading = "Target", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub assign_public_ip: Option<String>,
    /// Whose share of the queue the jobs take: for queues with a fair-share policy
    #[arg(long, value_name = "IDENTIFIER", help_heading = "Target")]
    pub share_identifier: Option<String>,
    /// Where the worker of a task is: image (in the task's own) or inject (put beside it) [default: image]
    #[arg(long, value_name = "WHERE", help_heading = "Target")]
    pub worker: Option<String>,
    /// The image that holds the worker, to inject it from
    #[arg(long, value_name = "IMAGE", help_heading = "Target")]
    pub worker_image: Option<String>,
    /// Give tasks a read-only root file system and a /tmp of their own; goes with an injected worker
    #[arg(long, value_name = "BOOL", help_heading = "Target", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub readonly_root: Option<String>,
    /// Address of an endpoint that speaks AWS Batch and S3, like `batchmap emulator` [default: AWS]
    #[arg(long, value_name = "URL", help_heading = "Target")]
    pub endpoint: Option<String>,
}

impl TargetArgs {
    /// The target by these flags, the process's environment and the file found from its current folder.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn target(&self) -> Result<Target, Faults> {
        self.read(Target::from_settings)
    }

    /// The same for a command that submits nothing: it needs no queue.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn target_without_queue(&self) -> Result<Target, Faults> {
        self.read(Target::without_queue)
    }

    /// A table of the file that one command alone reads, and the file; nothing where there is no such file or table.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn table(&self, name: &str) -> Result<Option<(PathBuf, toml::Value)>, Faults> {
        let found = self.config.clone().or_else(|| find(&std::env::current_dir().ok()?));
        let Some(file) = found else { return Ok(None) };
        let mut faults = Faults::default();
        let table = parse(&file, &mut faults);
        faults.or(table.and_then(|mut table| Some((file, table.remove(name)?))))
    }

    /// The settings themselves, each with where it was given, for who shows them.
    ///
    /// # Errors
    /// What is wrong with their form.
    pub fn settings(&self) -> Result<BTreeMap<&'static str, Setting>, Faults> {
        self.read(|settings| Ok(settings.clone()))
    }

    fn read<T>(&self, target: ToTarget<T>) -> Result<T, Faults> {
        let folder = std::env::current_dir().map_err(|error| {
            Fault::missing("the current folder", format!("cannot be told: {error}"), "go to another")
        })?;
        settle(self, &folder, std::env::vars_os(), target)
    }

    /// The flags that are given, by setting.
    fn given(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let flags = [
            ("region", &self.region),
            ("bucket", &self.bucket),
            ("prefix", &self.prefix),
            ("queue", &self.queue),
            ("interruptible_queue", &self.interruptible_queue),
            ("job_role", &self.job_role),
            ("execution_role", &self.execution_role),
            ("platform", &self.platform),
            ("log_group", &self.log_group),
            ("assign_public_ip", &self.assign_public_ip),
            ("share_identifier", &self.share_identifier),
            ("worker", &self.worker),
            ("worker_image", &self.worker_image),
            ("readonly_root", &self.readonly_root),
            ("endpoint", &self.endpoint),
        ];
        flags.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}

/// The target by `args`, `environment` and the file that is found from `folder`.
///
/// # Errors
/// Everything that is wrong with them.
pub fn resolve(
    args: &TargetArgs,
    folder: &Path,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Target, Faults> {
    settle(args, folder, environment, Target::from_settings)
}

/// What is made of settings: a target, most often.
type ToTarget<T> = fn(&BTreeMap<&'static str, Setting>) -> Result<T, Faults>;

fn settle<T>(
    args: &TargetArgs,
    folder: &Path,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    target: ToTarget<T>,
) -> Result<T, Faults> {
    let mut faults = Faults::default();
    let mut settings = BTreeMap::new();
    // A relative --config is found from the same folder as everything else.
    let file = args.config.as_ref().map(|file| folder.join(file)).or_else(|| find(folder));
    if let Some(file) = file {
        read_file(&file, &mut settings, &mut faults);
    }
    for (name, value) in environment {
        read_variable(&name, value, &mut settings, &mut faults);
    }
    for (name, value) in args.given() {
        let origin = format!("--{}", name.replace('_', "-"));
        settings.insert(name, Setting { value: value.to_owned(), origin });
    }
    match target(&settings) {
        Ok(target) => faults.or(target),
        Err(found) => {
            faults.0.extend(found.0);
            Err(faults)
        }
    }
}

/// The nearest file in `folder` or above it.
fn find(folder: &Path) -> Option<PathBuf> {
    folder.ancestors().map(|folder| folder.join(FILE)).find(|file| file.is_file())
}

/// The file's content.
fn parse(file: &Path, faults: &mut Faults) -> Option<toml::Table> {
    let shown = file.display();
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            let fix = "correct the path, or leave --config out";
            faults.0.push(Fault::missing(shown.to_string(), format!("cannot be read: {error}"), fix));
            return None;
        }
    };
    match text.parse() {
        Ok(table) => Some(table),
        Err(error) => {
            let error: toml::de::Error = error;
            let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            faults.0.push(Fault::missing(format!("{shown}:{line}"), format!("is not TOML: {}", error.message()), ""));
            None
        }
    }
}

fn read_file(file: &Path, settings: &mut BTreeMap<&'static str, Setting>, faults: &mut Faults) {
    let shown = file.display();
    let Some(table) = parse(file, faults) else { return };
    // Only `batchmap serve` reads its own.
    let table = table.iter().filter(|(key, _)| *key != SERVE);
    for (key, value) in table {
        let origin = format!("{shown}: {key}");
        let Some(name) = SETTINGS.iter().find(|name| *name == key) else {
            let fix = suggest(key, SETTINGS.iter().copied());
            faults.0.push(Fault::text(origin, &value.to_string(), "is no setting", fix));
            continue;
        };
        let value = match value {
            toml::Value::String(text) => text.clone(),
            toml::Value::Boolean(switch) if SWITCHES.contains(name) => switch.to_string(),
            other => {
                let expected = if SWITCHES.contains(name) { "true or false" } else { "a string" };
                let fix = "write name = \"value\"";
                faults.0.push(Fault::text(origin, &other.to_string(), format!("is not {expected}"), fix));
                continue;
            }
        };
        settings.insert(name, Setting { value, origin });
    }
}

fn read_variable(
    variable: &OsString,
    value: OsString,
    settings: &mut BTreeMap<&'static str, Setting>,
    faults: &mut Faults,
) {
    let Some(variable) = variable.to_str() else { return };
    // An empty variable is as good as none: it is the only way some tools have to unset one.
    let Some(name) = variable.strip_prefix(ENVIRONMENT).filter(|_| !value.is_empty()) else { return };
    let known = SETTINGS.iter().find(|known| known.to_uppercase() == name);
    let origin = variable.to_owned();
    match (known, value.into_string()) {
        (Some(known), Ok(value)) => drop(settings.insert(known, Setting { value, origin })),
        (Some(_), Err(value)) => {
            let value = value.to_string_lossy();
            faults.0.push(Fault::text(origin, &value, "is not UTF-8", "write it in UTF-8"));
        }
        // Other variables have this prefix too (the worker's), so only what looks like a slip is told of: a misspelt
        // bucket would otherwise run the task on this machine.
        (None, value) => {
            if let Some(near) = nearest(name, SETTINGS.iter().copied()) {
                let value = value.unwrap_or_default();
                let fix = format!("did you mean {ENVIRONMENT}{}?", near.to_uppercase());
                faults.0.push(Fault::text(origin, &value, "is no setting", fix));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::aws::target::AwsTarget;
    use crate::map::layout;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        target: TargetArgs,
    }

    fn args(flags: &[&str]) -> TargetArgs {
        Cli::try_parse_from([&["batchmap"], flags].concat()).unwrap().target
    }

    fn environment(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    fn aws(target: Result<Target, Faults>) -> AwsTarget {
        match target {
            Ok(Target::Aws(target)) => target,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_later_overrides_the_earlier() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b");
        std::fs::create_dir_all(&deep).unwrap();
        let text = "bucket = 'file-bucket'\nqueue = 'file'\nregion = 'file'\nassign_public_ip = false\n[serve]\ntls_cert = 'c'\n";
        std::fs::write(folder.path().join(FILE), text).unwrap();
        let variables = environment(&[("BATCHMAP_QUEUE", "env"), ("BATCHMAP_REGION", "env"), ("BATCHMAP_PREFIX", "")]);
        let target = aws(resolve(&args(&["--region", "flag"]), &deep, variables));
        assert_eq!(target.bucket, "file-bucket");
        assert_eq!((target.queue.as_str(), target.region.as_deref()), ("env", Some("flag")));
        let none = resolve(&args(&["--config", "/dev/null"]), &deep, []);
        assert!(matches!(none, Ok(Target::Embedded { .. })));
    }

    #[test]
    fn every_setting_has_its_variable_and_its_flag() {
        let values = |name: &str| match name {
            "platform" => "FARGATE",
            "job_role" | "execution_role" => "arn:aws:iam::000000000000:role/r",
            "assign_public_ip" | "readonly_root" => "true",
            "share_identifier" => "batchmap",
            "flyte_images" => "stock",
            "worker" => "inject",
            "endpoint" => "http://127.0.0.1:1",
            _ => "some-value",
        };
        let folder = tempfile::tempdir().unwrap();
        let variables = SETTINGS.iter().map(|name| (format!("BATCHMAP_{}", name.to_uppercase()), values(name)));
        let variables: Vec<_> = variables.map(|(name, value)| (name.into(), value.into())).collect();
        let by_variables = aws(resolve(&args(&[]), folder.path(), variables));
        // Those are flags of single commands.
        let flags = SETTINGS.iter().filter(|name| !["image", "flyte_images"].contains(*name));
        let flags: Vec<String> = flags.map(|name| format!("--{}={}", name.replace('_', "-"), values(name))).collect();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let others = environment(&[("BATCHMAP_IMAGE", "some-value"), ("BATCHMAP_FLYTE_IMAGES", "stock")]);
        assert_eq!(aws(resolve(&args(&flags), folder.path(), others)), by_variables);
        assert!(by_variables.assign_public_ip && by_variables.endpoint.is_some());
    }

    #[test]
    fn unknown_keys_are_named_with_their_file_and_the_nearest() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("other.toml");
        std::fs::write(&file, "buckt = 'b'\nqueue = 7\n[prefix]\nx = 1\n").unwrap();
        let variables = environment(&[
            ("BATCHMAP_BUKCET", "b"),
            (layout::ENV_EXECUTION, "x"),
            (layout::ENV_ARRAY, "x"),
            (layout::ENV_PLACE, "x"),
            (layout::ENV_INPUTS, "x"),
            (layout::ENV_WIDTH, "x"),
            ("BATCHMAP_LOG", "debug"),
        ]);
        let found = resolve(&args(&["--config", "other.toml"]), folder.path(), variables).unwrap_err().to_string();
        let file = file.display();
        for expected in [
            &format!("{file}: buckt is \"b\": is no setting; did you mean \"bucket\"?"),
            &format!("{file}: queue is 7: is not a string; "),
            &format!("{file}: prefix is "),
            "BATCHMAP_BUKCET is b: is no setting; did you mean BATCHMAP_BUCKET?",
        ] {
            assert!(found.contains(expected), "{expected} should be in\n{found}");
        }
        assert_eq!(found.lines().count(), 4, "{found}");
    }

    #[test]
    fn a_file_that_cannot_be_read_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let found = resolve(&args(&["--config", "none.toml"]), folder.path(), []).unwrap_err().to_string();
        assert!(found.contains("none.toml: cannot be read: "), "{found}");
        std::fs::write(folder.path().join(FILE), "bucket = 'b'\n\nqueue = \n").unwrap();
        let found = resolve(&args(&[]), folder.path(), []).unwrap_err().to_string();
        assert!(found.contains("batchmap.toml:3: is not TOML: "), "{found}");
    }
}
