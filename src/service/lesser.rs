//! The lesser services: nobody signs in here yet, and nothing waits for a signal.

use tonic::{Request, Response, Status};

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

/// Their answers.
pub(super) struct Lesser;

#[tonic::async_trait]
impl AuthMetadataService for Lesser {
    async fn get_o_auth2_metadata(
        &self,
        _: Request<OAuth2MetadataRequest>,
    ) -> Result<Response<OAuth2MetadataResponse>, Status> {
        Err(status::unimplemented(NO_SIGN_IN))
    }

    async fn get_public_client_config(
        &self,
        _: Request<PublicClientAuthConfigRequest>,
    ) -> Result<Response<PublicClientAuthConfigResponse>, Status> {
        Err(status::unimplemented(NO_SIGN_IN))
    }
}

#[tonic::async_trait]
impl IdentityService for Lesser {
    async fn user_info(&self, _: Request<UserInfoRequest>) -> Result<Response<UserInfoResponse>, Status> {
        // Nobody has a name here.
        Ok(Response::new(UserInfoResponse::default()))
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
