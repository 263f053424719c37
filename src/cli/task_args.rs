//! The flags that say a task: a document of the spec's shape, laid over the file's.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::idl::core::literal_type::Type;
use crate::idl::core::{LiteralType, SimpleType};
use crate::idl::types::{as_file, as_simple, parse_type};
use crate::map::spec::{self, Fault, Faults};
use crate::map::task::MapTask;

/// What to run: a spec file, flags, or both, the flags overriding the file.
///
/// All values are taken as they come and checked with the file's, so that every fault is told at once.
#[derive(Args, Clone, Debug, Default)]
pub struct TaskArgs {
    /// Spec file (JSON; `batchmap schema` prints its schema)
    #[arg(value_name = "SPEC.json")]
    pub spec: Option<PathBuf>,

    /// Map over a list: NAME=@FILE, NAME=- (standard input), NAME=s3://BUCKET/KEY or NAME='[1, 2, 3]'; a JSON array or
    /// JSON lines. Repeat to map over several lists of one length
    #[arg(long, value_name = "NAME=SOURCE", help_heading = "Inputs and outputs")]
    pub map: Vec<OsString>,
    /// Bind a value that every subtask shares: JSON, or else a string; NAME=file:PATH is a file, NAME=@EXECUTION[/OUTPUT]
    /// an output of an earlier execution, NAME=@@TEXT a string that begins with @
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Inputs and outputs")]
    pub bind: Vec<OsString>,
    /// Type of an input, like x:float (of one element where x is mapped) [default: inferred]
    #[arg(long, value_name = "NAME:TYPE", help_heading = "Inputs and outputs")]
    pub input: Vec<OsString>,
    /// An output and its type, like score:float [default: o0:string, from standard output]
    #[arg(long, value_name = "NAME:TYPE", help_heading = "Inputs and outputs")]
    pub output: Vec<OsString>,

    /// The task's name [default: the command's first word]
    #[arg(long, value_name = "NAME", help_heading = "Task")]
    pub name: Option<OsString>,
    /// Container image [default: the configured one; none is needed on this machine]
    #[arg(long, value_name = "IMAGE", help_heading = "Task")]
    pub image: Option<OsString>,
    /// Environment variable of each subtask
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Task")]
    pub env: Vec<OsString>,
    /// vCPUs of each subtask: 2, 0.5, 500m [default: 1]
    #[arg(long, value_name = "CPUS", help_heading = "Task")]
    pub cpu: Option<OsString>,
    /// Memory of each subtask: 512Mi, 2Gi, or MiB [default: 2Gi]
    #[arg(long, value_name = "SIZE", help_heading = "Task")]
    pub mem: Option<OsString>,
    /// GPUs of each subtask [default: 0]
    #[arg(long, value_name = "COUNT", help_heading = "Task")]
    pub gpu: Option<OsString>,
    /// Absolute directory for input files inside the container [default: a temporary one]
    #[arg(long, value_name = "DIR", help_heading = "Task")]
    pub input_dir: Option<OsString>,
    /// Absolute directory for output files inside the container [default: a temporary one]
    #[arg(long, value_name = "DIR", help_heading = "Task")]
    pub output_dir: Option<OsString>,

