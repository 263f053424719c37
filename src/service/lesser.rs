//! The lesser services: how clients get tokens, who they are, and signals, for which nothing waits.

use tonic::{Request, Response, Status};

use super::admin::{caller, server_url};
use super::auth::{HEADER, TOKEN_PATH};
use super::rpc::auth_metadata_service_server::AuthMetadataService;
use super::rpc::identity_service_server::IdentityService;
use super::rpc::signal_service_server::SignalService;
use super::status;
use crate::idl::admin::{
    Signal, SignalGetOrCreateRequest, SignalList, SignalListRequest, SignalSetRequest, SignalSetResponse,
};
use crate::idl::service::{
    OAuth2MetadataRequest, OAuth2MetadataResponse, PublicClientAuthConfigRequest, PublicClientAuthConfigResponse,
    UserInfoRequest, UserInfoResponse,
};

const NO_SIGN_IN: &str = "this server asks nobody to sign in: leave admin.authType out of the client's configuration";

/// Where flytekit's browser sign-in, which it begins when no authType is set, listens for the browser. We have none to
/// offer, and it would wait for ever: what stands for the port is no port, and flytekit fails with these words instead.
const NO_BROWSER: &str =
    "http://localhost:this server has no sign-in by browser, set admin.authType to ClientSecret or ExternalCommand";

/// Their answers.
pub(super) struct Lesser {
    /// Whether callers have to sign in.
    pub(super) signed_in: bool,
}

#[tonic::async_trait]
impl AuthMetadataService for Lesser {
    async fn get_o_auth2_metadata(
        &self,
        request: Request<OAuth2MetadataRequest>,
    ) -> Result<Response<OAuth2MetadataResponse>, Status> {
        if !self.signed_in {
            return Err(status::unimplemented(NO_SIGN_IN));
        }
        let server = server_url(&request);
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Ok(Response::new(OAuth2MetadataResponse {
            token_endpoint: format!("{server}{TOKEN_PATH}"),
            issuer: server,
            token_endpoint_auth_methods_supported: owned(&["client_secret_basic", "client_secret_post"]),
            grant_types_supported: owned(&["client_credentials"]),
            ..Default::default()
        }))
    }

    async fn get_public_client_config(
        &self,
        request: Request<PublicClientAuthConfigRequest>,
    ) -> Result<Response<PublicClientAuthConfigResponse>, Status> {
        if !self.signed_in {
            return Err(status::unimplemented(NO_SIGN_IN));
        }
        Ok(Response::new(PublicClientAuthConfigResponse {
            redirect_uri: NO_BROWSER.to_owned(),
            authorization_metadata_key: HEADER.to_owned(),
            service_http_endpoint: server_url(&request),
            ..Default::default()
        }))
    }
}

#[tonic::async_trait]
impl IdentityService for Lesser {
    async fn user_info(&self, request: Request<UserInfoRequest>) -> Result<Response<UserInfoResponse>, Status> {
        // Where nobody signs in, nobody has a name.
        let name = caller(&request).unwrap_or_default();
        Ok(Response::new(UserInfoResponse {
            subject: name.clone(),
            preferred_username: name.clone(),
            name,
            ..Default::default()
        }))
    }
}

#[tonic::async_trait]
impl SignalService for Lesser {
    async fn get_or_create_signal(&self, _: Request<SignalGetOrCreateRequest>) -> Result<Response<Signal>, Status> {
        Err(status::unimplemented("batchmap runs no gate nodes, so there are no signals"))
    }

    async fn list_signals(&self, _: Request<SignalListRequest>) -> Result<Response<SignalList>, Status> {
        Ok(Response::new(SignalList::default()))
    }

    async fn set_signal(&self, _: Request<SignalSetRequest>) -> Result<Response<SignalSetResponse>, Status> {
        Err(status::unimplemented("batchmap runs no gate nodes, so no signal is waited for"))
    }
}
