//! Ctrl-C, aborts and sudden deaths: what becomes of the children.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Child;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::place::{Place, Ran};

/// A child that says it is there, in a FIFO that it and its own child then hold open for ever.
const HOLD: &str = "exec 3> held; echo here >&3; sleep 1000 3>&3 & wait";

/// Starts three holding children and waits until all are there; answers with the FIFO, which ends when they have.
pub fn started(place: &Place) -> (Child, BufReader<File>) {
    let fifo = place.fifo("held");
    let driver = place.spawn(["run", "--map", "x=[1,2,3]", "--slots", "3", "--", "sh", "-c", HOLD]);
    let mut held = BufReader::new(open(&fifo));
    let mut line = String::new();
    for _ in 0..3 {
        line.clear();
        held.read_line(&mut line).unwrap();
        assert_eq!(line, "here\n");
    }
    (driver, held)
}

/// Opening a FIFO for reading waits for the first writer.
fn open(fifo: &Path) -> File {
    File::open(fifo).unwrap()
}

/// Returns once no process holds the FIFO open for writing.
pub fn until_gone(mut held: BufReader<File>) {
    let mut rest = Vec::new();
    held.read_to_end(&mut rest).unwrap();
}

pub fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id() as i32), signal).unwrap();
}

/// Waits until a line on the child's standard error holds `words`.
pub fn until_said(child: &mut Child, words: &str) -> String {
    let mut said = String::new();
    let mut err = BufReader::new(child.stderr.take().unwrap());
    loop {
        let mut line = String::new();
        assert_ne!(err.read_line(&mut line).unwrap(), 0, "{words:?} was not said:\n{said}");
        said.push_str(&line);
        if line.contains(words) {
            // The rest is still to come: it must be read, or the writer would block on a full pipe.
            std::thread::spawn(move || std::io::copy(&mut err, &mut std::io::sink()));
            return said;
        }
    }
}

#[test]
fn ctrl_c_once_stops_the_children_and_says_how_to_go_on() {
    let place = Place::new();
    let (driver, held) = started(&place);
    signal(&driver, Signal::SIGINT);
    let ran = Ran::of(driver.wait_with_output().unwrap()).exits(6);
    until_gone(held);
    let id = place.ids().remove(0);
    ran.says(&["its children on this machine are stopped", &format!("batchmap resume {id}")]);
    // Taken up, it can be ended: this time the children find no FIFO that anybody reads, and are aborted.
    place.run(["abort", &id]).exits(0).says(&["aborted"]);
    place.run(["wait", &id]).exits(3);
}

#[test]
fn ctrl_c_twice_aborts() {
    let place = Place::new();
    let (mut driver, held) = started(&place);
    signal(&driver, Signal::SIGINT);
    until_said(&mut driver, "press Ctrl-C again");
    signal(&driver, Signal::SIGINT);
    assert_eq!(driver.wait().unwrap().code(), Some(3));
    until_gone(held);
    place.run(["status"]).exits(0);
    place.run(["wait"]).exits(3);
}

#[test]
fn not_even_a_child_in_a_session_of_its_own_outlives_the_driver() {
    let place = Place::new();
    let fifo = place.fifo("held");
    let script = "exec 3> held; setsid sleep 1000 3>&3 & exec 3> held; echo here >&3; wait";
    let driver = place.spawn(["run", "--map", "x=[1]", "--", "sh", "-c", script]);
    let mut held = BufReader::new(open(&fifo));
    held.read_line(&mut String::new()).unwrap();
    signal(&driver, Signal::SIGKILL);
    driver.wait_with_output().unwrap();
    until_gone(held);
}

#[test]
fn a_driver_that_is_a_guest_says_what_becomes_of_its_children() {
    let place = Place::new();
    let (owner, held) = started(&place);
    let mut guest = place.spawn(["run", "--map", "x=[1]", "--", "true"]);
    until_said(&mut guest, "1 subtask");
    signal(&guest, Signal::SIGTERM);
    assert_eq!(guest.wait().unwrap().code(), Some(6));
    // The owner does not wait for anybody when it is told to stop.
    signal(&owner, Signal::SIGTERM);
    Ran::of(owner.wait_with_output().unwrap()).exits(6).says(&["are stopped"]);
    until_gone(held);
}

#[test]
fn no_child_outlives_a_driver_that_is_killed() {
    let place = Place::new();
    let (mut driver, held) = started(&place);
    signal(&driver, Signal::SIGKILL);
    driver.wait().unwrap();
    until_gone(held);
}

