//! What a container engine's `run` is told of a container: pure.

use std::path::Path;

use super::engine::Engine;
use crate::emulator::batch::model::{LinuxParameters, TaskContainer, Volume};

/// Where a container runs, and under which name.
#[derive(Clone, Debug)]
pub(super) struct Frame<'a> {
    pub(super) engine: Engine,
    pub(super) name: &'a str,
    pub(super) labels: &'a [String],
    /// Where the engine writes the process id once there is one.
    pub(super) pidfile: Option<&'a Path>,
    /// Below what the job says.
    pub(super) environment: &'a [(String, String)],
    /// Of this machine.
    pub(super) cores: usize,
    /// What the names of the task's own volumes begin with.
    pub(super) volumes: &'a str,
}

/// The arguments of `podman` or `docker`.
///
/// # Errors
/// What the container asks for and is not to be had here.
pub(super) fn run(frame: &Frame<'_>, container: &TaskContainer) -> Result<Vec<String>, String> {
    let image = container.image.as_deref().unwrap_or_default();
    if image.is_empty() {
        return Err("the job definition names no image".to_owned());
    }
    let mut args: Args = Args::default();
    // Its own ending: what is left of it is looked at, and then removed.
    args.all(&["run", "--pull=never", "--network=host", "--log-driver=none", "--sig-proxy=false", "--no-healthcheck"]);
    args.all(&["--attach=stdout", "--attach=stderr"]);
    args.pair("--name", frame.name);
    for label in frame.labels {
        args.pair("--label", label);
    }
    if frame.engine == Engine::Podman {
        // A proxy of this machine's shell is none of the job's.
        args.push("--http-proxy=false");
        if let Some(file) = frame.pidfile {
            args.pair("--pidfile", &file.display().to_string());
        }
    }
    for (name, value) in frame.environment {
        args.pair("--env", &format!("{name}={value}"));
    }
    for secret in &container.secrets {
        // Its value comes from the engine's own environment, which is ours, and is on no command line.
        args.pair("--env", secret);
    }
    for (name, value) in &container.environment {
        args.pair("--env", &format!("{name}={value}"));
    }
    resources(&mut args, frame, container)?;
    settings(&mut args, frame, container)?;
    args.push(image);
    args.0.extend(container.command.iter().cloned());
    Ok(args.0)
}

#[derive(Default)]
struct Args(Vec<String>);

impl Args {
    fn push(&mut self, arg: &str) {
        self.0.push(arg.to_owned());
    }

    fn all(&mut self, args: &[&str]) {
        args.iter().for_each(|arg| self.push(arg));
    }

    /// A flag with its value, in one word: the value may begin with a hyphen.
    fn pair(&mut self, flag: &str, value: &str) {
        self.0.push(format!("{flag}={value}"));
    }
}

fn resources(args: &mut Args, frame: &Frame<'_>, container: &TaskContainer) -> Result<(), String> {
    let amount = |kind: &str| {
        let found = container.resources.iter().find(|resource| resource.kind == kind);
        found.and_then(|resource| resource.value.parse::<f64>().ok())
    };
    if let Some(gpus) = amount("GPU") {
        return Err(format!("the job asks for {gpus} GPU, and containers of this endpoint have none"));
    }
    if let Some(vcpus) = amount("VCPU") {
        // Docker refuses more than there are, and a job for a larger machine should run here all the same.
        args.pair("--cpus", &vcpus.min(frame.cores as f64).to_string());
    }
    if let Some(memory) = amount("MEMORY") {
        let linux = container.settings.linux_parameters.as_ref();
        let swap = linux.and_then(|linux| linux.max_swap).filter(|swap| *swap > 0).unwrap_or(0);
        let memory = memory.ceil() as i64;
        args.pair("--memory", &format!("{memory}m"));
        // Both together; the same as the memory means no swap at all.
        args.pair("--memory-swap", &format!("{}m", memory.saturating_add(swap)));
        if swap > 0
            && let Some(swappiness) = linux.and_then(|linux| linux.swappiness)
        {
            args.pair("--memory-swappiness", &swappiness.to_string());
        }
    }
    Ok(())
}

