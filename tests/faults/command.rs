//! `batchmap emulator` as a command: what it refuses, what it says, simulated children.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::emulator::{Setting, aws_cli, succeeds};
use super::place::Place;

#[test]
fn what_is_wrong_with_the_flags_is_said_in_one_line() {
    let place = Place::new();
    place.write("bad.toml", "[throttle]\nshare = 3\n");
    place.write("broken.toml", "throttle = \n");
    place.write("script.toml", "distribution = \"normal\"\n");
    for (flags, words) in [
        (&["--fault", "throtle=1"][..], &["throtle", "did you mean \"throttle\"?"][..]),
        (&["--fault", "latency=5"], &["latency.time is 5", "2s"]),
        (&["--fault", "latency"], &["--fault is \"latency\"", "name=value"]),
        (&["--faults", "bad.toml"], &["bad.toml: throttle.share is 3", "0 to 1"]),
        (&["--faults", "broken.toml"], &["broken.toml", "not TOML"]),
        (&["--faults", "absent.toml"], &["--faults is absent.toml", "cannot be read"]),
        (&["--simulate", "mean=1s"], &["--simulate is mean=1s", "--runner none"]),
        (&["--runner", "none", "--simulate", "script.toml"], &["script.toml: distribution is \"normal\"", "known are"]),
        (&["--runner", "none", "--simulate", "men=1s"], &["men is \"1s\"", "did you mean \"mean\"?"]),
        (&["--runner", "kvm"], &["--runner", "process", "podman", "none"]),
        (&["--s3-endpoint", "localhost"], &["--s3-endpoint", "http://127.0.0.1:4566"]),
        (&["--s3-endpoint", "ftp://localhost/"], &["--s3-endpoint", "http://127.0.0.1:4566"]),
        (&["--slots", "0"], &["--slots", "1.."]),
        (&["--listen", "0.0.0.0:0"], &["--listen is 0.0.0.0:0", "--allow-remote", "commands"]),
        (&["--listen", "[::]:0"], &["--listen is [::]:0", "--allow-remote"]),
        (&["--listen", "localhost"], &["--listen", "127.0.0.1:0, for a free port"]),
    ] {
        let ran = place.run(["emulator"].iter().chain(flags)).exits(2).says(words);
        assert_eq!(ran.out, "", "{flags:?}");
    }
    assert!(!place.path(".batchmap-emulator").exists(), "nothing was made");
}

#[test]
fn an_address_or_directory_that_cannot_be_had_is_named() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ran = place.run(["emulator", "--listen", &address]).exits(2);
    ran.says(&[&format!("cannot listen on {address}"), "in use", "another port"]);
    place.run(["emulator", "--listen", "192.0.2.1:0", "--allow-remote"]).exits(2).says(&["192.0.2.1", "this machine"]);

    let emulator = Setting::default().data(&place.path("served")).start();
    let ran = place.run(["emulator", "--listen", "127.0.0.1:0", "--data", "served"]).exits(2);
    ran.says(&["another batchmap serves this directory, served", "give another directory"]);
    drop(emulator);

    place.write("file", "");
    let ran = place.run(["emulator", "--listen", "127.0.0.1:0", "--data", "file/below"]).exits(2);
    ran.says(&["cannot use the directory file/below"]);
}

#[test]
fn state_that_cannot_be_read_is_named_and_kept() {
    let place = Place::new();
    drop(Setting::default().data(&place.path("served")).start());
    let snapshot = place.path("served/batch/snapshot.json");
    assert!(snapshot.exists());
    std::fs::write(&snapshot, b"rubbish\n").unwrap();
    let ran = place.run(["emulator", "--listen", "127.0.0.1:0", "--data", "served"]).exits(5);
    let ran = ran.says(&["snapshot.json", "move the whole directory served/batch away"]);
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    assert_eq!(std::fs::read(snapshot).unwrap(), b"rubbish\n");
}

