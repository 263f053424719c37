//! `ecsProperties`: a task of two containers, of which the first brings the worker for the second.

use aws_sdk_batch::types::{self, ResourceRequirement, ResourceType};

use super::jobs;
use crate::aws::batch::{AttemptDetail, Definition, PLACEHOLDER, SubmitRequest, waited_in_vain};
use crate::map::inject::{BIN_DIR, BIN_VOLUME, INIT, INIT_MEMORY_MIB, Injection, MAIN, SCRATCH_DIR, SCRATCH_VOLUME};

/// Command and environment of a submission, where its definition has several containers.
pub(super) fn overrides(request: &SubmitRequest) -> Option<types::EcsPropertiesOverride> {
    let container = types::TaskContainerOverrides::builder()
        .name(request.container.as_ref()?)
        .set_command(Some(request.command.clone()))
        .set_environment(jobs::environment(request))
        .build();
    let task = types::TaskPropertiesOverride::builder().containers(container).build();
    Some(types::EcsPropertiesOverride::builder().task_properties(task).build())
}

/// What a definition runs, where it has several containers.
pub(super) fn properties(definition: &Definition) -> Option<types::EcsProperties> {
    let injection = definition.injection.as_ref()?;
    let volume = |name: &str| types::Volume::builder().name(name).host(types::Host::builder().build()).build();
    let task = types::EcsTaskProperties::builder()
        .containers(init(definition, injection))
        .containers(main_container(definition, injection))
        .volumes(volume(BIN_VOLUME))
        .volumes(volume(SCRATCH_VOLUME))
        .set_task_role_arn(definition.job_role.clone())
        .set_execution_role_arn(definition.execution_role.clone())
        .set_network_configuration(jobs::network(definition))
        .set_runtime_platform(jobs::runtime(definition))
        .build();
    Some(types::EcsProperties::builder().task_properties(task).build())
}

fn mount(volume: &str, path: &str, read_only: bool) -> types::MountPoint {
    types::MountPoint::builder().source_volume(volume).container_path(path).read_only(read_only).build()
}

/// The container that brings the worker. It has ended before the other begins, so it reserves next to nothing: on Fargate
/// the task's size is then the other one's, which is one of Fargate's sizes.
fn init(definition: &Definition, injection: &Injection) -> types::TaskContainerProperties {
    let memory = ResourceRequirement::builder().r#type(ResourceType::Memory).value(INIT_MEMORY_MIB.to_string()).build();
    types::TaskContainerProperties::builder()
        .name(INIT)
        .image(&injection.image)
        .set_command(Some(Injection::install().map(str::to_owned).into()))
        .essential(false)
        .user("0")
        .readonly_root_filesystem(true)
        .mount_points(mount(BIN_VOLUME, BIN_DIR, false))
        .mount_points(mount(SCRATCH_VOLUME, SCRATCH_DIR, false))
        .set_resource_requirements((definition.platform != "FARGATE").then(|| vec![memory]))
        .set_log_configuration(jobs::log(definition))
        .build()
}

fn main_container(definition: &Definition, injection: &Injection) -> types::TaskContainerProperties {
    let brought = types::TaskContainerDependency::builder().container_name(INIT).condition("SUCCESS").build();
    types::TaskContainerProperties::builder()
        .name(MAIN)
        .image(&definition.image)
        .command(PLACEHOLDER)
        .essential(true)
        .depends_on(brought)
        .mount_points(mount(BIN_VOLUME, BIN_DIR, true))
        .mount_points(mount(SCRATCH_VOLUME, injection.scratch(), false))
        .set_readonly_root_filesystem(injection.readonly_root.then_some(true))
        .set_resource_requirements(Some(jobs::requirements(definition)))
        .set_secrets(jobs::secrets(definition))
        .set_linux_parameters(jobs::linux(definition))
        .set_log_configuration(jobs::log(definition))
        .build()
}

/// The container whose end is the job's end: the essential one. That which brings the worker is none.
pub(super) fn main(tasks: &[types::EcsTaskDetails]) -> Option<&types::TaskContainerDetails> {
    let mut containers = tasks.iter().flat_map(types::EcsTaskDetails::containers);
    containers.clone().find(|container| container.essential() != Some(false)).or_else(|| containers.next())
}

/// What an attempt left, of a task: that of the container called `main`. Where it never ran, another one tells why.
pub(super) fn attempt(tasks: &[types::AttemptEcsTaskDetails], main: Option<&str>) -> Option<AttemptDetail> {
    let all: Vec<_> = tasks.iter().flat_map(types::AttemptEcsTaskDetails::containers).collect();
    let found = all.iter().find(|one| main.is_some() && one.name() == main).or(all.first())?;
    let mut left = AttemptDetail {
        exit_code: found.exit_code,
        reason: found.reason.clone(),
        log_stream: found.log_stream_name.clone(),
        ..AttemptDetail::default()
    };
    if left.never_ran() {
        let why = all.iter().filter(|other| other.name() != found.name()).find_map(|other| {
            Some((waited_in_vain(other.name()?, other.exit_code, other.reason())?, other.log_stream_name.clone()))
        });
        let (reason, stream) = why.unzip();
        left.reason = reason.or(left.reason);
        left.log_stream = left.log_stream.or(stream.flatten());
    }
    Some(left)
}
