//! `batchmap serve` and `batchmap token` as a command: what it refuses to begin with, and how it ends.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::Child;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::place::Place;

/// A server in `place`, and its address.
fn start(place: &Place, more: &[&str]) -> (Child, String) {
    let args = [&["serve", "--local", "--listen", "127.0.0.1:0"], more].concat();
    let mut server = place.spawn(args);
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (server, line.trim().to_owned())
}

fn ended(server: &mut Child) -> i32 {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        if let Some(status) = server.try_wait().unwrap() {
            return status.code().unwrap_or(-1);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    server.kill().unwrap();
    panic!("it does not end");
}

/// The lines of its standard error, as they come.
fn said(server: &mut Child) -> Receiver<String> {
    let (send, lines) = channel();
    let reader = BufReader::new(server.stderr.take().unwrap());
    std::thread::spawn(move || reader.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
    lines
}

/// Waits for a line with these words.
#[track_caller]
fn hears(lines: &Receiver<String>, words: &str) {
    let mut heard = Vec::new();
    loop {
        match lines.recv_timeout(Duration::from_secs(60)) {
            Ok(line) if line.contains(words) => return,
            Ok(line) => heard.push(line),
            Err(_) => panic!("{words:?} is not said: {heard:?}"),
        }
    }
}

#[test]
fn what_it_cannot_serve_with_is_told_before_anything_is_begun() {
    let place = Place::new();
    place.write("tokens", "token ann hunter2\n");
    place.write("c.toml", "[serve]\ntls_crt = 'x'\n");
    for (args, words) in [
        (vec!["--listen", "0.0.0.0:0"], vec!["--listen is on 0.0.0.0", "--tokens-file", "--allow-unauthenticated"]),
        (vec!["--tls-cert", "none.pem", "--tls-key", "k"], vec!["--tls-cert is none.pem: cannot be read"]),
        (vec!["--tls-cert", "none.pem"], vec!["give --tls-key too"]),
        (vec!["--tokens-file", "tokens"], vec!["--tokens-file is tokens: line 1", "never write the secret itself"]),
        (vec!["--config", "c.toml"], vec!["c.toml: serve.tls_crt: unknown field"]),
    ] {
        let ran = place.run([&["serve", "--local"], args.as_slice()].concat()).exits(2).says(&words);
        assert!(ran.out.is_empty() && !ran.err.contains("hunter2"), "{}", ran.err);
    }
    assert!(!place.path(".batchmap").exists());
    for (args, words) in
        [(["token", "a:b", "--file", "t"], "':'"), (["token", "ann", "--file", "none/t"], "--file is none/t")]
    {
        place.run(args).exits(2).says(&[words]);
    }
}

#[test]
fn one_serves_a_folder_and_a_client_that_stalls_does_not_keep_it() {
    let place = Place::new();
    let (mut server, address) = start(&place, &[]);
    let pid = format!("process {}", server.id());
    place.run(["serve", "--local", "--listen", "127.0.0.1:0"]).exits(2).says(&[&pid, "in another folder"]);
    // Half of a request, and then silence.
    let mut stalled = TcpStream::connect(&address).unwrap();
    stalled.write_all(b"GET /healthz HTTP/1.1\r\nHo").unwrap();
    kill(Pid::from_raw(server.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(ended(&mut server), 0);
    drop(stalled);
}

#[test]
fn a_token_is_printed_once_and_its_digest_kept() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    place.write("tokens", "# mine");
    let secret = place.run(["token", "ann", "--file", "tokens"]).exits(0).out;
    let other = place.run(["token", "ci", "--client", "--file", "new"]).exits(0).out;
    let (old, new) = (place.read("tokens"), place.read("new"));
    assert!(old.starts_with("# mine\ntoken ann sha256:") && new.starts_with("client ci sha256:"), "{old}{new}");
    assert!(!old.contains(secret.trim()) && secret.trim().len() == 64 && secret != other);
    let mode = std::fs::metadata(place.path("new")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
    // Others may read the first: that is said, and it serves.
    let (mut server, _) = start(&place, &["--tokens-file", "tokens"]);
    let said = said(&mut server);
    hears(&said, "chmod 600");
    for (text, words) in [("# nobody", "read again: 0 lines"), ("rubbish", "line 1"), (&old, "read again: 1 lines")] {
        place.write("tokens", text);
        kill(Pid::from_raw(server.id().cast_signed()), Signal::SIGHUP).unwrap();
        hears(&said, words);
    }
    kill(Pid::from_raw(server.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(ended(&mut server), 0);
}
