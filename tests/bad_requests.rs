//! What no good client sends: the endpoint answers it, or ends the connection, and goes on serving others.

#[path = "support/emulator.rs"]
mod emulator;
mod support;

use std::time::Duration;

use batchmap::emulator::s3;
use batchmap::emulator::server::{Endpoint, Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than any answer takes, and short enough to notice that none comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends bytes as they are, says that nothing follows, and reads all that comes back.
async fn raw(addr: std::net::SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).await.expect("it listens");
    // The endpoint may have had enough before it has read all.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    all(&mut stream).await
}

async fn all(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // An end by reset is an end too.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an answer or an end");
    String::from_utf8_lossy(&answer).into_owned()
}

fn request(head: &str, body: &str) -> Vec<u8> {
    format!("{head} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
        .into_bytes()
}

async fn works(addr: std::net::SocketAddr) {
    let put = raw(addr, &request("PUT /batchmap/alive", "yes")).await;
    assert!(put.starts_with("HTTP/1.1 200"), "{put}");
    assert!(raw(addr, &request("GET /batchmap/alive", "")).await.ends_with("yes"));
    let list = raw(addr, &request("POST /v1/listjobs", "{\"jobQueue\":\"batchmap\"}")).await;
    assert!(list.starts_with("HTTP/1.1 200"), "{list}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_requests_are_answered_in_the_form_of_their_service() {
    let emulator = emulator::Emulator::start();
    let addr = emulator.addr();
    let signed = |service: &str| {
        format!(
            "authorization: AWS4-HMAC-SHA256 Credential=a/20261122/us-east-1/{service}/aws4_request, Signature=0\r\n"
        )
    };
    let post = |headers: &str, body: &str| {
        let length = body.len();
        format!("POST / HTTP/1.1\r\nhost: x\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}")
    };
    let signed_batch = |head: &str| {
        let headers = signed("batch");
        format!("{head} HTTP/1.1\r\nhost: x\r\n{headers}connection: close\r\n\r\n").into_bytes()
    };
    let form = "content-type: application/x-www-form-urlencoded\r\n";
    let json = "x-amz-target: DynamoDB_20120810.ListTables\r\n";
    let large = "x".repeat(2 << 20);
    let cases: Vec<(Vec<u8>, u16, &str)> = vec![
        (request("POST /v1/submitjob", "{"), 400, "\"message\""),
        (request("POST /v1/submitjob", "[]"), 400, "\"message\""),
        (request("POST /v1/submitjob", "{\"jobName\": 7}"), 400, "\"message\""),
        (request("POST /v1/submitjob", "\u{0}"), 400, "\"message\""),
        (request("POST /v1/nonsense", "{}"), 404, "nonsense"),
        (signed_batch("POST /v1/%FF"), 400, "x-amzn-errortype: ClientException"),
        (signed_batch("GET /v1/tags/%FF%FE"), 400, "x-amzn-errortype: ClientException"),
        (signed_batch("DELETE /v1/tags/%FF?tagKeys=a"), 400, "\"message\""),
        (request("POST /batchmap?delete", "<Delete><Object>"), 400, "<Code>MalformedXML</Code>"),
        (request("POST /batchmap?delete", "{}"), 400, "<Code>MalformedXML</Code>"),
        (request("PUT /batchmap?acl", ""), 501, "<Code>NotImplemented</Code>"),
        (request("GET /batchmap/%ff", ""), 400, "<Code>InvalidURI</Code>"),
        (request("GET /batchmap/a?versionId=x", ""), 404, "<Error>"),
        (request("GET /BAD_bucket!/a", ""), 400, "<Code>InvalidBucketName</Code>"),
        (request(&format!("PUT /batchmap/{}", "k".repeat(1025)), ""), 400, "<Code>KeyTooLongError</Code>"),
        (request("BREW /batchmap/pot", ""), 501, "<Code>NotImplemented</Code>"),
        (post("x-amz-target: Logs_20140328.GetLogEvents\r\n", "{").into_bytes(), 400, "SerializationException"),
        (post("x-amz-target: Logs_20140328.Nonsense\r\n", "{}").into_bytes(), 400, "UnknownOperationException"),
        (post(json, "{}").into_bytes(), 501, "\"__type\":\"NotImplemented\""),
        (post(&(signed("ec2") + form), "Action=DescribeVpcs").into_bytes(), 501, "<Response><Errors><Error>"),
        (post(&(signed("iam") + form), "Action=GetUser").into_bytes(), 501, "iam is not served here"),
        (post(&(signed("sts") + form), "Action=AssumeRole").into_bytes(), 400, "<Code>InvalidAction</Code>"),
        (
            post(&(signed("sts") + form), "Action=GetCallerIdentity").into_bytes(),
            200,
            "<Account>000000000000</Account>",
        ),
        (request("POST /v1/submitjob", &format!("{{\"jobName\":\"{large}\"}}")), 400, "\"message\""),
    ];
    for (bytes, status, said) in cases {
        let answer = raw(addr, &bytes).await;
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(120)]).into_owned();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{shown}: {answer}");
        assert!(answer.contains(said), "{shown}: {answer}");
    }
    works(addr).await;
    drop(emulator);
}

