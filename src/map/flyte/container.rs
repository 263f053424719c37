//! The container that a task runs in: its own, or the only one of a pod.

use std::collections::BTreeMap;

use serde_json::Value;

use super::resources::{self, Amounts};
use super::{batch, command, structs};
use crate::idl::core::container::Architecture;
use crate::idl::core::io_strategy::{DownloadMode, UploadMode};
use crate::idl::core::node::Target as NodeTarget;
use crate::idl::core::resources::ResourceName;
use crate::idl::core::task_template::Target as TaskTarget;
use crate::idl::core::{
    ArrayNode, Container, DataLoadingConfig, IoStrategy, K8sPod, Node, TaskNodeOverrides, TaskTemplate,
};
use crate::map::spec::{Fault, Faults};
use crate::map::task::{FlyteKind, Resources};

/// A task and what is said of it where it is used.
pub(super) struct Source<'a> {
    pub(super) template: &'a TaskTemplate,
    /// The nodes that say something of it, those with the first word first.
    pub(super) nodes: Vec<&'a Node>,
    /// What maps it.
    pub(super) array: Option<&'a ArrayNode>,
}

/// What is run in the container.
#[derive(Debug, Default)]
pub(super) struct Target {
    pub(super) image: String,
    pub(super) command: Vec<String>,
    pub(super) kind: Kind,
    pub(super) resources: Resources,
    /// In the order given; each with its field.
    pub(super) environment: Vec<(String, String, String)>,
    pub(super) input_dir: Option<String>,
    pub(super) output_dir: Option<String>,
}

/// A [`FlyteKind`] with a default, for a target that is refused anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind(pub(super) FlyteKind);

impl Default for Kind {
    fn default() -> Self {
        Kind(FlyteKind::Single)
    }
}

/// A container, wherever it is written.
struct Parts<'a> {
    field: String,
    image: String,
    words: Vec<String>,
    environment: Vec<(String, String, String)>,
    amounts: Amounts,
    data: Option<&'a DataLoadingConfig>,
}

impl<'a> Source<'a> {
    pub(super) fn new(template: &'a TaskTemplate, nodes: Vec<&'a Node>, array: Option<&'a ArrayNode>) -> Self {
        Source { template, nodes, array }
    }

    /// What the node lays over the task.
    pub(super) fn overrides(&self) -> Option<&'a TaskNodeOverrides> {
        self.nodes.iter().find_map(|node| match &node.target {
            Some(NodeTarget::TaskNode(task)) => task.overrides.as_ref(),
            _ => None,
        })
    }

    /// The command as it is written.
    pub(super) fn words(&self) -> Vec<String> {
        match &self.template.target {
            Some(TaskTarget::Container(container)) => {
                container.command.iter().chain(&container.args).cloned().collect()
            }
            Some(TaskTarget::K8sPod(pod)) => {
                pod_parts(pod, &mut Faults::default()).map(|p| p.words).unwrap_or_default()
            }
            Some(TaskTarget::Sql(_)) | None => Vec::new(),
        }
    }

    /// What is run; what Batch cannot run goes to `faults`.
    pub(super) fn target(&self, faults: &mut Faults) -> Target {
        let parts = match &self.template.target {
            Some(TaskTarget::Container(container)) => Some(container_parts(container, faults)),
            Some(TaskTarget::K8sPod(pod)) => pod_parts(pod, faults),
            // Told already.
            Some(TaskTarget::Sql(_)) => None,
            None => {
                let fix = "give the task a container: what needs an engine of its own, like SQL, runs nowhere on Batch";
                faults.0.push(Fault::missing("target", "the task has no container", fix));
                None
            }
        };
        let Some(mut parts) = parts else { return Target::default() };
        if let Some(overrides) = self.overrides() {
            parts.amounts.lay_over(Amounts::read(overrides.resources.as_ref(), "overrides.resources", faults));
            if !overrides.container_image.is_empty() {
                parts.image.clone_from(&overrides.container_image);
            }
        }
        if parts.image.contains(|c: char| c.is_whitespace() || c.is_control()) {
            let fix = "give an image like registry/name:tag";
            faults.0.push(Fault::text(format!("{}.image", parts.field), &parts.image, "holds a space", fix));
        }
        let kind = command::kind(&parts.words, parts.data);
        let words = command::repaired(parts.words, self.template);
        let words = batch::filled_in(words, self.template);
        command::check(&words, kind, self, &parts.field, faults);
        let copilot = parts.data.filter(|_| kind == FlyteKind::Container);
        if let Some(strategy) = copilot.and_then(|data| data.io_strategy.as_ref()) {
            io_strategy(strategy, &format!("{}.data_config.io_strategy", parts.field), faults);
        }
        let directory = |path: &String| Some(path.clone()).filter(|path| !path.is_empty());
        Target {
            image: parts.image,
            command: words,
            kind: Kind(kind),
            resources: resources::resources(&parts.amounts, faults),
            environment: parts.environment,
            input_dir: copilot.and_then(|data| directory(&data.input_path)),
            output_dir: copilot.and_then(|data| directory(&data.output_path)),
        }
    }
}