    /// Subtasks unfinished at once; 0 is unbounded [default: 0]
    #[arg(long, value_name = "COUNT", help_heading = "Policy", allow_hyphen_values = true)]
    pub concurrency: Option<OsString>,
    /// How places are filled: rolling (as they come free) or batches (all at once) [default: rolling]
    #[arg(long, value_name = "MODE", help_heading = "Policy")]
    pub concurrency_mode: Option<OsString>,
    /// Share of subtasks that must succeed, from 0 to 1, rounded up [default: 1]
    #[arg(long, value_name = "RATIO", help_heading = "Policy", allow_hyphen_values = true)]
    pub min_success_ratio: Option<OsString>,
    /// Number of subtasks that must succeed, instead of a ratio
    #[arg(long, value_name = "COUNT", help_heading = "Policy", allow_hyphen_values = true)]
    pub min_successes: Option<OsString>,
    /// When success is declared: settled (all have ended) or satisfied (enough have succeeded) [default: settled]
    #[arg(long, value_name = "WHEN", help_heading = "Policy")]
    pub completion: Option<OsString>,
    /// How often a subtask that failed recoverably is run again [default: 0]
    #[arg(long, value_name = "COUNT", help_heading = "Policy", allow_hyphen_values = true)]
    pub retries: Option<OsString>,
    /// Time limit of one attempt: 90s, 5m, or seconds [default: none]
    #[arg(long, value_name = "TIME", help_heading = "Policy", allow_hyphen_values = true)]
    pub timeout: Option<OsString>,
    /// Run a subtask that ran into the time limit again, within the retries
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        help_heading = "Policy"
    )]
    pub retry_timeouts: Option<OsString>,
    /// Run on the interruptible (spot) queue, the last attempt on the ordinary one
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        help_heading = "Policy"
    )]
    pub interruptible: Option<OsString>,
    /// Run every subtask even when success has become impossible
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        help_heading = "Policy"
    )]
    pub run_all_sub_nodes: Option<OsString>,
    /// Give each attempt the directory $BATCHMAP_CHECKPOINT_DIR with what the attempt before it left there
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        help_heading = "Policy"
    )]
    pub checkpoint: Option<OsString>,
    /// Time limit of the whole execution, from its beginning on: 2h, 90m, or seconds [default: none]
    #[arg(long, value_name = "TIME", help_heading = "Policy", allow_hyphen_values = true)]
    pub deadline: Option<OsString>,

    /// Take known outputs from the cache, run only the rest, and keep what that brings; needs --cache-version
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        help_heading = "Cache"
    )]
    pub cache: Option<OsString>,
    /// What the task does now, in a word: change it, and nothing cached before is used
    #[arg(long, value_name = "VERSION", help_heading = "Cache")]
    pub cache_version: Option<OsString>,
    /// An input that does not tell subtasks apart. Repeat for several
    #[arg(long, value_name = "NAME", help_heading = "Cache")]
    pub cache_ignore_input: Vec<OsString>,
    /// Run everything, and put what it brings in the place of what is cached
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        help_heading = "Cache"
    )]
    pub cache_overwrite: Option<OsString>,
    /// Wait for what another run is computing already instead of computing it as well
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        help_heading = "Cache"
    )]
    pub cache_serialize: Option<OsString>,

    /// The command; {{.inputs.NAME}} stands for an input's value
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// The fix of an argument that is not UTF-8: AWS takes no other.
const UTF8: &str = "arguments must be UTF-8: pass such data in a file";

impl TaskArgs {
    /// The task that the spec file and the flags say.
    ///
    /// # Errors
    /// Everything that is wrong with the file, the flags, and what they say together.
    pub fn task(&self) -> Result<MapTask, Faults> {
        let mut text = None;
        let mut unreadable = None;
        if let Some(file) = &self.spec {
            match read(file) {
                Ok(read) => text = Some(read),
                Err(fault) => unreadable = Some(fault),
            }
        }
        let file = text.as_deref().and_then(|text| spec::parse(text).ok());
        let (flags, mut faults) = self.overlay(file.as_ref().map_or(&Value::Null, |(file, _)| file));
        if let Some(fault) = unreadable {
            // Without the file nothing more can be told: most of what would seem missing is in it.
            faults.0.push(fault);
            return Err(faults);
        }
        spec::task(text.as_deref(), flags, faults)
    }

