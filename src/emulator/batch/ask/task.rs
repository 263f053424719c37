//! The questions about tasks of several containers, and the answers, in the model's terms.

use serde_json::{Value, json};

use super::{address, log, parameters, requirements, secrets};
use crate::aws::batch::{AttemptDetail, Definition, PLACEHOLDER, SubmitRequest, waited_in_vain};
use crate::emulator::batch::model::api::{
    EcsPropertiesOverride, KeyValue, TaskContainerOverrides, TaskPropertiesOverride,
};
use crate::map::inject::{BIN_DIR, BIN_VOLUME, INIT, INIT_MEMORY_MIB, Injection, MAIN, SCRATCH_DIR, SCRATCH_VOLUME};

/// Command and environment of a submission, where its definition has several containers.
pub(super) fn overrides(request: &SubmitRequest, environment: Vec<KeyValue>) -> Option<EcsPropertiesOverride> {
    let (name, command) = (Some(request.container.clone()?), Some(request.command.clone()));
    let own = TaskContainerOverrides { name, command, environment, ..TaskContainerOverrides::default() };
    Some(EcsPropertiesOverride { task_properties: vec![TaskPropertiesOverride { containers: vec![own] }] })
}

/// `ecsProperties` of a definition, where it has several containers: what the SDK's adapter sends.
pub(super) fn properties(definition: &Definition) -> Option<Value> {
    let injection = definition.injection.as_ref()?;
    let mut task = json!({
        "containers": [init(definition, injection), main(definition, injection)],
        "volumes": [{"name": BIN_VOLUME, "host": {}}, {"name": SCRATCH_VOLUME, "host": {}}],
    });
    let arm = || json!({"operatingSystemFamily": "LINUX", "cpuArchitecture": "ARM64"});
    for (field, value) in [
        ("taskRoleArn", definition.job_role.as_ref().map(|role| json!(role))),
        ("executionRoleArn", definition.execution_role.as_ref().map(|role| json!(role))),
        ("networkConfiguration", address(definition)),
        ("runtimePlatform", definition.arm64.then(arm)),
    ] {
        set(&mut task, field, value);
    }
    Some(json!({"taskProperties": [task]}))
}

fn init(definition: &Definition, injection: &Injection) -> Value {
    let mut container = json!({
        "name": INIT,
        "image": injection.image,
        "command": Injection::install(),
        "essential": false,
        "user": "0",
        "readonlyRootFilesystem": true,
        "mountPoints": [mount(BIN_VOLUME, BIN_DIR, false), mount(SCRATCH_VOLUME, SCRATCH_DIR, false)],
    });
    let memory = json!([{"type": "MEMORY", "value": INIT_MEMORY_MIB.to_string()}]);
    set(&mut container, "resourceRequirements", (definition.platform != "FARGATE").then_some(memory));
    set(&mut container, "logConfiguration", log(definition));
    container
}

fn main(definition: &Definition, injection: &Injection) -> Value {
    let mut container = json!({
        "name": MAIN,
        "image": definition.image,
        "command": [PLACEHOLDER],
        "essential": true,
        "dependsOn": [{"containerName": INIT, "condition": "SUCCESS"}],
        "mountPoints": [mount(BIN_VOLUME, BIN_DIR, true), mount(SCRATCH_VOLUME, injection.scratch(), false)],
        "resourceRequirements": requirements(definition),
    });
    set(&mut container, "readonlyRootFilesystem", injection.readonly_root.then_some(json!(true)));
    set(&mut container, "secrets", secrets(definition));
    set(&mut container, "linuxParameters", parameters(definition));
    set(&mut container, "logConfiguration", log(definition));
    container
}

fn mount(volume: &str, path: &str, read_only: bool) -> Value {
    json!({"sourceVolume": volume, "containerPath": path, "readOnly": read_only})
}

fn set(object: &mut Value, field: &str, value: Option<Value>) {
    if let Some(value) = value {
        object[field] = value;
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// The containers of a task.
fn containers(tasks: &[Value]) -> Vec<&Value> {
    tasks.iter().filter_map(|task| task["containers"].as_array()).flatten().collect()
}

/// The container of `ecsProperties` whose end is the job's end.
pub(super) fn essential(properties: &Value) -> Option<&Value> {
    let containers = containers(properties["taskProperties"].as_array()?);
    containers.iter().find(|one| one["essential"] != json!(false)).or(containers.first()).copied()
}

/// What an attempt left, of a task: that of the container called `main`. Where it never ran, another one tells why.
pub(super) fn attempt(tasks: &[Value], main: Option<&str>) -> Option<AttemptDetail> {
    let all = containers(tasks);
    let code = |one: &Value| one["exitCode"].as_i64().and_then(|code| i32::try_from(code).ok());
    let found = all.iter().find(|one| main.is_some() && one["name"].as_str() == main).or(all.first())?;
    let mut left = AttemptDetail {
        exit_code: code(found),
        reason: text(&found["reason"]),
        log_stream: text(&found["logStreamName"]),
        ..AttemptDetail::default()
    };
    if left.never_ran() {
        let why = all.iter().filter(|other| other["name"] != found["name"]).find_map(|other| {
            let reason = waited_in_vain(other["name"].as_str()?, code(other), other["reason"].as_str())?;
            Some((reason, text(&other["logStreamName"])))
        });
        let (reason, stream) = why.unzip();
        left.reason = reason.or(left.reason);
        left.log_stream = left.log_stream.or(stream.flatten());
    }
    Some(left)
}
