//! `batchmap run` through each fault: it reaches the same result as without.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

use super::emulator::{Emulator, Setting};
use super::place::{Place, Ran};

const LIST: &str = "x=[1,2,3,4,5,6,7,8,9,10,11,12]";
const RESULT: &str = r#"["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"]"#;

fn emulator(faults: &[&str]) -> Emulator {
    let flags = faults.iter().flat_map(|fault| ["--fault", fault]);
    Setting::default().args(["--slots", "4", "--seed", "7"]).args(flags).start()
}

/// Runs over twelve elements by way of the standard variable.
fn run(emulator: &Emulator, more: &[&str]) -> Ran {
    let place = Place::new();
    let arguments = ["run"].iter().chain(more).chain(&["--map", LIST, "--", "echo", "{{.inputs.x}}"]).copied();
    let mut command = place.command(arguments);
    command.env("AWS_ENDPOINT_URL", emulator.url());
    command.env("AWS_ACCESS_KEY_ID", "any").env("AWS_SECRET_ACCESS_KEY", "any");
    Ran::of(command.output().unwrap())
}

/// The result is right, and every fault that can be counted has struck.
#[track_caller]
fn survives(faults: &[&str], more: &[&str]) {
    let emulator = emulator(faults);
    let ran = run(&emulator, more).exits(0);
    assert_eq!(ran.out.trim(), RESULT, "{faults:?}\n{}", ran.err);
    let told = admin(&emulator, "GET");
    let struck = told.split("\"struck\":").nth(1).unwrap();
    for name in faults.iter().filter_map(|fault| fault.split('=').next()) {
        // What is told late is not counted, and whether a rate is reached is a matter of time.
        let counted = !name.ends_with("_lag") && !name.contains('.');
        assert!(!counted || struck.contains(&format!("\"{name}\":")), "{name} has not struck: {told}");
    }
}

#[test]
fn throttling() {
    survives(&["throttle=0.2"], &[]);
}

#[test]
fn a_rate_limit() {
    survives(&["throttle.rate=5"], &[]);
}

#[test]
fn servers_errors() {
    survives(&["error=0.1"], &[]);
}

#[test]
fn latency() {
    survives(&["latency=0ms..30ms"], &[]);
}

#[test]
fn lost_replies() {
    survives(&["lost_reply=0.1"], &[]);
}

#[test]
fn a_lost_reply_to_every_submission() {
    survives(&["lost_reply=1", "lost_reply.operations=SubmitJob"], &["--concurrency", "4"]);
}

#[test]
fn lagging_summaries() {
    survives(&["summary_lag=100ms..1s"], &[]);
}

#[test]
fn lagging_listings() {
    survives(&["listing_lag=100ms..1s"], &[]);
}

#[test]
fn spot_losses() {
    survives(&["spot_loss=0.3", "spot_loss.after=0ms..5ms"], &[]);
}

#[test]
fn an_interruptible_queue_that_loses_every_host() {
    let own = ["--bucket", "batchmap", "--queue", "batchmap", "--interruptible-queue", "batchmap-interruptible"];
    let flags: Vec<&str> =
        own.into_iter().chain(["--region", "us-east-1", "--image", "none", "--interruptible"]).collect();
    survives(&["spot_loss=1", "spot_loss.spot_only=true"], &flags);
}

#[test]
fn images_that_cannot_be_pulled() {
    survives(&["image_pull=0.3"], &[]);
}

#[test]
fn slow_starts() {
    survives(&["slow_start=0ms..300ms", "slow_start.share=0.5"], &[]);
}

#[test]
fn everything_at_once() {
    let faults = [
        "throttle=0.1",
        "error=0.05",
        "latency=0ms..10ms",
        "lost_reply=0.05",
        "summary_lag=0ms..300ms",
        "spot_loss=0.13",
        "image_pull=0.13",
        "slow_start=0ms..100ms",
    ];
    survives(&faults, &[]);
}

/// A driver that is denied a call says which and stops; what was begun is there for the next one.
#[test]
fn denials() {
    // What was refused is known not to be there.
    let cases = [("DescribeJobs", "goes on running"), ("SubmitJob", "AWS Batch holds nothing of it")];
    for (operation, rest) in cases {
        let emulator = emulator(&["denied=1", &format!("denied.operations={operation}")]);
        let denied = run(&emulator, &[]).exits(4);
        let action = format!("batch:{operation}");
        denied.says(&[&action, "the execution is not over", rest, "batchmap resume"]);
        admin(&emulator, "DELETE");
        let place = Place::new();
        let mut resume = place.command(["resume"]);
        resume.env("AWS_ENDPOINT_URL", emulator.url());
        resume.env("AWS_ACCESS_KEY_ID", "any").env("AWS_SECRET_ACCESS_KEY", "any");
        let resumed = Ran::of(resume.output().unwrap()).exits(0);
        assert_eq!(resumed.out.trim(), RESULT, "{operation}\n{}", resumed.err);
    }
    let emulator = emulator(&["denied=1", "denied.operations=PutObject"]);
    run(&emulator, &[]).exits(4).says(&["s3:PutObject", "s3://batchmap/executions/"]);
}

/// The endpoint that the standard variable names has a queue for them, though nobody has configured it.
#[test]
fn interruptible_by_way_of_the_standard_variable() {
    let emulator = emulator(&["spot_loss=1", "spot_loss.spot_only=true"]);
    let ran = run(&emulator, &["--interruptible"]).exits(0);
    assert_eq!(ran.out.trim(), RESULT, "{}", ran.err);
    assert!(admin(&emulator, "GET").contains("\"spot_loss\":24"), "each is lost twice, and then started on demand");
}

#[test]
fn a_shortage_is_told_while_it_lasts_and_then_passes() {
    let (place, emulator) = (Place::new(), emulator(&["shortage=capacity"]));
    let mut command = place.command(["run", "--map", LIST, "--", "echo", "{{.inputs.x}}"]);
    command.env("AWS_ENDPOINT_URL", emulator.url());
    command.env("AWS_ACCESS_KEY_ID", "any").env("AWS_SECRET_ACCESS_KEY", "any");
    let mut driver = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(driver.stderr.take().unwrap()).lines().map_while(Result::ok);
    let told = said.find(|line| line.contains("CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"));
    assert!(told.is_some(), "the driver ended without a word of it");
    let answer = admin(&emulator, "DELETE");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // It goes on to speak while it works.
    let rest = std::thread::spawn(move || said.count());
    let ran = Ran::of(driver.wait_with_output().unwrap()).exits(0);
    assert_eq!(ran.out.trim(), RESULT);
    rest.join().unwrap();
}

/// One request to the path where faults are set.
fn admin(emulator: &Emulator, method: &str) -> String {
    let mut stream = TcpStream::connect(emulator.addr()).unwrap();
    write!(stream, "{method} /.batchmap/faults HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