fn settings(args: &mut Args, frame: &Frame<'_>, container: &TaskContainer) -> Result<(), String> {
    let settings = &container.settings;
    if let Some(user) = settings.user.as_deref().filter(|user| !user.is_empty()) {
        args.pair("--user", user);
    }
    if settings.readonly_root_filesystem == Some(true) {
        args.push("--read-only");
        if frame.engine == Engine::Podman {
            // As on AWS: /tmp is a part of what cannot be written.
            args.push("--read-only-tmpfs=false");
        }
    }
    if settings.privileged == Some(true) {
        args.push("--privileged");
    }
    for limit in &settings.ulimits {
        args.pair("--ulimit", &format!("{}={}:{}", limit.name, limit.soft_limit, limit.hard_limit));
    }
    for mount in &settings.mount_points {
        let (Some(volume), Some(path)) = (&mount.source_volume, &mount.container_path) else { continue };
        let volume = settings.volumes.iter().find(|other| other.name == *volume);
        let source = source(volume.ok_or("a mount point names no volume")?, frame.volumes)?;
        let mode = if mount.read_only == Some(true) { ":ro" } else { "" };
        args.pair("--volume", &format!("{source}:{path}{mode}"));
    }
    if let Some(linux) = &settings.linux_parameters {
        kernel(args, linux);
    }
    Ok(())
}

fn kernel(args: &mut Args, linux: &LinuxParameters) {
    if linux.init_process_enabled == Some(true) {
        args.push("--init");
    }
    if let Some(size) = linux.shared_memory_size.filter(|size| *size > 0) {
        args.pair("--shm-size", &format!("{size}m"));
    }
    for tmpfs in &linux.tmpfs {
        let mut options = vec![format!("size={}m", tmpfs.size)];
        options.extend(tmpfs.mount_options.iter().cloned());
        args.pair("--tmpfs", &format!("{}:{}", tmpfs.container_path, options.join(",")));
    }
    for device in &linux.devices {
        let inside = device.container_path.as_ref().unwrap_or(&device.host_path);
        let letter = |permission: &String| permission.chars().next().map(|first| first.to_ascii_lowercase());
        let rights: String = device.permissions.iter().filter_map(letter).collect();
        let rights = if rights.is_empty() { "rwm".to_owned() } else { rights };
        args.pair("--device", &format!("{}:{inside}:{rights}", device.host_path));
    }
}

/// The host's directory of a volume, if it has one.
fn host_path(volume: &Volume) -> Option<&str> {
    volume.host.as_ref().and_then(|host| host.source_path.as_deref()).filter(|path| !path.is_empty())
}

/// What the engine is to mount: a directory of the host, or a volume of its own.
fn source(volume: &Volume, prefix: &str) -> Result<String, String> {
    if volume.efs_volume_configuration.is_some() {
        return Err(format!("the volume {} is on EFS, and this endpoint has none", volume.name));
    }
    Ok(host_path(volume).map_or_else(|| format!("{prefix}{}", volume.name), str::to_owned))
}