    /// The flags as a document to lay over `file`, and what is wrong with their form. The file is only asked for types:
    /// `--bind version=1.10` is a string where the input is one.
    pub fn overlay(&self, file: &Value) -> (Value, Faults) {
        let mut faults = Faults::default();
        let all = &mut faults;
        let mut document = Map::new();
        let mut set = |key: &str, value: Option<Value>| drop(value.map(|value| document.insert(key.to_owned(), value)));

        set("map", pairs("--map", '=', &self.map, |_, text| source(text), all));
        let types = pairs("--input", ':', &self.input, |_, text| string(text), all);
        let is_text = |name: &str| {
            let given = types.as_ref().and_then(|types| types.get(name)).or_else(|| file["inputs"].get(name));
            given.and_then(Value::as_str).and_then(|text| parse_type(text).ok()).is_some_and(|read| is_text(&read))
        };
        set("bind", pairs("--bind", '=', &self.bind, |name, text| Ok(bound(text, is_text(name))), all));
        set("inputs", types);
        set("outputs", pairs("--output", ':', &self.output, |_, text| string(text), all));
        set("environment", pairs("--env", '=', &self.env, |_, text| string(text), all));
        set("command", command(&self.command, all));
        for (key, value) in [
            ("name", &self.name),
            ("image", &self.image),
            ("input_dir", &self.input_dir),
            ("output_dir", &self.output_dir),
        ] {
            set(key, utf8(&flag(key), value.as_deref(), all).map(Value::from));
        }
        let texts = [
            ("concurrency_mode", &self.concurrency_mode),
            ("completion", &self.completion),
            ("cache_version", &self.cache_version),
        ];
        let scalars = [
            ("concurrency", &self.concurrency),
            ("min_success_ratio", &self.min_success_ratio),
            ("min_successes", &self.min_successes),
            ("retries", &self.retries),
            ("timeout", &self.timeout),
            ("retry_timeouts", &self.retry_timeouts),
            ("interruptible", &self.interruptible),
            ("run_all_sub_nodes", &self.run_all_sub_nodes),
            ("checkpoint", &self.checkpoint),
            ("deadline", &self.deadline),
            ("cache", &self.cache),
            ("cache_overwrite", &self.cache_overwrite),
            ("cache_serialize", &self.cache_serialize),
        ];
        let policy = object(&texts, |text| Value::from(text), all).into_iter().chain(object(&scalars, scalar, all));
        let ignored: Vec<&str> =
            self.cache_ignore_input.iter().filter_map(|name| utf8("--cache-ignore-input", Some(name), all)).collect();
        let ignored = (!ignored.is_empty()).then(|| ("cache_ignore_inputs".to_owned(), json!(ignored)));
        set("policy", non_empty(policy.chain(ignored).collect()));
        let resources = [("cpu", &self.cpu), ("mem", &self.mem), ("gpu", &self.gpu)];
        set("resources", non_empty(object(&resources, scalar, all)));
        (Value::Object(document), faults)
    }
}

fn read(file: &std::path::Path) -> Result<String, Fault> {
    let fix = "correct the path; a command comes after --";
    let bytes = std::fs::read(file)
        .map_err(|error| Fault::missing(file.display().to_string(), format!("cannot be read: {error}"), fix))?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at].iter().filter(|b| **b == b'\n').count() + 1;
        let place = format!("{}:{line}", file.display());
        Fault::missing(place, "holds invalid UTF-8", "write the spec in UTF-8")
    })
}

/// The flag of a key.
fn flag(key: &str) -> String {
    format!("--{}", key.replace('_', "-"))
}

fn utf8<'a>(flag: &str, value: Option<&'a OsStr>, faults: &mut Faults) -> Option<&'a str> {
    let value = value?;
    let text = value.to_str();
    if text.is_none() {
        faults.0.push(Fault::text(flag, &value.to_string_lossy(), "is not UTF-8", UTF8));
    }
    text
}

/// What repeated flags of `NAME=VALUE` or `NAME:TYPE` say, by name; `None` when there are none.
fn pairs(
    flag: &str,
    separator: char,
    given: &[OsString],
    read: impl Fn(&str, &str) -> Result<Value, String>,
    faults: &mut Faults,
) -> Option<Value> {
    let mut object = Map::new();
    for argument in given {
        let Some(text) = utf8(flag, Some(argument), faults) else { continue };
        let (name, value) = match text.split_once(separator) {
            Some((name, value)) if !name.is_empty() => (name, value),
            _ => {
                let what = if separator == ':' { "TYPE" } else { "VALUE" };
                let fix = format!("write {flag} NAME{separator}{what}");
                faults.0.push(Fault::text(flag, text, format!("has no name before a {separator}"), fix));
                continue;
            }
        };
        match read(name, value) {
            _ if object.contains_key(name) => {
                let problem = format!("{name} is given more than once");
                faults.0.push(Fault::text(flag, text, problem, "keep one of them"));
            }
            Ok(value) => drop(object.insert(name.to_owned(), value)),
            Err(problem) => faults.0.push(Fault::text(flag, text, problem, "")),
        }
    }
    non_empty(object)
}

fn non_empty(object: Map<String, Value>) -> Option<Value> {
    (!object.is_empty()).then_some(Value::Object(object))
}

