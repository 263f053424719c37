//! Every RPC with requests that are none, or hostile: the right code and a sentence, never UNKNOWN, and the server lives on.

use std::path::Path;
use std::sync::Arc;

use batchmap::idl::admin::{
    ExecutionCreateRequest, GetVersionRequest, NodeExecutionListRequest, ResourceListRequest, TaskCreateRequest,
    TaskSpec, WorkflowExecutionGetRequest,
};
use batchmap::idl::core::{LiteralMap, NodeExecutionIdentifier};
use batchmap::idl::service::{CreateUploadLocationRequest, GetDataRequest};
use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Request, Status};

use super::peer::{Peer, refused};
use super::world::{World, id, single_task};

/// Messages as they are on the wire.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// Every method that our protos declare, as its path.
fn methods() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/flyteidl/service");
    let mut methods = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let mut service = "";
        for line in text.lines().map(str::trim) {
            if let Some(rest) = line.strip_prefix("service ") {
                service = rest.split([' ', '{']).next().unwrap();
            } else if let Some(rest) = line.strip_prefix("rpc ") {
                let method = rest.split([' ', '(']).next().unwrap();
                methods.push(format!("/flyteidl.service.{service}/{method}"));
            }
        }
    }
    methods.sort();
    methods
}

async fn call(peer: &Peer, path: &str, body: Bytes) -> Result<Bytes, Status> {
    let mut grpc = tonic::client::Grpc::new(peer.channel.clone()).max_decoding_message_size(64 << 20);
    grpc.ready().await.unwrap();
    let answer = grpc.unary(Request::new(body), path.parse().unwrap(), Raw).await?;
    Ok(answer.into_inner())
}

#[track_caller]
fn proper(what: &str, answer: Result<Bytes, Status>) {
    let Err(status) = answer else { return };
    let message = status.message();
    assert_ne!(status.code(), Code::Unknown, "{what}: {status:?}");
    assert!(message.len() > 10 && message.contains(' '), "{what} is refused without a sentence: {status:?}");
    assert_ne!(status.code(), Code::Internal, "{what}: {status:?}");
}

/// One field that holds bytes.
fn field(number: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![number << 3 | 2];
    prost::encoding::encode_varint(body.len() as u64, &mut message);
    message.extend(body);
    message
}