#[test]
fn an_execution_whose_driver_was_killed_is_resumed() {
    let place = Place::new();
    let fifo = place.fifo("held");
    let script = "if [ -e go ]; then echo $1; else exec 3> held; echo here >&3; sleep 1000; fi";
    let mut driver =
        place.spawn(["run", "--map", "x=[5,6]", "--slots", "2", "--", "sh", "-c", script, "sh", "{{.inputs.x}}"]);
    let mut held = BufReader::new(open(&fifo));
    held.read_line(&mut String::new()).unwrap();
    signal(&driver, Signal::SIGKILL);
    driver.wait().unwrap();
    until_gone(held);
    place.write("go", "");
    let ran = place.run(["resume"]).exits(0);
    assert_eq!(ran.json(), serde_json::json!(["5", "6"]));
}

#[test]
fn an_abort_from_another_terminal_reaches_every_child() {
    let place = Place::new();
    let (driver, held) = started(&place);
    let id = place.ids().remove(0);
    place.run(["abort", &id, "--reason", "wrong data"]).exits(0);
    until_gone(held);
    // The driver finds itself overtaken, and follows.
    Ran::of(driver.wait_with_output().unwrap()).exits(3).says(&["wrong data"]);
    place.run(["status", &id]).exits(0);
    place.run(["wait", &id]).exits(3).says(&["wrong data"]);
}

#[test]
fn a_driver_that_is_overtaken_prints_what_the_other_brings() {
    let place = Place::new();
    let fifo = place.fifo("held");
    let script = "exec 3> held; echo here >&3; until [ -e go ]; do sleep 0.1; done; echo done";
    let first = place.spawn(["run", "--map", "x=[1]", "--", "sh", "-c", script]);
    let mut held = BufReader::new(open(&fifo));
    held.read_line(&mut String::new()).unwrap();
    let mut second = place.spawn(["resume"]);
    until_said(&mut second, "1 subtask");
    // Both drive now; whoever writes the next record goes on, and the other one follows.
    place.write("go", "");
    let second = Ran::of(second.wait_with_output().unwrap()).exits(0);
    let first = Ran::of(first.wait_with_output().unwrap()).exits(0);
    assert_eq!((first.out.as_str(), second.out.as_str()), ("[\"done\"]\n", "[\"done\"]\n"));
}

#[test]
fn a_second_run_in_the_same_folder_uses_the_first_ones_endpoint() {
    let place = Place::new();
    let fifo = place.fifo("held");
    let script = "exec 3> held; echo here >&3; until [ -e go ]; do sleep 0.1; done; echo first";
    let first = place.spawn(["run", "--map", "x=[1]", "--slots", "2", "--", "sh", "-c", script]);
    let mut held = BufReader::new(open(&fifo));
    held.read_line(&mut String::new()).unwrap();
    let second = place
        .run(["run", "--map", "x=[1]", "--slots", "9", "--", "echo", "second"])
        .exits(0)
        .says(&["--slots is not used"]);
    assert_eq!(second.out, "[\"second\"]\n");
    assert_eq!(place.ids().len(), 2, "a reader sees both while the first still runs");
    place.write("go", "");
    let first = Ran::of(first.wait_with_output().unwrap()).exits(0);
    assert_eq!(first.out, "[\"first\"]\n");
}

#[test]
fn what_was_left_unfinished_does_not_run_again_until_it_is_resumed() {
    let place = Place::new();
    let fifo = place.fifo("held");
    place.write("starts", "");
    let script = "echo $1 >> starts; if [ -e go ]; then echo $1; else exec 3> held; echo here >&3; sleep 1000; fi";
    let driver =
        place.spawn(["run", "--map", "x=[1,2,3]", "--slots", "1", "--", "sh", "-c", script, "sh", "{{.inputs.x}}"]);
    let mut held = BufReader::new(open(&fifo));
    held.read_line(&mut String::new()).unwrap();
    signal(&driver, Signal::SIGTERM);
    Ran::of(driver.wait_with_output().unwrap()).exits(6);
    until_gone(held);
    let left = place.ids().remove(0);
    let ran = place.run(["run", "--map", "x=[9]", "--slots", "4", "--", "echo", "another"]).exits(0);
    assert_eq!(ran.out, "[\"another\"]\n");
    place.run(["status", &left]).exits(0);
    assert_eq!(place.read("starts"), "1\n");
    place.write("go", "");
    let ran = place.run(["resume", &left]).exits(0);
    assert_eq!(ran.json(), serde_json::json!(["1", "2", "3"]));
}