/// Files are all there before the command starts, and are uploaded when it has ended: as good as streams of them.
fn io_strategy(strategy: &IoStrategy, field: &str, faults: &mut Faults) {
    let fix = "leave it out, or disable data_config and let the command read and write S3 itself";
    if strategy.download_mode() == DownloadMode::DoNotDownload {
        let field = format!("{field}.download_mode");
        faults.0.push(Fault::text(field, "DO_NOT_DOWNLOAD", "inputs are always fetched", fix));
    }
    if strategy.upload_mode() == UploadMode::DoNotUpload {
        let field = format!("{field}.upload_mode");
        faults.0.push(Fault::text(field, "DO_NOT_UPLOAD", "outputs are always kept", fix));
    }
}

fn container_parts<'a>(container: &'a Container, faults: &mut Faults) -> Parts<'a> {
    match container.architecture() {
        // Whether there are such machines for ARM64 is seen where it is to run.
        Architecture::Unknown | Architecture::Amd64 | Architecture::Arm64 => {}
        other => {
            let fix = "make the image one for AMD64 or ARM64";
            faults.0.push(Fault::text(
                "container.architecture",
                other.as_str_name(),
                "Batch has no such machines",
                fix,
            ));
        }
    }
    for pair in &container.config {
        let field = format!("container.config.{}", pair.key);
        faults.0.push(Fault::text(field, &pair.value, "nothing here reads it", "put it into env"));
    }
    let environment =
        container.env.iter().map(|pair| ("container.env".to_owned(), pair.key.clone(), pair.value.clone()));
    Parts {
        field: "container".to_owned(),
        image: container.image.clone(),
        words: container.command.iter().chain(&container.args).cloned().collect(),
        environment: environment.collect(),
        amounts: Amounts::read(container.resources.as_ref(), "container.resources", faults),
        data: container.data_config.as_ref().filter(|data| data.enabled),
    }
}

/// What of a pod's only container has a place here.
const CONTAINER_KEYS: [&str; 10] = [
    "name",
    "image",
    "command",
    "args",
    "env",
    "resources",
    "imagePullPolicy",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "ports",
];

fn pod_parts<'a>(pod: &'a K8sPod, faults: &mut Faults) -> Option<Parts<'a>> {
    let spec = pod.pod_spec.as_ref().map(structs::object).unwrap_or_default();
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
        _ => false,
    };
    let own = ["containers", "restartPolicy"];
    for (key, value) in spec.iter().filter(|(key, value)| !own.contains(&key.as_str()) && !empty(value)) {
        faults.0.push(Fault::of(
            format!("k8s_pod.pod_spec.{key}"),
            value,
            "has no place in a Batch job",
            "leave it out",
        ));
    }
    let containers = spec.get("containers").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let [Value::Object(container)] = containers else {
        let problem = format!("has {} containers", containers.len());
        let fix = "give the pod one container: side containers are not run";
        faults.0.push(Fault::missing("k8s_pod.pod_spec.containers", problem, fix));
        return None;
    };
    let field = "k8s_pod.pod_spec.containers[0]";
    let (primary, name) = (&pod.primary_container_name, container.get("name").and_then(Value::as_str));
    if !primary.is_empty() && name.is_some_and(|name| name != primary) {
        let fix = "name the pod's only container";
        faults.0.push(Fault::text("k8s_pod.primary_container_name", primary, "is no container of the pod", fix));
    }
    for (key, value) in container.iter().filter(|(key, value)| !CONTAINER_KEYS.contains(&key.as_str()) && !empty(value))
    {
        faults.0.push(Fault::of(format!("{field}.{key}"), value, "has no place in a Batch job", "leave it out"));
    }
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let list = |key: &str| container.get(key).and_then(Value::as_array).into_iter().flatten().map(text);
    let mut environment = Vec::new();
    for (at, entry) in container.get("env").and_then(Value::as_array).into_iter().flatten().enumerate() {
        let at = format!("{field}.env[{at}]");
        match (entry["name"].as_str(), &entry["valueFrom"]) {
            (Some(name), Value::Null) => environment.push((at, name.to_owned(), text(&entry["value"]))),
            _ => faults.0.push(Fault::of(at, entry, "is no name with a value", "give it a plain value")),
        }
    }
    let mut amounts = Amounts::default();
    for (key, list) in [("requests", &mut amounts.requests), ("limits", &mut amounts.limits)] {
        for (name, value) in container.get("resources").and_then(|all| all[key].as_object()).into_iter().flatten() {
            let at = format!("{field}.resources.{key}.{name}");
            match resource_name(name) {
                Some(known) => drop(list.insert(known, (at, text(value)))),
                None => faults.0.push(Fault::of(at, value, "is no resource of a Batch job", "leave it out")),
            }
        }
    }
    Some(Parts {
        field: field.to_owned(),
        image: container.get("image").and_then(Value::as_str).unwrap_or_default().to_owned(),
        words: list("command").chain(list("args")).collect(),
        environment,
        amounts,
        data: pod.data_config.as_ref().filter(|data| data.enabled),
    })
}

fn resource_name(name: &str) -> Option<ResourceName> {
    let known: BTreeMap<&str, ResourceName> = [
        ("cpu", ResourceName::Cpu),
        ("memory", ResourceName::Memory),
        ("nvidia.com/gpu", ResourceName::Gpu),
        ("ephemeral-storage", ResourceName::EphemeralStorage),
    ]
    .into();
    known.get(name).copied()
}