/// A message of texts and messages alike, `depth` deep: whatever a field is, it is read as that.
fn soup(depth: u32, text: &str) -> Vec<u8> {
    let inner = if depth == 0 { text.as_bytes().to_vec() } else { soup(depth - 1, text) };
    (1..=4).flat_map(|number| field(number, &inner)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_rpc_answers_unknown_whatever_it_is_sent() {
    let mut peer = Peer::with_workflow(World::new()).await;
    let mut deep = Vec::new();
    for _ in 0..200 {
        deep = field(1, &deep);
    }
    let bodies = [
        ("nothing", Vec::new()),
        ("no message", vec![0xff; 64]),
        ("a length beyond the end", vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        ("a message that breaks off", vec![0x0a, 0x10, 0x0a]),
        ("a deep one", deep),
        ("texts", soup(0, "../..")),
        ("control characters", soup(0, "\0\n\u{202e}")),
        ("messages", soup(1, "x")),
        ("messages of messages", soup(2, "")),
        ("numbers", [[0x08, 0x7f], [0x10, 0x7f], [0x18, 0x7f], [0x20, 0x7f]].concat()),
        ("a large text", field(1, "x".repeat(100 << 10).as_bytes())),
    ];
    let methods = methods();
    assert!(methods.len() >= 35, "{methods:?}");
    for path in &methods {
        for (what, body) in &bodies {
            proper(&format!("{path} with {what}"), call(&peer, path, Bytes::from(body.clone())).await);
        }
    }
    for path in ["/flyteidl.service.AdminService/", "/x", "/flyteidl.service.AdminService/GetTask/x"] {
        let answer = call(&peer, path, Bytes::new()).await;
        assert_eq!(answer.as_ref().unwrap_err().code(), Code::Unimplemented, "{path}");
        proper(path, answer);
    }
    peer.admin.get_version(GetVersionRequest {}).await.unwrap();
    assert!(peer.world.keys("").iter().all(|key| !key.contains("..") && key.starts_with("flyte/")));
    peer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_names_are_refused_or_are_nobodys() {
    let mut peer = Peer::with_workflow(World::new()).await;
    let long = "x".repeat(5000);
    for name in ["..", "../../secret", "a/b", "\0", "%2e%2e", "a\nb", "{{.input}}", "$(id)", "\u{202e}", &long] {
        let named = |name: &str| batchmap::idl::core::WorkflowExecutionIdentifier {
            project: name.to_owned(),
            domain: name.to_owned(),
            name: name.to_owned(),
            ..Default::default()
        };
        let admin = "/flyteidl.service.AdminService/";
        let (execution, node) = (Some(named(name)), name.to_owned());
        let node_id = NodeExecutionIdentifier { node_id: node.clone(), execution_id: Some(id("e")) };
        let list = ResourceListRequest {
            id: Some(batchmap::idl::admin::NamedEntityIdentifier {
                project: name.to_owned(),
                domain: name.to_owned(),
                name: name.to_owned(),
                ..Default::default()
            }),
            limit: u32::MAX,
            token: name.to_owned(),
            filters: name.to_owned(),
            ..Default::default()
        };
        let requests = [
            ("GetExecution", WorkflowExecutionGetRequest { id: execution.clone() }.encode_to_vec()),
            ("GetExecutionData", WorkflowExecutionGetRequest { id: execution.clone() }.encode_to_vec()),
            ("TerminateExecution", WorkflowExecutionGetRequest { id: execution.clone() }.encode_to_vec()),
            ("RelaunchExecution", WorkflowExecutionGetRequest { id: execution.clone() }.encode_to_vec()),
            ("RecoverExecution", WorkflowExecutionGetRequest { id: execution.clone() }.encode_to_vec()),
            ("GetNodeExecution", field(1, &node_id.encode_to_vec())),
            ("GetNodeExecutionData", field(1, &node_id.encode_to_vec())),
            (
                "ListNodeExecutions",
                NodeExecutionListRequest {
                    workflow_execution_id: execution,
                    unique_parent_id: node,
                    limit: u32::MAX,
                    ..Default::default()
                }
                .encode_to_vec(),
            ),
            ("ListExecutions", list.encode_to_vec()),
            ("ListTasks", list.encode_to_vec()),
            ("ListWorkflows", list.encode_to_vec()),
            ("ListLaunchPlans", list.encode_to_vec()),
            (
                "CreateExecution",
                ExecutionCreateRequest {
                    name: name.to_owned(),
                    inputs: Some(LiteralMap::default()),
                    ..Default::default()
                }
                .encode_to_vec(),
            ),
        ];
        for (method, body) in requests {
            let answer = call(&peer, &format!("{admin}{method}"), Bytes::from(body)).await;
            assert!(answer.is_err() || method.starts_with("List"), "{method} with {name:?}");
            proper(&format!("{method} with {name:?}"), answer);
        }
        let proxy = "/flyteidl.service.DataProxyService/";
        let url = GetDataRequest { flyte_url: format!("flyte://v1/p/d/{name}/n0/o") };
        proper(name, call(&peer, &format!("{proxy}GetData"), Bytes::from(url.encode_to_vec())).await);
        let upload = CreateUploadLocationRequest {
            project: name.to_owned(),
            domain: "d".to_owned(),
            filename: name.to_owned(),
            filename_root: name.to_owned(),
            ..Default::default()
        };
        let answer = call(&peer, &format!("{proxy}CreateUploadLocation"), Bytes::from(upload.encode_to_vec())).await;
        proper(name, answer);
    }
    peer.admin.get_version(GetVersionRequest {}).await.unwrap();
    peer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_breaks_takes_nothing_with_it() {
    let world = World::new();
    let broken = |host| batchmap::run::flow::Host { definitions: Arc::new(|_| panic!("a fault of ours")), ..host };
    let mut peer = Peer::with_host(world, broken).await;
    let task = || {
        let spec = TaskSpec { template: Some(single_task()), ..Default::default() };
        TaskCreateRequest { id: single_task().id, spec: Some(spec) }
    };
    for _ in 0..3 {
        refused(peer.admin.create_task(task()).await, Code::Internal, &["a fault of its own"]);
    }
    peer.admin.get_version(GetVersionRequest {}).await.unwrap();
    let (code, body) = peer.http("GET /metrics HTTP/1.1\r\n", b"").await;
    let text = String::from_utf8(body).unwrap();
    assert_eq!(code, 200);
    assert!(text.contains("batchmap_rpcs_total{method=\"CreateTask\",code=\"13\"} 3\n"), "{text}");
    peer.stop().await;
}
