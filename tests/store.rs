//! The object store's port on the embedded endpoint: what is particular to it. What every store must do is in
//! `conformance/`.

#[path = "support/embedded.rs"]
mod embedded;
#[path = "support/lossy.rs"]
mod lossy;
#[path = "support/skip.rs"]
mod skip;
mod support;

use batchmap::aws::sdk::{Target, connect};
use batchmap::aws::store::StoreError;
use batchmap::emulator::server::Endpoint;
use bytes::Bytes;
use embedded::Embedded;
use skip::skipped;
use support::{BUCKET, clients, config};

#[tokio::test]
async fn every_request_is_counted() {
    let embedded = Embedded::start().await;
    let clients = embedded.clients().await;
    clients.store.put("a", Bytes::from_static(b"x")).await.expect("put");
    clients.store.put_new("a", Bytes::from_static(b"x")).await.expect_err("taken");
    clients.store.get("a").await.expect("get");
    clients.store.get_range("a", 0..0).await.expect("nothing");
    clients.store.list("", None).await.expect("list");
    let counts: Vec<_> = clients.counts.snapshot().into_iter().collect();
    assert_eq!(counts, [("GetObject", 1), ("ListObjectsV2", 1), ("PutObject", 2)]);
    embedded.stop().await;
}

#[tokio::test]
async fn errors_name_the_operation_the_object_and_the_cause() {
    let embedded = Embedded::start().await;
    let target = Target { endpoint: Some(embedded.endpoint.url()), bucket: "no-such".into(), ..Target::default() };
    let error = connect(&target).await.store.get("key").await.expect_err("no bucket");
    assert!(matches!(&error, StoreError::Refused { code, .. } if code == "NoSuchBucket"), "{error}");
    let text = error.to_string();
    assert!(text.contains("GetObject") && text.contains("s3://no-such/key"), "{text}");
    let unused = Endpoint::bind(([127, 0, 0, 1], 0).into()).await.expect("a port").url();
    let error = clients(&unused).await.store.get("key").await.expect_err("nobody listens");
    assert!(matches!(error, StoreError::Unreachable { operation: "GetObject", .. }), "{error}");
    embedded.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_whose_completion_is_not_heard_of_has_succeeded() {
    let embedded = Embedded::start().await;
    let (url, _network) = lossy::lose_answer(embedded.endpoint.addr(), "<CompleteMultipartUpload").await;
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.as_file().set_len(17 * 1024 * 1024).expect("room");
    let clients = clients(&url).await;
    clients.store.upload("large", file.path()).await.expect("upload");
    assert_eq!((clients.counts.of("CompleteMultipartUpload"), clients.counts.of("AbortMultipartUpload")), (2, 0));
    assert_eq!(clients.store.get_range("large", 17 * 1024 * 1024 - 1..17 * 1024 * 1024).await.expect("get").len(), 1);
    embedded.stop().await;
}

#[tokio::test]
async fn a_creation_whose_answer_is_lost_finds_its_own_object() {
    let embedded = Embedded::start().await;
    let (url, _network) = lossy::lose_answer(embedded.endpoint.addr(), "PUT /batchmap/new").await;
    let store = clients(&url).await.store;
    let error = store.put_new("new", Bytes::from_static(b"mine")).await.expect_err("taken, by ourselves");
    assert!(matches!(error, StoreError::AlreadyExists { .. }), "{error}");
    assert_eq!(store.get("new").await.expect("get"), "mine");
    embedded.stop().await;
}

/// The part of the next test that runs in an environment of its own.
#[tokio::test]
#[ignore = "run by the_environment_names_the_endpoint"]
async fn as_the_environment_says() {
    let clients = connect(&Target { bucket: BUCKET.to_owned(), ..Target::default() }).await;
    assert_eq!(clients.region.as_deref(), Some("eu-west-3"));
    clients.store.put("from the environment", Bytes::from_static(b"x")).await.expect("put");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_environment_names_the_endpoint() {
    for variable in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"] {
        let embedded = Embedded::start().await;
        // By name, not by address: the SDK would make the bucket a part of it if it were not told otherwise.
        let url = format!("http://localhost:{}", embedded.endpoint.addr().port());
        let mut command = std::process::Command::new(std::env::current_exe().expect("this test"));
        command.args(["--exact", "as_the_environment_says", "--ignored"]).env_clear().env(variable, url);
        command.env("HOME", embedded.directory.path()).env("AWS_REGION", "eu-west-3");
        command.env("AWS_ACCESS_KEY_ID", "any").env("AWS_SECRET_ACCESS_KEY", "thing");
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("it runs");
        assert!(output.status.success(), "{variable}: {}", String::from_utf8_lossy(&output.stdout));
        assert_eq!(embedded.clients().await.store.get("from the environment").await.expect("get"), "x");
        embedded.stop().await;
    }
}

/// PUTs `body` by hand, as a client that knows nothing of S3 does, and answers the status.
async fn put_by_hand(url: &str, headers: &[(String, String)], body: &[u8]) -> u16 {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (host, path) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).expect("a plain address");
    let mut request = format!("PUT /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    let mut connection = tokio::net::TcpStream::connect(host).await.expect("somebody listens");
    connection.write_all(request.as_bytes()).await.expect("sent");
    connection.write_all(body).await.expect("sent");
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await.expect("an answer");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
}

/// Writes an object through an address that the store has signed; `strict` where the store holds the body against it,
/// which moto does not.
async fn presigned(target: &Target, strict: bool) {
    // MD5 of "hello".
    let md5 = [0x5d, 0x41, 0x40, 0x2a, 0xbc, 0x4b, 0x2a, 0x76, 0xb9, 0x71, 0x9d, 0x91, 0x10, 0x17, 0xc5, 0x92];
    const DIGEST: &str = "XUFAKrxLKna5cZ2REBfFkg==";
    let store = connect(target).await.store;
    let key = format!("presigned-{}/a+b (1).tar.gz", std::process::id());
    let metadata = [("flyteContentMD5", DIGEST.to_owned())];
    let life = std::time::Duration::from_secs(600);
    let signed = store.presign_put(&key, &md5, &metadata, life).await.expect("signed").expect("S3 has addresses");
    let query = signed.url.split_once('?').expect("the signature is in the query").1.to_ascii_lowercase();
    for part in ["x-amz-signedheaders=content-md5%3bhost%3bx-amz-meta-flytecontentmd5&", "x-amz-expires=600&"] {
        assert!(format!("{query}&").contains(part), "{part} in {query}");
    }
    let mut headers: Vec<(String, String)> = signed.headers.into_iter().collect();
    headers.sort();
    let named: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(named, [("content-md5", DIGEST), ("x-amz-meta-flytecontentmd5", DIGEST)]);
    if strict {
        assert_eq!(put_by_hand(&signed.url, &headers, b"hallo").await, 400, "another body");
        store.get(&key).await.expect_err("nothing was written");
    }
    assert_eq!(put_by_hand(&signed.url, &headers, b"hello").await, 200);
    assert_eq!(store.get(&key).await.expect("get"), "hello");
    store.delete_many(&[key]).await.expect("delete");
}

#[tokio::test]
async fn a_presigned_address_takes_the_body_that_it_was_made_for() {
    let embedded = Embedded::start().await;
    let endpoint = Some(embedded.endpoint.url());
    presigned(&Target { endpoint, bucket: BUCKET.to_owned(), ..Target::default() }, true).await;
    embedded.stop().await;
}

#[tokio::test]
async fn a_presigned_address_of_another_endpoint() {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    match (variable("BATCHMAP_TEST_S3_ENDPOINT"), variable("BATCHMAP_TEST_S3_BUCKET")) {
        (Some(endpoint), Some(bucket)) if endpoint.starts_with("http://") => {
            presigned(&Target { endpoint: Some(endpoint), bucket, ..Target::default() }, false).await;
        }
        _ => skipped("BATCHMAP_TEST_S3_ENDPOINT and BATCHMAP_TEST_S3_BUCKET name no other endpoint over http"),
    }
}

#[tokio::test]
async fn objects_outlive_the_endpoint_and_a_reader_sees_but_does_not_touch_them() {
    let embedded = Embedded::start().await;
    let store = embedded.clients().await.store;
    for i in 0..50 {
        store.put(&format!("k/{i:02}"), Bytes::from(vec![b'x'; i])).await.expect("put");
    }
    let before = store.list("k/", None).await.expect("list");
    embedded.endpoint.stop().await;

    let reader = Endpoint::start(config(embedded.directory.path(), true)).await.expect("a reader starts");
    let store = clients(&reader.url()).await.store;
    assert_eq!(store.list("k/", None).await.expect("list"), before);
    assert_eq!(store.get("k/49").await.expect("get").len(), 49);
    let error = store.put("k/50", Bytes::new()).await.expect_err("read only");
    assert!(error.to_string().contains("AccessDenied") && error.to_string().contains("s3:PutObject"), "{error}");
    reader.stop().await;
}

#[tokio::test]
async fn requests_of_other_services_go_to_the_router() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let describe = axum::routing::post(|| async { r#"{"jobs":[]}"# });
    let batch = axum::Router::new().route("/v1/describejobs", describe);
    let mut config = config(directory.path(), false);
    config.batch = Some(batch);
    let endpoint = Endpoint::start(config).await.expect("the endpoint starts");
    let clients = clients(&endpoint.url()).await;
    assert_eq!(clients.batch.describe(&["j".to_owned()]).await.expect("describe"), []);
    assert!(clients.batch.terminate("j", "why").await.is_err(), "the router has no such path");
    // A bucket and key that look like a path of Batch are S3's all the same.
    let v1 = connect(&Target { endpoint: Some(endpoint.url()), bucket: "v1".into(), ..Target::default() }).await;
    let error = v1.store.put("describejobs", Bytes::new()).await.expect_err("no such bucket");
    assert!(error.to_string().contains("Bucket"), "{error}");
    endpoint.stop().await;
}

#[tokio::test]
async fn a_stopped_endpoint_answers_what_it_has_begun_and_takes_no_more() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (begun, has_begun) = tokio::sync::oneshot::channel::<()>();
    let (go, may_go) = tokio::sync::oneshot::channel::<()>();
    let both = std::sync::Arc::new(std::sync::Mutex::new(Some((begun, may_go))));
    let slow = axum::routing::post(move || async move {
        let taken = both.lock().expect("one request").take();
        if let Some((begun, may_go)) = taken {
            let _ = begun.send(());
            let _ = may_go.await;
        }
        r#"{"jobs":[]}"#
    });
    let mut config = config(directory.path(), false);
    config.batch = Some(axum::Router::new().route("/v1/describejobs", slow));
    let endpoint = Endpoint::start(config).await.expect("the endpoint starts");
    let (url, addr) = (endpoint.url(), endpoint.addr());
    let request = tokio::spawn(async move { clients(&url).await.batch.describe(&["j".to_owned()]).await });
    has_begun.await.expect("the request arrives");
    let stop = tokio::spawn(endpoint.stop());
    go.send(()).expect("the request waits");
    assert_eq!(request.await.expect("no panic").expect("an answer"), []);
    stop.await.expect("no panic");
    assert!(tokio::net::TcpStream::connect(addr).await.is_err());
}

/// boto3 as a second client: other encodings, other operations.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn boto3_finds_what_it_expects() {
    let python = |script: &str, url: &str| {
        let mut command = std::process::Command::new("python3");
        command.args(["-c", script, url, BUCKET]).output()
    };
    if !python("import boto3", "").is_ok_and(|output| output.status.success()) {
        skipped("python3 with boto3 is not installed");
        return;
    }
    let embedded = Embedded::start().await;
    let url = embedded.endpoint.url();
    let script = include_str!("support/boto3_s3.py");
    let output =
        tokio::task::spawn_blocking(move || python(script, &url)).await.expect("no panic").expect("python3 runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    embedded.stop().await;
}
