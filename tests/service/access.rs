//! Who may call: tokens, those that clients exchange their secrets for, names of callers, and what is open to all.

use std::path::PathBuf;
use std::sync::Arc;

use batchmap::idl::admin::{
    ExecutionTerminateRequest, GetVersionRequest, WorkflowExecutionGetRequest, execution_closure,
};
use batchmap::idl::base64;
use batchmap::idl::service::{OAuth2MetadataRequest, PublicClientAuthConfigRequest, UserInfoRequest};
use batchmap::service::Face;
use batchmap::service::auth::{Kind, Roster, line};
use batchmap::service::rpc::auth_metadata_service_client::AuthMetadataServiceClient;
use batchmap::service::rpc::identity_service_client::IdentityServiceClient;
use serde_json::Value;
use tonic::{Code, Request};

use super::executions::{of, three};
use super::peer::{Peer, plan_id, refused};
use super::world::{World, eventually, id};

const TOKEN: &str = "a-token-of-ann";

struct Guarded {
    peer: Peer,
    _folder: tempfile::TempDir,
    file: PathBuf,
    roster: Arc<Roster>,
}

async fn guarded(open_metrics: bool) -> Guarded {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    let lines = [line(Kind::Token, "ann", TOKEN), line(Kind::Client, "ci", "secret of ci")];
    std::fs::write(&file, lines.join("\n")).unwrap();
    let roster = Arc::new(Roster::open(&file).unwrap());
    let face = Face { roster: Some(roster.clone()), open_metrics, ..Face::default() };
    Guarded { peer: Peer::facing(World::endless(), face).await, _folder: folder, file, roster }
}

/// A request with a token.
fn with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("flyte-authorization", format!("Bearer {token}").parse().unwrap());
    request
}

/// An answer of the token endpoint.
async fn exchange(peer: &Peer, credentials: &str, body: &str) -> (u16, Value) {
    let head = format!(
        "POST /oauth2/token HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n{credentials}Content-Length: \
         {}\r\n",
        body.len()
    );
    let (code, body) = peer.http(&head, body.as_bytes()).await;
    (code, serde_json::from_slice(&body).unwrap())
}

