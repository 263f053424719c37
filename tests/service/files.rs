//! Plain HTTP: uploads, health, metrics.

use batchmap::aws::store::Store;
use batchmap::idl::base64;
use batchmap::idl::service::{CreateDownloadLocationRequest, CreateUploadLocationRequest};
use md5::{Digest, Md5};
use tonic::Code;

use super::peer::{Peer, refused};
use super::world::World;

fn upload(body: &[u8]) -> CreateUploadLocationRequest {
    CreateUploadLocationRequest {
        project: "p".to_owned(),
        domain: "d".to_owned(),
        filename: "fast.tar.gz".to_owned(),
        content_md5: Md5::digest(body).to_vec(),
        add_content_md5_metadata: true,
        ..Default::default()
    }
}

fn put(path: &str, length: usize, more: &str) -> String {
    format!("PUT {path} HTTP/1.1\r\nContent-Length: {length}\r\n{more}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads() {
    let mut peer = Peer::start(World::new()).await;
    let body = vec![7_u8; 20 << 20];
    let location = peer.data.create_upload_location(upload(&body)).await.unwrap().into_inner();
    let base = format!("http://{}", peer.addr());
    let path = location.signed_url.strip_prefix(&base).unwrap().to_owned();
    let key = location.native_url.strip_prefix("s3://bucket/").unwrap().to_owned();
    let md5 = format!("Content-MD5: {}\r\n", base64::encode(&Md5::digest(&body)));

    // Cut off: half of what was announced.
    let (code, _) = {
        use tokio::io::AsyncWriteExt;
        let mut stream = tokio::net::TcpStream::connect(peer.addr()).await.unwrap();
        let head = format!("{}Host: x\r\n\r\n", put(&path, body.len(), &md5));
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body[..1000]).await.unwrap();
        drop(stream);
        (0, ())
    };
    assert_eq!(code, 0);
    let (code, text) = peer.http(&put(&path, 5, ""), b"other").await;
    assert_eq!(code, 400, "{}", String::from_utf8_lossy(&text));
    assert!(String::from_utf8_lossy(&text).contains("MD5"));
    let (code, _) = peer.http(&put(&path, body.len(), "Content-MD5: AAAAAAAAAAAAAAAAAAAAAA==\r\n"), &body).await;
    assert_eq!(code, 400);
    assert!(!peer.world.store.memory.objects().contains_key(&key), "nothing of all that is kept");

    let (code, text) = peer.http(&put(&path, body.len(), &md5), &body).await;
    assert_eq!(code, 200, "{}", String::from_utf8_lossy(&text));
    assert_eq!(peer.world.store.memory.get(&key).await.unwrap(), body);

    let forged = path.replace("fast.tar.gz", "slow.tar.gz");
    assert_eq!(peer.http(&put(&forged, body.len(), &md5), &body).await.0, 403);
    assert_eq!(peer.http(&format!("GET {path} HTTP/1.1\r\n"), b"").await.0, 405, "it is for writing");
    assert_eq!(peer.http(&put("/files/put/9/00/x", 1, ""), b"x").await.0, 403);
    peer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_address_is_given_for() {
    let mut peer = Peer::start(World::new()).await;
    let neither = CreateUploadLocationRequest { content_md5: Vec::new(), ..upload(b"") };
    refused(peer.data.create_upload_location(neither).await, Code::InvalidArgument, &["content_md5 and filename_root"]);
    let short = CreateUploadLocationRequest { content_md5: vec![1], ..upload(b"") };
    refused(peer.data.create_upload_location(short).await, Code::InvalidArgument, &["1 bytes"]);
    let nowhere = CreateUploadLocationRequest { project: String::new(), ..upload(b"") };
    refused(peer.data.create_upload_location(nowhere).await, Code::InvalidArgument, &["project is empty"]);
    let hostile = CreateUploadLocationRequest { filename: "../../../secret".to_owned(), ..upload(b"") };
    let location = peer.data.create_upload_location(hostile).await.unwrap().into_inner();
    assert!(location.native_url.starts_with("s3://bucket/flyte/uploads/p/d/"), "{}", location.native_url);
    assert!(!location.native_url.contains("/../"));
    for (native_url, words) in [("s3://other/k", "s3://bucket/"), ("s3://bucket/flyte/secret", "nobody's to read")] {
        let request = CreateDownloadLocationRequest { native_url: native_url.to_owned(), ..Default::default() };
        refused(peer.data.create_download_location(request).await, Code::InvalidArgument, &[words]);
    }
    peer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_and_metrics() {
    let peer = Peer::start(World::new()).await;
    for (path, code, words) in [
        ("/healthz", 200, "ok"),
        ("/readyz", 200, "ready"),
        ("/metrics", 200, "batchmap_executions_driven 0"),
        ("/nothing", 404, "nothing at /nothing"),
    ] {
        let (found, body) = peer.http(&format!("GET {path} HTTP/1.1\r\n"), b"").await;
        assert_eq!(found, code, "{path}");
        assert!(String::from_utf8_lossy(&body).contains(words), "{path}: {}", String::from_utf8_lossy(&body));
    }
    let request = batchmap::idl::admin::GetVersionRequest {};
    peer.admin.clone().get_version(request).await.unwrap();
    let (_, body) = peer.http("GET /metrics HTTP/1.1\r\n", b"").await;
    let body = String::from_utf8(body).unwrap();
    assert!(body.contains("batchmap_rpcs_total{method=\"GetVersion\",code=\"0\"} 1"), "{body}");
    peer.stop().await;
}

/// A page of a browser can send them without asking anybody: whatever can be read of their bodies must not be carried out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn web_pages_and_calls_that_are_not_grpc_change_nothing() {
    use prost::Message;
    let face = batchmap::service::Face { local: true, ..Default::default() };
    let peer = Peer::facing(World::new(), face).await;
    let task = super::world::single_task();
    let spec = batchmap::idl::admin::TaskSpec { template: Some(task.clone()), ..Default::default() };
    let message = batchmap::idl::admin::TaskCreateRequest { id: task.id, spec: Some(spec) }.encode_to_vec();
    let body = [&[0][..], &(message.len() as u32).to_be_bytes(), &message].concat();
    let call = "/flyteidl.service.AdminService/CreateTask";
    let head = |headers: &str| format!("POST {call} HTTP/1.1\r\nContent-Length: {}\r\n{headers}", body.len());
    for (headers, due) in [
        ("Content-Type: text/plain\r\n", 415),
        ("Content-Type: application/grpc\r\n", 415),
        ("Content-Type: text/plain\r\nOrigin: http://evil.example\r\n", 403),
    ] {
        let (code, said) = peer.http(&head(headers), &body).await;
        assert_eq!(code, due, "{headers}: {}", String::from_utf8_lossy(&said));
    }
    assert_eq!(peer.world.keys("entities/"), [""; 0]);
    // A page whose name was made to point here.
    let mut stream = tokio::net::TcpStream::connect(peer.addr()).await.unwrap();
    let mut answer = String::new();
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n").await.unwrap();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("Host is evil.example"), "{answer}");
    peer.stop().await;
}

/// Half of an upload, and then silence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_stalls_does_not_hold_the_server() {
    use tokio::io::AsyncWriteExt;
    let mut peer = Peer::start(World::new()).await;
    let location = peer.data.create_upload_location(upload(b"body")).await.unwrap().into_inner();
    let path = location.signed_url.strip_prefix(&format!("http://{}", peer.addr())).unwrap().to_owned();
    let mut stream = tokio::net::TcpStream::connect(peer.addr()).await.unwrap();
    stream.write_all(format!("{}Host: x\r\n\r\nbo", put(&path, 4, "")).as_bytes()).await.unwrap();
    let stopped = tokio::time::timeout(std::time::Duration::from_secs(60), peer.stop()).await;
    assert!(stopped.is_ok(), "it waits for ever");
    drop(stream);
}
