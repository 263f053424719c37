//! What flytekit's `AWSBatchConfig` says, and the tags of the jobs.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::container::Source;
use super::{Options, quantity, structs};
use crate::idl::core::TaskTemplate;
use crate::idl::core::container::Architecture;
use crate::idl::core::secret::MountType;
use crate::idl::core::task_template::Target;
use crate::map::resources::Platform;
use crate::map::spec::{Fault, Faults, suggest};
use crate::map::task::BatchOptions;

/// The type of a task with an `AWSBatchConfig`.
pub(super) const AWS_BATCH: &str = "aws-batch";

/// What an `AWSBatchConfig` may hold.
const KEYS: [&str; 5] = ["parameters", "schedulingPriority", "platformCapabilities", "propagateTags", "tags"];
/// Batch allows 50 tags of a job and its definition together, and some are batchmap's own.
const MAX_TAGS: usize = 40;
/// Batch's own.
const MAX_PRIORITY: u64 = 9999;

fn config(template: &TaskTemplate) -> Map<String, Value> {
    let custom = template.custom.as_ref().filter(|_| template.r#type == AWS_BATCH);
    custom.map(structs::object).unwrap_or_default()
}

/// The options of the jobs, whose containers have `memory_mib` of memory.
pub(super) fn options(source: &Source, options: &Options, memory_mib: u32, faults: &mut Faults) -> BatchOptions {
    let config = config(source.template);
    for (key, value) in config.iter().filter(|(key, _)| !KEYS.contains(&key.as_str())) {
        faults.0.push(Fault::of(format!("custom.{key}"), value, "is no option of a Batch job", suggest(key, KEYS)));
    }
    let mut wrong = |key: &str, value: &Value, problem: &str, fix: &str| {
        faults.0.push(Fault::of(format!("custom.{key}"), value, problem, fix));
    };
    let given = |key: &str| config.get(key).filter(|value| !value.is_null());
    // flytekit writes it in both places.
    let elsewhere = source.template.config.get("platformCapabilities").map(|text| Value::from(text.as_str()));
    let platform = given("platformCapabilities").or(elsewhere.as_ref()).and_then(|value| {
        let read = value.as_str().and_then(|text| text.parse::<Platform>().ok());
        if read.is_none() {
            wrong("platformCapabilities", value, "is no platform", "write EC2 or FARGATE");
        }
        read
    });
    let priority = given("schedulingPriority").filter(|value| value.as_u64() != Some(0)).and_then(|value| {
        let read = value.as_u64().filter(|priority| *priority <= MAX_PRIORITY);
        if read.is_none() {
            wrong("schedulingPriority", value, "is no priority", "give a whole number from 0 to 9999");
        }
        read.map(|priority| priority as u32)
    });
    let propagate_tags = given("propagateTags").is_some_and(|value| {
        if !value.is_boolean() {
            wrong("propagateTags", value, "is neither true nor false", "write one of them");
        }
        value.as_bool().unwrap_or_default()
    });
    let own = texts("tags", &config, faults);
    let labels = labels(source.template).chain(options.labels.clone()).chain(own);
    let tags = tags(labels.collect(), faults);
    let secrets = secrets(source.template, faults);
    let shared_memory_mib = shared_memory(source, memory_mib, faults);
    let arm64 = matches!(&source.template.target, Some(Target::Container(container))
        if container.architecture() == Architecture::Arm64);
    let injection = options.injection.clone();
    BatchOptions {
        platform,
        propagate_tags,
        scheduling_priority: priority,
        tags,
        secrets,
        shared_memory_mib,
        arm64,
        injection,
    }
}

/// What the task would have its pods labelled with.
fn labels(template: &TaskTemplate) -> impl Iterator<Item = (String, String)> {
    let of_task = template.metadata.as_ref().and_then(|metadata| metadata.metadata.as_ref());
    let of_pod = match &template.target {
        Some(Target::K8sPod(pod)) => pod.metadata.as_ref(),
        _ => None,
    };
    let of_metadata = template.metadata.iter().flat_map(|metadata| metadata.tags.clone());
    of_metadata.chain([of_pod, of_task].into_iter().flatten().flat_map(|metadata| metadata.labels.clone()))
}

/// MiB at `/dev/shm`: the node's word before the task's. Without a size it may take all that the container has.
fn shared_memory(source: &Source, memory_mib: u32, faults: &mut Faults) -> u32 {
    let of_node = source.overrides().and_then(|overrides| overrides.extended_resources.as_ref());
    let (field, given) = match of_node.and_then(|resources| resources.shared_memory.as_ref()) {
        Some(memory) => ("overrides.extended_resources", Some(memory)),
        None => {
            ("extended_resources", source.template.extended_resources.as_ref().and_then(|it| it.shared_memory.as_ref()))
        }
    };
    let Some(memory) = given else { return 0 };
    if memory.size_limit.is_empty() {
        return memory_mib;
    }
    quantity::memory(&memory.size_limit).unwrap_or_else(|(problem, fix)| {
        faults.0.push(Fault::text(format!("{field}.shared_memory.size_limit"), &memory.size_limit, problem, fix));
        0
    })
}

fn tags(tags: BTreeMap<String, String>, faults: &mut Faults) -> BTreeMap<String, String> {
    if tags.len() > MAX_TAGS {
        let problem = format!("there are {} tags and labels together", tags.len());
        faults.0.push(Fault::missing("custom.tags", problem, format!("give {MAX_TAGS} at most")));
    }
    for (name, value) in &tags {
        let long = name.chars().count() > 128 || value.chars().count() > 256;
        if name.is_empty() || long || name.to_ascii_lowercase().starts_with("aws:") {
            let fix = "give a name of 1 to 128 characters, not beginning with aws:, and a value of 256 at most";
            faults.0.push(Fault::text(format!("custom.tags.{name}"), value, "is no tag that AWS takes", fix));
        }
    }
    tags
}

fn texts(key: &str, config: &Map<String, Value>, faults: &mut Faults) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    for (name, value) in config.get(key).and_then(Value::as_object).into_iter().flatten() {
        match value.as_str() {
            Some(text) => drop(texts.insert(name.clone(), text.to_owned())),
            None => {
                faults.0.push(Fault::of(format!("custom.{key}.{name}"), value, "is no string", "write it in quotes"))
            }
        }
    }
    texts
}

