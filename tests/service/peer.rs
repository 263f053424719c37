//! A service at work, and its clients.

use std::net::SocketAddr;
use std::sync::Arc;

use batchmap::idl::admin::{
    LaunchPlanCreateRequest, LaunchPlanSpec, TaskCreateRequest, TaskSpec, WorkflowCreateRequest, WorkflowSpec,
};
use batchmap::idl::core::{Identifier, ResourceType, TaskTemplate, WorkflowTemplate};
use batchmap::run::Ports;
use batchmap::run::flow::Host;
use batchmap::service::rpc::admin_service_client::AdminServiceClient;
use batchmap::service::rpc::data_proxy_service_client::DataProxyServiceClient;
use batchmap::service::server::{Serving, bind};
use batchmap::service::{Face, Service, rpc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::line::Line;
use super::world::{PATIENT, World, identifier, mapped_task, single_task, template};

pub type Admin = AdminServiceClient<Channel>;

/// As flytekit sets it.
pub const LARGEST_ANSWER: usize = 20 << 20;

pub struct Peer {
    pub world: World,
    pub admin: Admin,
    pub data: DataProxyServiceClient<Channel>,
    pub channel: Channel,
    /// What registrations are sent with.
    pub token: Option<String>,
    service: Service,
    serving: Serving,
}

impl Peer {
    pub async fn start(world: World) -> Peer {
        Peer::with_host(world, |host| host).await
    }

    /// On a host of its own making.
    pub async fn with_host(world: World, host: impl FnOnce(Host) -> Host) -> Peer {
        Peer::made(world, host, Face::default()).await
    }

    pub async fn facing(world: World, face: Face) -> Peer {
        Peer::made(world, |host| host, face).await
    }

    async fn made(world: World, host: impl FnOnce(Host) -> Host, face: Face) -> Peer {
        let service = Service::open(host(world.host("server", world.line(), PATIENT))).await.unwrap().facing(face);
        let bound = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let serving = bound.serve(service.router());
        let endpoint = Channel::from_shared(format!("http://{}", serving.addr())).unwrap();
        let channel = endpoint.connect().await.unwrap();
        Peer {
            world,
            admin: AdminServiceClient::new(channel.clone()).max_decoding_message_size(LARGEST_ANSWER),
            data: DataProxyServiceClient::new(channel.clone()),
            channel,
            token: None,
            service,
            serving,
        }
    }

    pub fn addr(&self) -> SocketAddr {
        self.serving.addr()
    }

    /// With the two tasks, the workflow and its launch plan registered.
    pub async fn with_workflow(world: World) -> Peer {
        Peer::start(world).await.registered().await
    }

    async fn registered(mut self) -> Peer {
        self.register().await;
        self
    }

    /// The same, and the line by which it reaches the bucket.
    pub async fn on_a_line(world: World) -> (Peer, Arc<Line>) {
        let line = world.line();
        let store = line.clone();
        let on_it = |host: Host| Host { ports: Ports { store, ..host.ports }, ..host };
        (Peer::with_host(world, on_it).await.registered().await, line)
    }

    /// Registers the two tasks, the workflow and its launch plan.
    pub async fn register(&mut self) {
        for task in [mapped_task(), single_task()] {
            self.task(task).await.unwrap();
        }
        self.workflow(template()).await.unwrap();
        self.plan("wf", LaunchPlanSpec::default()).await.unwrap();
    }

    fn signed<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        request
    }

    pub async fn task(&mut self, template: TaskTemplate) -> Result<(), Status> {
        let id = template.id.clone();
        let spec = TaskSpec { template: Some(template), ..Default::default() };
        let request = self.signed(TaskCreateRequest { id, spec: Some(spec) });
        self.admin.create_task(request).await.map(|_| ())
    }

    pub async fn workflow(&mut self, template: WorkflowTemplate) -> Result<(), Status> {
        let id = template.id.clone();
        let spec = WorkflowSpec { template: Some(template), ..Default::default() };
        let request = self.signed(WorkflowCreateRequest { id, spec: Some(spec) });
        self.admin.create_workflow(request).await.map(|_| ())
    }

    pub async fn plan(&mut self, name: &str, spec: LaunchPlanSpec) -> Result<(), Status> {
        let id = Some(plan_id(name));
        let spec = LaunchPlanSpec { workflow_id: Some(identifier(ResourceType::Workflow, "wf")), ..spec };
        let request = self.signed(LaunchPlanCreateRequest { id, spec: Some(spec) });
        self.admin.create_launch_plan(request).await.map(|_| ())
    }

    /// One request over plain HTTP: the answer's first line's code, and its body.
    pub async fn http(&self, head: &str, body: &[u8]) -> (u16, Vec<u8>) {
        http(self.addr(), head, body).await
    }

    pub async fn stop(self) {
        drop((self.admin, self.data, self.channel));
        self.service.stop().await;
        self.serving.stop().await.unwrap();
    }
}

pub async fn http(addr: SocketAddr, head: &str, body: &[u8]) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request = format!("{head}Host: {addr}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    // A server that refuses may close before all is sent.
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer");
    let code = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
    (code, answer[end + 4..].to_vec())
}

pub fn plan_id(name: &str) -> Identifier {
    identifier(ResourceType::LaunchPlan, name)
}

/// A refusal with this code, whose sentence holds all of these.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, words: &[&str]) {
    let status = answer.expect_err("it is refused");
    assert_eq!(status.code(), code, "{status:?}");
    for word in words {
        assert!(status.message().contains(word), "{:?} says nothing of {word:?}", status.message());
    }
}

/// The other services' clients.
pub fn signals(peer: &Peer) -> rpc::signal_service_client::SignalServiceClient<Channel> {
    rpc::signal_service_client::SignalServiceClient::new(peer.channel.clone())
}