/// The given ones of `flags`, each as `read` takes it.
fn object(
    flags: &[(&str, &Option<OsString>)],
    read: impl Fn(&str) -> Value,
    faults: &mut Faults,
) -> Map<String, Value> {
    let given = flags.iter().filter_map(|(key, value)| {
        let text = utf8(&flag(key), value.as_deref(), faults)?;
        Some(((*key).to_owned(), read(text)))
    });
    given.collect()
}

fn string(text: &str) -> Result<Value, String> {
    Ok(text.into())
}

/// A list where it is one, otherwise the source's text.
fn source(text: &str) -> Result<Value, String> {
    if !text.trim_start().starts_with('[') {
        return Ok(text.into());
    }
    serde_json::from_str(text).map_err(|error| format!("is not a JSON list: {error}"))
}

/// JSON where it is JSON; of a text input, only where it is a JSON string.
fn bound(text: &str, is_text: bool) -> Value {
    let read: Option<Value> = serde_json::from_str(text).ok();
    read.filter(|value| value.is_string() || !is_text).unwrap_or_else(|| text.into())
}

/// Whether values of the type are texts: strings, choices and paths.
fn is_text(literal_type: &LiteralType) -> bool {
    let choice = matches!(literal_type.r#type, Some(Type::EnumType(_)));
    choice || as_simple(literal_type) == Some(SimpleType::String) || as_file(literal_type).is_some()
}

/// A number, true or false where it is one; anything else as text, for the reader to refuse.
fn scalar(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_))) => value,
        _ => text.into(),
    }
}