#[test]
fn what_a_remote_address_exposes_is_said() {
    let place = Place::new();
    // Bound to all addresses of this machine, for as long as this test runs.
    let mut emulator = place.spawn(["emulator", "--listen", "0.0.0.0:0", "--allow-remote", "--data", "served"]);
    let mut said = String::new();
    BufReader::new(emulator.stderr.take().unwrap()).read_line(&mut said).unwrap();
    kill(Pid::from_raw(emulator.id() as i32), Signal::SIGTERM).unwrap();
    emulator.wait().unwrap();
    for words in ["0.0.0.0:0", "no access check", "runs commands on this machine as you"] {
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn the_seed_is_told() {
    // What it has said is whole once it has ended.
    let ended = |setting: Setting, place: &Place| {
        let emulator = setting.data(&place.path("served")).start();
        let log = place.path("emulator.log");
        emulator.end(Signal::SIGTERM);
        std::fs::read_to_string(log).unwrap()
    };
    let place = Place::new();
    let log = ended(Setting::default().args(["--seed", "42", "--fault", "error=0.1"]), &place);
    assert!(log.lines().any(|line| line == "seed 42; faults are on"), "{log}");
    let log = ended(Setting::default(), &place);
    let drawn = log.lines().find_map(|line| line.strip_prefix("seed ")).unwrap_or_else(|| panic!("{log}"));
    assert!(drawn.parse::<u64>().is_ok(), "{drawn}");
}

#[test]
fn the_help_tells_of_every_fault_and_setting() {
    let place = Place::new();
    let help = place.run(["emulator", "--help"]).exits(0).out;
    for (name, _) in batchmap::emulator::faults::NAMES {
        assert!(help.contains(&format!("  {name}=")), "{name}");
    }
    for word in
        ["--allow-remote", "--simulate", "--seed", "lognormal", "failure_rate", "exit_codes", "/.batchmap/faults"]
    {
        assert!(help.contains(word), "{word}");
    }
}

#[test]
fn simulated_children_run_without_a_machine() {
    let Some(aws) = aws_cli() else {
        return super::skip::skipped("there is no aws CLI");
    };
    let flags = ["--runner", "none", "--seed", "7"];
    let script = ["distribution=exponential", "mean=20ms", "failure_rate=0.25", "exit_codes=3"];
    let script = script.iter().flat_map(|part| ["--simulate", part]);
    let emulator = Setting::default().args(flags).args(script).start();
    let run = |arguments: &[&str]| {
        let text = succeeds(emulator.client(&aws).arg("batch").args(arguments));
        serde_json::from_str::<Value>(&text).unwrap_or(Value::Null)
    };
    let container = r#"{"image":"i","command":["none"],"resourceRequirements":[{"type":"VCPU","value":"1"},{"type":"MEMORY","value":"4"}]}"#;
    run(&[
        "register-job-definition",
        "--job-definition-name",
        "d",
        "--type",
        "container",
        "--container-properties",
        container,
    ]);
    let job = run(&[
        "submit-job",
        "--job-name",
        "j",
        "--job-queue",
        "batchmap",
        "--job-definition",
        "d",
        "--array-properties",
        "size=200",
    ]);
    let id = job["jobId"].as_str().unwrap();
    let begun = std::time::Instant::now();
    let summary = loop {
        let told = run(&["describe-jobs", "--jobs", id]);
        let job = &told["jobs"][0];
        if job["status"] == "FAILED" {
            break job["arrayProperties"]["statusSummary"].clone();
        }
        assert!(begun.elapsed().as_secs() < 120, "{told}");
    };
    let failed = summary["FAILED"].as_u64().unwrap();
    assert!((30..=70).contains(&failed), "{summary}");
    assert_eq!(failed + summary["SUCCEEDED"].as_u64().unwrap(), 200);
    let child = run(&["list-jobs", "--array-job-id", id, "--job-status", "FAILED", "--max-items", "1"]);
    assert_eq!(child["jobSummaryList"][0]["container"]["exitCode"], 3);
}