/// The names of the engine's volumes that a task needs for itself: those mounted that no directory of the host is behind.
pub(super) fn own_volumes(prefix: &str, containers: &[TaskContainer]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for settings in containers.iter().map(|container| &container.settings) {
        for volume in settings.volumes.iter().filter(|volume| host_path(volume).is_none()) {
            let mounted = settings.mount_points.iter().any(|mount| mount.source_volume.as_ref() == Some(&volume.name));
            let name = format!("{prefix}{}", volume.name);
            if mounted && volume.efs_volume_configuration.is_none() && !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::emulator::batch::model::Settings;
    use crate::emulator::batch::model::api::ResourceRequirement;

    fn container(settings: Value, resources: &[(&str, &str)]) -> TaskContainer {
        let resource =
            |(kind, value): &(&str, &str)| ResourceRequirement { kind: (*kind).to_owned(), value: (*value).to_owned() };
        TaskContainer {
            image: Some("i:1".to_owned()),
            command: vec!["run".to_owned(), "-x".to_owned()],
            environment: vec![("A".to_owned(), "1 2".to_owned())],
            secrets: vec!["TOKEN".to_owned()],
            resources: resources.iter().map(resource).collect(),
            settings: serde_json::from_value::<Settings>(settings).unwrap(),
            ..TaskContainer::default()
        }
    }

    fn of(engine: Engine, container: &TaskContainer) -> Result<Vec<String>, String> {
        let frame = Frame {
            engine,
            name: "n",
            labels: &["l=1".to_owned()],
            pidfile: Some(Path::new("/p")),
            environment: &[("AWS_REGION".to_owned(), "r".to_owned())],
            cores: 4,
            volumes: "v-",
        };
        run(&frame, container)
    }

    #[test]
    fn a_plain_container_is_named_limited_and_on_the_hosts_network() {
        let plain = container(json!({}), &[("VCPU", "2"), ("MEMORY", "512")]);
        let args = of(Engine::Podman, &plain).unwrap();
        let common = [
            "run",
            "--pull=never",
            "--network=host",
            "--log-driver=none",
            "--sig-proxy=false",
            "--no-healthcheck",
            "--attach=stdout",
            "--attach=stderr",
            "--name=n",
            "--label=l=1",
        ];
        assert_eq!(args[..common.len()], common);
        let rest = [
            "--http-proxy=false",
            "--pidfile=/p",
            "--env=AWS_REGION=r",
            "--env=TOKEN",
            "--env=A=1 2",
            "--cpus=2",
            "--memory=512m",
            "--memory-swap=512m",
            "i:1",
            "run",
            "-x",
        ];
        assert_eq!(args[common.len()..], rest);
        let docker = of(Engine::Docker, &plain).unwrap();
        assert_eq!(docker[common.len()..], rest[2..], "it has no flags for the others");
    }

    #[test]
    fn vcpus_are_at_most_the_machines() {
        for (asked, given) in [("0.25", "--cpus=0.25"), ("4", "--cpus=4"), ("64", "--cpus=4")] {
            let args = of(Engine::Docker, &container(json!({}), &[("VCPU", asked)])).unwrap();
            assert!(args.contains(&given.to_owned()), "{args:?}");
        }
    }

    #[test]
    fn settings_are_the_engines_flags() {
        let settings = json!({
            "user": "1000:7", "readonlyRootFilesystem": true, "privileged": true,
            "ulimits": [{"name": "nofile", "softLimit": 10, "hardLimit": 20}],
            "volumes": [{"name": "a"}, {"name": "b", "host": {"sourcePath": "/data"}}, {"name": "c", "host": {}}],
            "mountPoints": [{"sourceVolume": "a", "containerPath": "/a"},
                {"sourceVolume": "b", "containerPath": "/b", "readOnly": true}],
            "linuxParameters": {"initProcessEnabled": true, "sharedMemorySize": 64, "maxSwap": 100, "swappiness": 10,
                "tmpfs": [{"containerPath": "/t", "size": 8, "mountOptions": ["noexec"]}],
                "devices": [{"hostPath": "/dev/fuse", "permissions": ["READ", "WRITE"]}]},
        });
        let full = container(settings, &[("MEMORY", "50")]);
        let args = of(Engine::Podman, &full).unwrap();
        let flags = [
            "--memory=50m",
            "--memory-swap=150m",
            "--memory-swappiness=10",
            "--user=1000:7",
            "--read-only",
            "--read-only-tmpfs=false",
            "--privileged",
            "--ulimit=nofile=10:20",
            "--volume=v-a:/a",
            "--volume=/data:/b:ro",
            "--init",
            "--shm-size=64m",
            "--tmpfs=/t:size=8m,noexec",
            "--device=/dev/fuse:/dev/fuse:rw",
            "i:1",
        ];
        let from = args.iter().position(|arg| arg == "--memory=50m").unwrap();
        assert_eq!(args[from..from + flags.len()], flags);
        assert_eq!(own_volumes("v-", &[full.clone(), full]), ["v-a"], "what is not mounted need not be");
    }

    #[test]
    fn what_is_not_to_be_had_is_refused() {
        let efs = json!({"volumes": [{"name": "e", "efsVolumeConfiguration": {"fileSystemId": "fs-1"}}],
            "mountPoints": [{"sourceVolume": "e", "containerPath": "/e"}]});
        for (container, part) in [
            (container(json!({}), &[("GPU", "1")]), "1 GPU"),
            (container(efs, &[]), "the volume e is on EFS"),
            (TaskContainer::default(), "names no image"),
        ] {
            let why = of(Engine::Podman, &container).unwrap_err();
            assert!(why.contains(part), "{why}");
        }
    }
}
