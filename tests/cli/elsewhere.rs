//! Pointing at AWS: the same binary against an endpoint that another process serves, as it would be against AWS.

use std::io::{BufRead, BufReader};
use std::process::Child;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::place::Place;

/// `batchmap emulator`, stopped when dropped.
pub struct Emulator {
    process: Child,
    pub url: String,
}

impl Emulator {
    fn start(place: &Place) -> Self {
        Emulator::with(place, &[])
    }

    pub fn with(place: &Place, flags: &[&str]) -> Self {
        let usual = ["emulator", "--listen", "127.0.0.1:0", "--data", "served", "--slots", "4"];
        let mut process = place.spawn(usual.iter().chain(flags));
        let mut url = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Emulator { process, url: url.trim().to_owned() }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.process.id() as i32), Signal::SIGTERM);
        let _ = self.process.wait();
    }
}

#[test]
fn an_endpoint_given_by_a_flag() {
    let place = Place::new();
    let emulator = Emulator::start(&place);
    let run = ["run", "--endpoint", &emulator.url, "--map", "x=[1,2]", "--", "echo", "{{.inputs.x}}"];
    assert_eq!(place.run(run).exits(0).out, "[\"1\", \"2\"]\n");
    let listed = place.run(["list", "--endpoint", &emulator.url]).exits(0);
    assert!(listed.out.contains("succeeded"), "{}", listed.out);
    assert!(!place.path(".batchmap").exists(), "nothing ran here");
}

#[test]
fn a_configuration_file_and_the_standard_variables() {
    let place = Place::new();
    let emulator = Emulator::start(&place);
    place.write(
        "batchmap.toml",
        "bucket = \"batchmap\"\nqueue = \"batchmap\"\nregion = \"eu-central-1\"\nprefix = \"team/a\"\n",
    );
    let run = |args: &[&str]| {
        let mut command = place.command(args.iter().copied());
        command.env("AWS_ENDPOINT_URL", &emulator.url);
        command.env("AWS_ACCESS_KEY_ID", "any").env("AWS_SECRET_ACCESS_KEY", "any");
        super::place::Ran::of(command.output().unwrap())
    };
    run(&["run", "--map", "x=[1]", "--", "true"]).exits(2).says(&["image"]);
    let ran = run(&["run", "--image", "mine:1", "--map", "x=[1,2]", "--", "echo", "{{.inputs.x}}"]).exits(0);
    assert_eq!(ran.out, "[\"1\", \"2\"]\n");
    let listed = run(&["list"]).exits(0);
    assert_eq!(listed.out.lines().count(), 1, "{}", listed.out);
    assert!(place.path("served/data").exists() || place.path("served/s3/batchmap").exists());
}

#[test]
fn batch_here_and_s3_at_another_endpoint() {
    let (place, other) = (Place::new(), Place::new());
    let store = Emulator::start(&other);
    let batch = Emulator::with(&place, &["--s3-endpoint", &store.url]);
    place.write(
        "batchmap.toml",
        "bucket = \"batchmap\"\nqueue = \"batchmap\"\nregion = \"us-east-1\"\nimage = \"any\"\n",
    );
    let mut command = place.command(["run", "--map", "x=[1,2]", "--", "echo", "{{.inputs.x}}"]);
    command.env("AWS_ENDPOINT_URL", &batch.url).env("AWS_ENDPOINT_URL_S3", &store.url);
    command.env("AWS_ACCESS_KEY_ID", "any").env("AWS_SECRET_ACCESS_KEY", "any");
    assert_eq!(super::place::Ran::of(command.output().unwrap()).exits(0).out, "[\"1\", \"2\"]\n");
    assert!(place.run(["list", "--endpoint", &store.url]).exits(0).out.contains("succeeded"));
    assert_eq!(place.run(["list", "--endpoint", &batch.url]).exits(0).out.trim(), "", "nothing was put here");
}

#[test]
fn an_endpoint_that_does_not_answer_is_said_so() {
    let place = Place::new();
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    place
        .run(["run", "--endpoint", &url, "--map", "x=[1]", "--", "true"])
        .exits(4)
        .says(&[&format!("cannot reach {url}: trying again"), "no clear answer to DescribeJobQueues"]);
}

#[test]
fn a_standard_variable_that_points_elsewhere_is_not_passed_over() {
    let place = Place::new();
    let emulator = Emulator::start(&place);
    let mut command = place.command(["run", "--map", "x=[1]", "--", "echo", "{{.inputs.x}}"]);
    command.env("AWS_ENDPOINT_URL", &emulator.url).env("AWS_ACCESS_KEY_ID", "any").env("AWS_SECRET_ACCESS_KEY", "any");
    let ran = super::place::Ran::of(command.output().unwrap()).exits(0);
    assert_eq!(ran.out, "[\"1\"]\n");
    assert!(!place.path(".batchmap").exists(), "nothing ran here");
}

#[test]
fn two_endpoints_do_not_share_a_directory() {
    let place = Place::new();
    let _emulator = Emulator::start(&place);
    place
        .run(["emulator", "--listen", "127.0.0.1:0", "--data", "served"])
        .exits(2)
        .says(&["another batchmap serves this directory"]);
}

#[test]
fn half_a_configuration_is_never_run_on_this_machine() {
    let place = Place::new();
    place.run(["run", "--queue", "q", "--map", "x=[1]", "--", "true"]).exits(2).says(&["bucket", "--queue"]);
    place.write("batchmap.toml", "bukcet = \"b\"\n");
    place.run(["run", "--map", "x=[1]", "--", "true"]).exits(2).says(&["bukcet", "bucket"]);
    assert!(!place.path(".batchmap").exists());
}

#[test]
fn fargate_sizes_are_checked_before_anything_is_sent() {
    let place = Place::new();
    let role = "arn:aws:iam::000000000000:role/r";
    place
        .run([
            "run",
            "--bucket",
            "bbb",
            "--queue",
            "q",
            "--region",
            "eu-central-1",
            "--platform",
            "FARGATE",
            "--job-role",
            role,
            "--execution-role",
            role,
            "--image",
            "i",
            "--cpu",
            "0.5",
            "--mem",
            "8Gi",
            "--map",
            "x=[1]",
            "--",
            "true",
        ])
        .exits(2)
        .says(&["no size of Fargate", "nearest"]);
}