fn command(words: &[OsString], faults: &mut Faults) -> Option<Value> {
    let words = words.iter().enumerate();
    let texts: Vec<&str> = words.filter_map(|(i, word)| utf8(&format!("command[{i}]"), Some(word), faults)).collect();
    (!texts.is_empty()).then(|| json!(texts))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::map::task::{BoundSource, MappedSource, Source};

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        task: TaskArgs,
    }

    fn args(arguments: &[&str]) -> TaskArgs {
        Cli::try_parse_from([&["batchmap"], arguments].concat()).unwrap().task
    }

    #[test]
    fn the_flags_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_alone_say_a_task() {
        let task = args(&[
            "--map",
            "x=[1, 2]",
            "--map",
            "y=@p.json",
            "--bind",
            "t=11",
            "--bind",
            "s=eleven",
            "--bind",
            "f=file:m.bin",
            "--bind",
            "j={\"a\": [1]}",
            "--input",
            "x:float",
            "--output",
            "o:boolean",
            "--env",
            "K=a=b",
            "--env",
            "E=",
            "--concurrency",
            "4",
            "--concurrency-mode",
            "batches",
            "--min-success-ratio",
            "0.75",
            "--completion",
            "satisfied",
            "--retries",
            "2",
            "--timeout",
            "5m",
            "--interruptible",
            "--run-all-sub-nodes=false",
            "--cpu",
            "500m",
            "--mem",
            "2Gi",
            "--gpu",
            "1",
            "--input-dir",
            "/in",
            "--name",
            "n",
            "--image",
            "i",
            "--",
            "run",
            "--map",
            "{{.inputs.x}}",
        ])
        .task()
        .unwrap_or_else(|faults| panic!("{faults}"));
        assert_eq!(task.command, ["run", "--map", "{{.inputs.x}}"]);
        assert_eq!(task.inputs["x"].source, Source::Mapped(MappedSource::Inline(vec![json!(1), json!(2)])));
        assert_eq!(task.inputs["t"].source, Source::Bound(BoundSource::Value(json!(11))));
        assert_eq!(task.inputs["s"].source, Source::Bound(BoundSource::Value(json!("eleven"))));
        assert_eq!(task.inputs["f"].source, Source::Bound(BoundSource::Value(json!("m.bin"))));
        assert_eq!((task.environment["K"].as_str(), task.environment["E"].as_str()), ("a=b", ""));
        assert_eq!(task.policy.concurrency.map(u32::from), Some(4));
        assert!(task.policy.interruptible && !task.policy.run_all_sub_nodes);
        assert_eq!(task.resources.cpu_milli, 500);
        assert_eq!((task.name.as_str(), task.image.as_deref()), ("n", Some("i")));
    }

    #[test]
    fn a_bound_text_that_looks_like_json_stays_text_where_the_input_is_one() {
        let bound = ["--bind", "a=1.10", "--bind", "b=1.10", "--bind", "c=true", "--bind", "d=\"q\""];
        let typed = ["--input", "a:string", "--input", "d:string"];
        let (document, _) = args(&[&bound[..], &typed].concat()).overlay(&json!({"inputs": {"c": "file"}}));
        assert_eq!(document["bind"], json!({"a": "1.10", "b": 1.1, "c": "true", "d": "q"}));
    }

    /// Two parsers in one, as a command has them.
    #[derive(Parser)]
    #[command(about = "The command's own words")]
    struct Both {
        #[command(flatten)]
        task: TaskArgs,
        #[command(flatten)]
        target: crate::cli::config::TargetArgs,
        #[arg(long)]
        stats: bool,
    }

    #[test]
    fn the_flags_of_task_and_target_live_in_one_command() {
        let command = Both::command();
        command.clone().debug_assert();
        assert_eq!(command.get_about().unwrap().to_string(), "The command's own words");
        let stats = command.get_arguments().find(|a| a.get_id() == "stats").unwrap();
        assert_eq!(stats.get_help_heading(), None);
    }

    #[test]
    fn no_flags_are_an_empty_document() {
        assert_eq!(args(&[]).overlay(&Value::Null), (json!({}), Faults::default()));
    }

    #[test]
    fn flags_override_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("spec.json");
        std::fs::write(&file, r#"{"command": ["a"], "map": {"x": [1]}, "policy": {"retries": 1, "concurrency": 9}}"#)
            .unwrap();
        let path = file.to_str().unwrap();
        let task = args(&[path, "--concurrency", "2", "--bind", "y=1", "--", "b", "c"]).task().unwrap();
        assert_eq!(task.command, ["b", "c"]);
        assert_eq!((task.policy.retries, task.policy.concurrency.map(u32::from)), (1, Some(2)));
    }

    #[test]
    fn all_faults_of_flags_and_file_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("spec.json");
        std::fs::write(&file, r#"{"command": ["a"], "map": {"x": [1]}, "nam": "x", "nam": "y"}"#).unwrap();
        let mut args = args(&[
            file.to_str().unwrap(),
            "--map",
            "x=[1",
            "--map",
            "nothing",
            "--bind",
            "b=1",
            "--bind",
            "b=2",
            "--concurrency",
            "-1",
            "--min-success-ratio",
            "NaN",
            "--timeout",
            "-5",
            "--input",
            "x",
            "--interruptible=maybe",
        ]);
        args.env.push(OsStr::from_bytes(b"K=\xff").to_owned());
        args.command.push(OsStr::from_bytes(b"\xff").to_owned());
        let found = args.task().unwrap_err().to_string();
        for expected in [
            "--map is x=[1: is not a JSON list: EOF while parsing a list at line 1 column 2",
            "--map is nothing: has no name before a =; write --map NAME=VALUE",
            "--bind is b=2: b is given more than once; keep one of them",
            "--input is x: has no name before a :; write --input NAME:TYPE",
            "--env is K=\u{fffd}: is not UTF-8; arguments must be UTF-8",
            "command[0] is \u{fffd}: is not UTF-8",
            "nam is \"y\": the key is given more than once",
            "nam is \"y\": is no key of a spec; did you mean \"name\"?",
            "policy.concurrency is -1: is negative",
            "policy.min_success_ratio is \"NaN\": is not a number",
            "policy.timeout is -5: leaves no time to run",
            "policy.interruptible is \"maybe\": is not true or false",
        ] {
            assert!(found.contains(expected), "{expected} should be in\n{found}");
        }
        assert_eq!(found.lines().count(), 12, "{found}");
    }

    #[test]
    fn a_spec_that_cannot_be_read_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("spec.json");
        let path = file.to_str().unwrap();
        assert!(args(&[path]).task().unwrap_err().to_string().contains("spec.json: cannot be read: No such file"));
        std::fs::write(&file, b"{\n\"name\": \"\xff\"}").unwrap();
        assert!(args(&[path]).task().unwrap_err().to_string().contains("spec.json:2: holds invalid UTF-8"));
    }
}
