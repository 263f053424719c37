//! The two ways of the worker into a task, in real containers: in the image, and injected beside it.
//!
//! The worker's image and the sample task's are archives that `.ci/container` makes; without them this says so.

#[path = "../support/emulator.rs"]
mod emulator;
#[path = "../support/podman.rs"]
mod podman;
#[path = "../support/skip.rs"]
mod skip;
mod world;

use world::{WORKER, World};

/// What the sample task prints: which of its ten points are above 11.
const SAMPLE: &str = "[false, true, false, false, true, true, true, false, true, false]";

#[test]
fn the_sample_task_runs_with_the_worker_in_its_image() {
    let Some(world) = World::with_sample() else { return };
    let spec = concat!(env!("CARGO_MANIFEST_DIR"), "/container/sample/task.json");
    let ran = world.batchmap(&["run", spec, "--image", world::SAMPLE, "--mem", "128Mi"]);
    assert_eq!(ran.outputs(), SAMPLE);
}

#[test]
fn the_doctor_finds_all_well_with_either_way_of_the_worker() {
    let Some(world) = World::with_sample() else { return };
    let size = ["--mem", "128Mi", "--cpu", "1"];
    let within = world.batchmap(&[&["doctor", "--image", world::SAMPLE][..], &size].concat());
    assert_eq!(within.code, Some(0), "{}{}", within.stdout, within.stderr);
    let image = world.scratch_image("localhost/batchmap-test:scratch", &[]);
    let beside = ["doctor", "--image", &image, "--worker", "inject", "--worker-image", WORKER];
    let injected = world.batchmap(&[&beside[..], &size].concat());
    assert_eq!(injected.code, Some(0), "{}{}", injected.stdout, injected.stderr);
    for ran in [within, injected] {
        assert!(ran.stdout.contains("gave back its element and its bound value"), "{}", ran.stdout);
    }
}

#[test]
fn an_image_of_one_static_binary_needs_nothing() {
    let Some(world) = World::new() else { return };
    let image = world.scratch_image("localhost/batchmap-test:scratch", &[]);
    let ran = world.inject(&image, &[], &["/busybox", "echo", "{{.inputs.x}}"]);
    assert_eq!(ran.outputs(), r#"["1", "2", "3"]"#);
    let id = ran.id();
    let log = world.batchmap(&["logs", &id, "0"]);
    assert!(log.stdout.contains('1') && !log.stdout.contains("batchmap-init"), "{}", log.stdout);
}

#[test]
fn any_user_runs_the_worker_and_cannot_change_it() {
    let Some(world) = World::new() else { return };
    let image = world.scratch_image("localhost/batchmap-test:other-user", &["USER 4321:4321"]);
    let script = "\
/busybox touch /opt/batchmap/bin/batchmap 2>/dev/null && echo could change it
/busybox test $1 = 2 && exit 3
/busybox echo $(/busybox id -u) > $BATCHMAP_OUTPUT_DIR/o0";
    let ran = world.inject(&image, &[], &["/busybox", "sh", "-c", script, "-", "{{.inputs.x}}"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("the command exited with code 3"), "{}", ran.stderr);
    assert_eq!(world.batchmap(&["outputs", &ran.id()]).stdout.trim(), r#"["4321", null, "4321"]"#);
    // What is run again has its worker from where it had it, though nothing says so now.
    let recovered = world.batchmap(&["recover", &ran.id()]);
    assert!(recovered.stderr.contains("the command exited with code 3"), "{}", recovered.stderr);
}

#[test]
fn a_read_only_root_leaves_tmp_to_write_to() {
    let Some(world) = World::new() else { return };
    let image = world.scratch_image("localhost/batchmap-test:read-only", &["USER 4321:4321"]);
    let script = "\
/busybox touch /here 2>/dev/null && exit 9
/busybox echo $1 > /tmp/kept && /busybox cat /tmp/kept";
    let command = ["/busybox", "sh", "-c", script, "-", "{{.inputs.x}}"];
    let ran = world.inject(&image, &["--readonly-root"], &command);
    assert_eq!(ran.outputs(), r#"["1", "2", "3"]"#);
    let refused = world.inject(&image, &["--readonly-root", "--output-dir", "/var/outputs"], &command);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("children can write below /tmp alone"), "{}", refused.stderr);
}

#[test]
fn whoever_uses_up_its_memory_is_told_so_with_the_fix() {
    let Some(world) = World::new() else { return };
    let image = world.scratch_image("localhost/batchmap-test:hungry", &[]);
    // It keeps the last line of what has none.
    let ran = world.inject(&image, &["--mem", "96Mi"], &["/busybox", "tail", "-n", "1", "/dev/zero"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let told = ran.stderr.contains("OutOfMemory") || ran.stderr.contains("lack of memory");
    assert!(told && ran.stderr.contains("raise resources.mem"), "{}", ran.stderr);
}

#[test]
fn a_worker_image_that_cannot_be_had_is_named() {
    let Some(world) = World::new() else { return };
    let image = world.scratch_image("localhost/batchmap-test:scratch", &[]);
    let absent = "localhost:1/batchmap:none";
    let ran = world.run(&image, &["--worker", "inject", "--worker-image", absent], &["/busybox", "true"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("batchmap-init") && ran.stderr.contains(absent), "{}", ran.stderr);
}

#[test]
fn the_plan_names_the_image_that_the_worker_comes_from() {
    let Some(world) = World::new() else { return };
    let arguments = ["plan", "--image", "any:1", "--worker", "inject", "--worker-image", WORKER, "--map", "x=[1]"];
    let planned = world.batchmap(&[&arguments[..], &["--", "true"]].concat());
    assert!(
        planned.stdout.contains(&format!("worker: put beside the task's image, from {WORKER}")),
        "{}",
        planned.stdout
    );
}
