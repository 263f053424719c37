//! Requests of AWS's shape to the endpoint: bodies of its Batch operations with their paging tokens, and S3 bodies in the
//! aws-chunked encoding. Each is answered, and not with a failure of the server.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::change::changed;
use crate::emulator::{Emulator, Setting};
use crate::{cases, corpus};

/// For an answer, on however slow a machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn start() -> Emulator {
    Setting::default().args(["--runner", "none"]).start()
}

/// Sends one request and reads what comes back.
fn answer(emulator: &Emulator, head: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(emulator.addr()).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let head = format!("{head}\r\nhost: x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    // It may have had enough before it has read all.
    let _ = stream.write_all(&[head.as_bytes(), body].concat()).and_then(|()| stream.shutdown(Shutdown::Write));
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "no answer to {head}");
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn good(emulator: &Emulator, head: &str, body: &[u8]) -> bool {
    let answer = answer(emulator, head, body);
    assert!(answer.starts_with("HTTP/1.1 "), "{head} {:?}: {answer:?}", String::from_utf8_lossy(body));
    assert!(!answer.starts_with("HTTP/1.1 500"), "{head} {:?}: {answer}", String::from_utf8_lossy(body));
    answer.starts_with("HTTP/1.1 200")
}

/// A corpus file of this target: the request's path in the first line, then its body.
fn requests() -> Vec<(String, Vec<u8>)> {
    let files = corpus("request").into_iter().map(|(_, bytes)| {
        let end = bytes.iter().position(|byte| *byte == b'\n').expect("a first line");
        (format!("POST {} HTTP/1.1", String::from_utf8_lossy(&bytes[..end])), bytes[end + 1..].to_vec())
    });
    files.collect()
}

fn end(mut emulator: Emulator) {
    assert!(emulator.is_alive(), "{}", emulator.log());
    assert!(!emulator.log().contains("panicked"), "{}", emulator.log());
}

#[test]
fn no_request_breaks_the_endpoint() {
    let emulator = start();
    let taken = requests().iter().filter(|(head, body)| good(&emulator, head, body)).count();
    assert!(taken > 4, "most of the corpus is valid");
    let requests = requests();
    let any = (0..requests.len()).prop_flat_map(move |which| {
        let (head, body) = requests[which].clone();
        (Just(head), changed(vec![body]))
    });
    let tried = TestRunner::new(cases(800)).run(&any, |(head, body)| {
        good(&emulator, &head, &body);
        Ok(())
    });
    tried.unwrap_or_else(|error| panic!("{error}\n{}", emulator.log()));
    end(emulator);
}

/// Where a listing goes on is told in the query, which anybody may write.
#[test]
fn no_paging_token_breaks_a_listing() {
    let emulator = start();
    for key in ["a", "a/b", "a/c", "\u{e9}"] {
        let path = if key.is_ascii() { key } else { "%C3%A9" };
        assert!(good(&emulator, &format!("PUT /batchmap/{path} HTTP/1.1"), b"1"));
    }
    let listed = answer(&emulator, "GET /batchmap?list-type=2&max-keys=1 HTTP/1.1", b"");
    let token = listed.split("<NextContinuationToken>").nth(1).and_then(|rest| rest.split('<').next());
    let token = token.expect("there is more").as_bytes().to_vec();
    let value = changed(vec![token, b"a/b".to_vec(), b"1000".to_vec()]);
    let names = ["continuation-token", "start-after", "prefix", "delimiter", "max-keys", "encoding-type", "key-marker"];
    let query = prop::collection::vec((prop::sample::select(names.to_vec()), value), 1..4);
    let tried = TestRunner::new(cases(400)).run(&query, |query| {
        let encoded = |bytes: &[u8]| bytes.iter().map(|byte| format!("%{byte:02X}")).collect::<String>();
        let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        for kind in ["list-type=2", "uploads", "x=y"] {
            good(&emulator, &format!("GET /batchmap?{kind}&{} HTTP/1.1", query.join("&")), b"");
        }
        Ok(())
    });
    tried.unwrap_or_else(|error| panic!("{error}\n{}", emulator.log()));
    end(emulator);
}

#[test]
fn no_chunked_body_breaks_the_endpoint() {
    let emulator = start();
    let head = "PUT /batchmap/k HTTP/1.1\r\nx-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\r\n\
                content-encoding: aws-chunked\r\nx-amz-trailer: x-amz-checksum-crc32";
    let seeds = crate::seeds("chunked");
    assert!(seeds.iter().any(|body| good(&emulator, head, body)), "some of the corpus is valid");
    let tried = TestRunner::new(cases(400)).run(&changed(seeds), |body| {
        good(&emulator, head, &body);
        Ok(())
    });
    tried.unwrap_or_else(|error| panic!("{error}\n{}", emulator.log()));
    end(emulator);
}