/// What begins the variables that flytekit looks for secrets in.
const SECRET: &str = "_FSEC_";

/// The secrets that a task asks for: the variable that each comes in, and where AWS has it. Batch fetches a secret by its
/// ARN and nothing else, so the key must be one.
fn secrets(template: &TaskTemplate, faults: &mut Faults) -> BTreeMap<String, String> {
    let mut secrets = BTreeMap::new();
    for (at, secret) in template.security_context.iter().flat_map(|context| &context.secrets).enumerate() {
        let field = format!("security_context.secrets[{at}]");
        let mut wrong = |part: &str, value: &str, problem: &str, fix: &str| {
            faults.0.push(Fault::text(format!("{field}{part}"), value, problem, fix));
        };
        if !is_secret_arn(&secret.key) {
            let shown = format!("{}/{}", secret.group, secret.key);
            let fix = "write the ARN of a secret of Secrets Manager or of a parameter of Systems Manager into key, or read \
                       it in the task itself, by the job role";
            wrong("", &shown, "AWS Batch finds secrets by their ARNs alone", fix);
            continue;
        }
        if secret.mount_requirement() == MountType::File {
            let fix = "write Secret.MountType.ENV_VAR: AWS Batch gives secrets in environment variables";
            wrong(".mount_requirement", "FILE", "cannot be had", fix);
            continue;
        }
        // flytekit's own name for it, where the task gives none.
        let parts = [&secret.group, &secret.group_version, &secret.key].into_iter().filter(|part| !part.is_empty());
        let name = match secret.env_var.as_str() {
            "" => format!("{SECRET}{}", parts.map(|part| part.to_uppercase()).collect::<Vec<_>>().join("_")),
            name => name.to_owned(),
        };
        let reserved = ["AWS_BATCH", "BATCHMAP_"].iter().any(|own| name.starts_with(own));
        if reserved || name.contains(['=', '\0']) {
            wrong(".env_var", &name, "cannot be the name of a secret's variable", "give it another name");
            continue;
        }
        match secrets.get(&name) {
            Some(other) if *other != secret.key => {
                wrong(".env_var", &name, "is the variable of another secret too", "give each a name of its own");
            }
            _ => drop(secrets.insert(name, secret.key.clone())),
        }
    }
    secrets
}

/// Whether AWS Batch can fetch what has this ARN: `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`.
fn is_secret_arn(key: &str) -> bool {
    let parts: Vec<&str> = key.splitn(6, ':').collect();
    let ["arn", partition, service, region, account, resource] = parts[..] else { return false };
    let resource = match service {
        "secretsmanager" => resource.strip_prefix("secret:"),
        "ssm" => resource.strip_prefix("parameter/"),
        _ => None,
    };
    let given = resource.is_some_and(|name| !name.is_empty()) && !region.is_empty() && !account.is_empty();
    given && partition.starts_with("aws") && !key.contains(char::is_whitespace)
}

/// The command with `Ref::NAME` as the parameter of that name: what Batch makes of them, done here since the command
/// that Batch is given is the worker's.
pub(super) fn filled_in(words: Vec<String>, template: &TaskTemplate) -> Vec<String> {
    let parameters = texts("parameters", &config(template), &mut Faults::default());
    let one = |word: String| match word.strip_prefix("Ref::").and_then(|name| parameters.get(name)) {
        Some(value) => value.clone(),
        None => word,
    };
    if parameters.is_empty() { words } else { words.into_iter().map(one).collect() }
}