/// A page in a browser on this machine can send such requests without asking: they would run commands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn web_pages_are_kept_out() {
    let emulator = emulator::Emulator::start();
    let addr = emulator.addr();
    let body = r#"{"jobDefinitionName":"d","type":"container","containerProperties":{"image":"i","command":["true"],"vcpus":1,"memory":4}}"#;
    let ask = |head: &str, host: &str, more: &str| {
        let length = body.len();
        format!(
            "{head} HTTP/1.1\r\nhost: {host}\r\n{more}content-type: text/plain\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n{body}"
        )
    };
    let origin = "origin: http://evil.example\r\n";
    let register = "POST /v1/registerjobdefinition";
    for (head, host, more) in [
        (register, "127.0.0.1:1", origin),
        (register, "evil.example", ""),
        ("POST /.batchmap/faults/lose-hosts", "127.0.0.1:1", origin),
        ("GET /.batchmap", "evil.example", ""),
        ("GET /batchmap", "evil.example", ""),
    ] {
        let answer = raw(addr, ask(head, host, more).as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{head} {host} {more}: {answer}");
    }
    let list = raw(addr, &request("POST /v1/describejobdefinitions", "{}")).await;
    assert!(list.ends_with("{\"jobDefinitions\":[]}"), "{list}");
    let answer = raw(addr, ask(register, "127.0.0.1:1", "").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_http_ends_its_connection_only() {
    let emulator = emulator::Emulator::start();
    let addr = emulator.addr();
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\0\0\0\0",
        b"GET\r\n\r\n",
        b"\r\n\r\n\r\n",
        b"HELO x\r\n",
    ] {
        let answer = raw(addr, bytes).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    let many: String = (0..2000).map(|n| format!("x-{n}: y\r\n")).collect();
    let long = format!("x-long: {}\r\n", "y".repeat(1 << 20));
    for headers in [many, long] {
        let answer = raw(addr, format!("GET /batchmap/a HTTP/1.1\r\nhost: x\r\n{headers}\r\n").as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    let twice = b"PUT /batchmap/smuggled HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!";
    assert!(raw(addr, twice).await.starts_with("HTTP/1.1 400"));
    works(addr).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_cut_is_no_object() {
    let emulator = emulator::Emulator::start();
    let addr = emulator.addr();
    let whole = "y".repeat(3 << 20);
    let cut = |headers: &str, sent: &str| format!("PUT /batchmap/cut HTTP/1.1\r\nhost: x\r\n{headers}\r\n{sent}");
    let chunked = "transfer-encoding: chunked\r\n";
    let aws = "x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\r\nx-amz-decoded-content-length: 5\r\n";
    let sent = [
        cut("content-length: 100\r\n", "not a hundred"),
        cut("content-length: 9000000\r\n", &whole),
        cut(chunked, "5\r\nhello\r\n"),
        cut(chunked, "5\r\nhel"),
        cut(&format!("{aws}content-length: 10\r\n"), "5\r\nhello\r\n"),
        cut(&format!("{aws}content-length: 9\r\n"), "3\r\nhel\r\n0"),
        cut(&format!("{aws}content-length: 14\r\n"), "4\r\nhell\r\n0\r\n\r\n"),
    ];
    for sent in sent {
        let answer = raw(addr, sent.as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
        let found = raw(addr, &request("HEAD /batchmap/cut", "")).await;
        assert!(found.starts_with("HTTP/1.1 404"), "{found}");
    }
    let left = std::fs::read_dir(emulator.data().join("s3/batchmap/tmp")).expect("a directory").count();
    assert_eq!(left, 0, "what was begun is removed");
    works(addr).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_requests_are_answered_in_turn() {
    let emulator = emulator::Emulator::start();
    let mut stream = TcpStream::connect(emulator.addr()).await.expect("it listens");
    let mut requests = String::new();
    for n in 0..100 {
        let body = format!("body {n};");
        requests += &format!("PUT /batchmap/{n} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        requests += &format!("GET /batchmap/{n} HTTP/1.1\r\nhost: x\r\n\r\n");
    }
    stream.write_all(requests.as_bytes()).await.expect("sent");
    stream.shutdown().await.expect("half closed");
    let answers = all(&mut stream).await;
    let bodies: Vec<usize> = (0..100).map(|n| answers.find(&format!("body {n};")).expect("each answer")).collect();
    assert!(bodies.is_sorted(), "{bodies:?}");
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 200);
}

/// S3 alone, with limits that a test can wait for.
async fn limited(limits: Limits) -> (Endpoint, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let buckets = vec![support::BUCKET.to_owned()];
    let config = s3::Config { root: directory.path().join("s3"), durable: false, read_only: false, buckets };
    let bound = Endpoint::bind(([127, 0, 0, 1], 0).into()).await.expect("a port");
    (bound.limited(limits).serve(s3::Service::open(config).expect("a store"), None), directory)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_are_let_go() {
    let short = Duration::from_millis(200);
    let limits = Limits { head: short, body: short, ..Limits::default() };
    let (endpoint, _directory) = limited(limits).await;
    let begun: [&[u8]; 4] = [
        b"",
        b"GET /batchmap/a HTT",
        b"GET /batchmap/a HTTP/1.1\r\nhost: x\r\n\r\n",
        b"PUT /batchmap/slow HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf",
    ];
    for bytes in begun {
        let mut stream = TcpStream::connect(endpoint.addr()).await.expect("it listens");
        stream.write_all(bytes).await.expect("sent");
        // Neither ended nor continued by this side: the other side ends it.
        let answer = all(&mut stream).await;
        if bytes.starts_with(b"PUT") {
            assert!(answer.contains("<Code>RequestTimeout</Code>"), "{answer}");
        }
    }
    let store = support::clients(&endpoint.url()).await.store;
    assert!(matches!(store.get("slow").await, Err(batchmap::aws::store::StoreError::NotFound { .. })));
    endpoint.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_do_not_keep_others_out() {
    let (endpoint, _directory) = limited(Limits { connections: 16, ..Limits::default() }).await;
    let mut idle = Vec::new();
    for n in 0..200 {
        let mut stream = TcpStream::connect(endpoint.addr()).await.expect("it listens");
        if n % 3 == 0 {
            stream.write_all(b"GET /batch").await.expect("sent");
        }
        idle.push(stream);
    }
    let store = support::clients(&endpoint.url()).await.store;
    store.put("through", bytes::Bytes::from_static(b"x")).await.expect("put");
    assert_eq!(store.get("through").await.expect("get"), "x");
    // The first have been ended for the later ones.
    all(&mut idle[0]).await;
    endpoint.stop().await;
}
