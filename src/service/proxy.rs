//! DataProxyService: where clients put files, and what addresses of values stand for.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::admin::server_url;
use super::data::Data;
use super::executions::Executions;
use super::rpc::data_proxy_service_server::DataProxyService;
use crate::idl::service::{
    CreateDownloadLinkRequest, CreateDownloadLinkResponse, CreateDownloadLocationRequest,
    CreateDownloadLocationResponse, CreateUploadLocationRequest, CreateUploadLocationResponse, GetDataRequest,
    GetDataResponse,
};

/// The service.
pub(super) struct Proxy {
    pub(super) data: Arc<Data>,
    pub(super) executions: Arc<Executions>,
}

#[tonic::async_trait]
impl DataProxyService for Proxy {
    async fn create_upload_location(
        &self,
        request: Request<CreateUploadLocationRequest>,
    ) -> Result<Response<CreateUploadLocationResponse>, Status> {
        let server = server_url(&request);
        self.data.upload_location(request.get_ref(), &server).await.map(Response::new)
    }

    async fn create_download_location(
        &self,
        request: Request<CreateDownloadLocationRequest>,
    ) -> Result<Response<CreateDownloadLocationResponse>, Status> {
        let server = server_url(&request);
        self.data.download_location(request.get_ref(), &server).map(Response::new)
    }

    async fn create_download_link(
        &self,
        request: Request<CreateDownloadLinkRequest>,
    ) -> Result<Response<CreateDownloadLinkResponse>, Status> {
        let server = server_url(&request);
        self.executions.create_download_link(request.into_inner(), &server).await.map(Response::new)
    }

    async fn get_data(&self, request: Request<GetDataRequest>) -> Result<Response<GetDataResponse>, Status> {
        let server = server_url(&request);
        self.executions.get_data(request.into_inner(), &server).await.map(Response::new)
    }
}