fn basic(pair: &str) -> String {
    format!("Authorization: Basic {}\r\n", base64::encode(pair.as_bytes()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_need_a_token_and_what_is_open_needs_none() {
    let guarded = guarded(false).await;
    let peer = &guarded.peer;
    let mut admin = peer.admin.clone();
    let version = GetVersionRequest {};
    refused(admin.get_version(version).await, Code::Unauthenticated, &["asks for a token", "admin.authType"]);
    refused(admin.get_version(with("wrong", version)).await, Code::Unauthenticated, &["none of this server's"]);
    admin.get_version(with(TOKEN, version)).await.unwrap();

    let mut metadata = AuthMetadataServiceClient::new(peer.channel.clone());
    let config = metadata.get_public_client_config(PublicClientAuthConfigRequest {}).await.unwrap().into_inner();
    assert_eq!(config.authorization_metadata_key, "flyte-authorization");
    let told = metadata.get_o_auth2_metadata(OAuth2MetadataRequest {}).await.unwrap().into_inner();
    assert_eq!(told.token_endpoint, format!("http://{}/oauth2/token", peer.addr()));

    for (path, headers, code) in [
        ("/healthz", String::new(), 200),
        ("/readyz", String::new(), 200),
        ("/metrics", String::new(), 401),
        ("/metrics", format!("Authorization: Bearer {TOKEN}\r\n"), 200),
        ("/metrics", basic(&format!("ann:{TOKEN}")), 200),
        ("/metrics", basic(&format!("bob:{TOKEN}")), 401),
        ("/console/projects/p/domains/d/executions/none", String::new(), 401),
        ("/console/projects/p/domains/d/executions/none", basic("ci:secret of ci"), 404),
        ("/nothing", String::new(), 401),
        // It carries a proof of its own, and this one is forged.
        ("/files/get/9/00/x", String::new(), 403),
    ] {
        let (found, _) = peer.http(&format!("GET {path} HTTP/1.1\r\n{headers}"), b"").await;
        assert_eq!(found, code, "{path} {headers}");
    }
    drop((admin, metadata));
    guarded.peer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_exchange_their_secrets_and_lose_what_is_taken_back() {
    let guarded = guarded(true).await;
    let peer = &guarded.peer;
    assert_eq!(peer.http("GET /metrics HTTP/1.1\r\n", b"").await.0, 200, "as it was said");
    let wanted = "grant_type=client_credentials&scope=";
    // As flytekit sends it, escaped; and in the form.
    let (code, given) = exchange(peer, &basic("ci:secret+of+ci"), wanted).await;
    assert_eq!((code, &given["token_type"], &given["expires_in"]), (200, &"Bearer".into(), &3600.into()), "{given}");
    let posted = format!("{wanted}&client_id=ci&client_secret=secret%20of%20ci");
    assert_eq!(exchange(peer, "", &posted).await.0, 200);
    for (credentials, body, code, error) in [
        (basic("ci:wrong"), wanted, 401, "invalid_client"),
        (basic(&format!("ann:{TOKEN}")), wanted, 401, "invalid_client"),
        (String::new(), wanted, 401, "invalid_client"),
        (basic("ci:secret of ci"), "grant_type=password", 400, "unsupported_grant_type"),
        (basic("ci:secret of ci"), "a b", 400, "invalid_request"),
    ] {
        let (found, said) = exchange(peer, &credentials, body).await;
        assert_eq!((found, said["error"].as_str()), (code, Some(error)), "{said}");
    }
    let token = given["access_token"].as_str().unwrap();
    let mut identity = IdentityServiceClient::new(peer.channel.clone());
    let who = identity.user_info(with(token, UserInfoRequest {})).await.unwrap().into_inner();
    assert_eq!((who.subject.as_str(), who.name.as_str()), ("ci", "ci"));

    std::fs::write(&guarded.file, line(Kind::Client, "ci", "another secret")).unwrap();
    guarded.roster.reload().unwrap();
    let mut admin = peer.admin.clone();
    for token in [token, TOKEN] {
        let answer = admin.get_version(with(token, GetVersionRequest {})).await;
        refused(answer, Code::Unauthenticated, &["taken back"]);
    }
    drop((identity, admin));
    guarded.peer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn executions_say_who_has_begun_and_ended_them() {
    let guarded = guarded(false).await;
    let mut peer = guarded.peer;
    peer.token = Some(TOKEN.to_owned());
    peer.register().await;
    let mut request = of("e", plan_id("wf"), three());
    // What a client says of itself is worth nothing here.
    let metadata = batchmap::idl::admin::ExecutionMetadata { principal: "root".to_owned(), ..Default::default() };
    request.spec.as_mut().unwrap().metadata = Some(metadata);
    peer.admin.create_execution(with(TOKEN, request)).await.unwrap();
    let (_, given) = exchange(&peer, &basic("ci:secret of ci"), "grant_type=client_credentials").await;
    let token = given["access_token"].as_str().unwrap();
    let request = ExecutionTerminateRequest { id: Some(id("e")), cause: "<b>enough</b>".to_owned() };
    peer.admin.terminate_execution(with(token, request)).await.unwrap();
    let get = || with(TOKEN, WorkflowExecutionGetRequest { id: Some(id("e")) });
    let admin = peer.admin.clone();
    eventually("its end", async || {
        let execution = admin.clone().get_execution(get()).await.unwrap().into_inner();
        execution.closure.unwrap().output_result.is_some()
    })
    .await;
    let execution = peer.admin.get_execution(get()).await.unwrap().into_inner();
    assert_eq!(execution.spec.unwrap().metadata.unwrap().principal, "ann");
    match execution.closure.unwrap().output_result {
        Some(execution_closure::OutputResult::AbortMetadata(abort)) => assert_eq!(abort.principal, "ci"),
        other => panic!("{other:?}"),
    }
    // The page that flytekit prints the address of, as a browser asks for it.
    let path = "/console/projects/p/domains/d/executions/e";
    let (code, page) = peer.http(&format!("GET {path} HTTP/1.1\r\n{}", basic(&format!("ann:{TOKEN}"))), b"").await;
    let page = String::from_utf8(page).unwrap();
    assert_eq!(code, 200, "{page}");
    for words in ["ABORTED", "<td>ann", "terminated by ci: &lt;b&gt;enough&lt;/b&gt;", "n0"] {
        assert!(page.contains(words), "{words} should be in {page}");
    }
    drop(admin);
    peer.stop().await;
}
