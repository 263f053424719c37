//! AdminService: each call handed to the part that answers it.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::auth::Caller;
use super::entities::Entities;
use super::executions::Executions;
use super::rpc::admin_service_server::AdminService;
use super::server::ServerUrl;
use crate::idl::admin::{self, Domain, GetDomainRequest, GetDomainsResponse, GetVersionRequest, GetVersionResponse};
use crate::idl::admin::{ProjectListRequest, Projects, Version};

/// The domains that every project has; any other name is taken as well.
const DOMAINS: [&str; 3] = ["development", "staging", "production"];

/// The service.
pub(super) struct Admin {
    pub(super) entities: Arc<Entities>,
    pub(super) executions: Arc<Executions>,
}

/// How the client of a request reaches this server.
pub(super) fn server_url<T>(request: &Request<T>) -> String {
    request.extensions().get::<ServerUrl>().map(|url| url.0.clone()).unwrap_or_default()
}

/// Who calls, where that is asked.
pub(super) fn caller<T>(request: &Request<T>) -> Option<String> {
    request.extensions().get::<Caller>().map(|caller| caller.0.clone())
}

fn domains() -> Vec<Domain> {
    DOMAINS.map(|name| Domain { id: name.to_owned(), name: name.to_owned() }).to_vec()
}

#[tonic::async_trait]
impl AdminService for Admin {
    async fn create_task(
        &self,
        request: Request<admin::TaskCreateRequest>,
    ) -> Result<Response<admin::TaskCreateResponse>, Status> {
        self.entities.create_task(request.into_inner()).await.map(Response::new)
    }

    async fn get_task(&self, request: Request<admin::ObjectGetRequest>) -> Result<Response<admin::Task>, Status> {
        self.entities.get_task(request.into_inner()).await.map(Response::new)
    }

    async fn list_tasks(
        &self,
        request: Request<admin::ResourceListRequest>,
    ) -> Result<Response<admin::TaskList>, Status> {
        self.entities.list_tasks(request.into_inner()).await.map(Response::new)
    }

    async fn create_workflow(
        &self,
        request: Request<admin::WorkflowCreateRequest>,
    ) -> Result<Response<admin::WorkflowCreateResponse>, Status> {
        self.entities.create_workflow(request.into_inner()).await.map(Response::new)
    }

    async fn get_workflow(
        &self,
        request: Request<admin::ObjectGetRequest>,
    ) -> Result<Response<admin::Workflow>, Status> {
        self.entities.get_workflow(request.into_inner()).await.map(Response::new)
    }

    async fn list_workflows(
        &self,
        request: Request<admin::ResourceListRequest>,
    ) -> Result<Response<admin::WorkflowList>, Status> {
        self.entities.list_workflows(request.into_inner()).await.map(Response::new)
    }

    async fn create_launch_plan(
        &self,
        request: Request<admin::LaunchPlanCreateRequest>,
    ) -> Result<Response<admin::LaunchPlanCreateResponse>, Status> {
        self.entities.create_launch_plan(request.into_inner()).await.map(Response::new)
    }

    async fn get_launch_plan(
        &self,
        request: Request<admin::ObjectGetRequest>,
    ) -> Result<Response<admin::LaunchPlan>, Status> {
        self.entities.get_launch_plan(request.into_inner()).await.map(Response::new)
    }

    async fn get_active_launch_plan(
        &self,
        request: Request<admin::ActiveLaunchPlanRequest>,
    ) -> Result<Response<admin::LaunchPlan>, Status> {
        self.entities.get_active_launch_plan(request.into_inner()).await.map(Response::new)
    }

    async fn list_active_launch_plans(
        &self,
        request: Request<admin::ActiveLaunchPlanListRequest>,
    ) -> Result<Response<admin::LaunchPlanList>, Status> {
        self.entities.list_active_launch_plans(request.into_inner()).await.map(Response::new)
    }

    async fn list_launch_plans(
        &self,
        request: Request<admin::ResourceListRequest>,
    ) -> Result<Response<admin::LaunchPlanList>, Status> {
        self.entities.list_launch_plans(request.into_inner()).await.map(Response::new)
    }

    async fn update_launch_plan(
        &self,
        request: Request<admin::LaunchPlanUpdateRequest>,
    ) -> Result<Response<admin::LaunchPlanUpdateResponse>, Status> {
        self.entities.update_launch_plan(request.into_inner()).await.map(Response::new)
    }

    async fn create_execution(
        &self,
        request: Request<admin::ExecutionCreateRequest>,
    ) -> Result<Response<admin::ExecutionCreateResponse>, Status> {
        let caller = caller(&request);
        self.executions.create_execution(request.into_inner(), caller).await.map(Response::new)
    }

    async fn relaunch_execution(
        &self,
        request: Request<admin::ExecutionRelaunchRequest>,
    ) -> Result<Response<admin::ExecutionCreateResponse>, Status> {
        let caller = caller(&request);
        self.executions.relaunch_execution(request.into_inner(), caller).await.map(Response::new)
    }

    async fn recover_execution(
        &self,
        request: Request<admin::ExecutionRecoverRequest>,
    ) -> Result<Response<admin::ExecutionCreateResponse>, Status> {
        let caller = caller(&request);
        self.executions.recover_execution(request.into_inner(), caller).await.map(Response::new)
    }

    async fn get_execution(
        &self,
        request: Request<admin::WorkflowExecutionGetRequest>,
    ) -> Result<Response<admin::Execution>, Status> {
        self.executions.get_execution(request.into_inner()).await.map(Response::new)
    }

    async fn get_execution_data(
        &self,
        request: Request<admin::WorkflowExecutionGetDataRequest>,
    ) -> Result<Response<admin::WorkflowExecutionGetDataResponse>, Status> {
        let server = server_url(&request);
        self.executions.get_execution_data(request.into_inner(), &server).await.map(Response::new)
    }

    async fn list_executions(
        &self,
        request: Request<admin::ResourceListRequest>,
    ) -> Result<Response<admin::ExecutionList>, Status> {
        self.executions.list_executions(request.into_inner()).await.map(Response::new)
    }

    async fn terminate_execution(
        &self,
        request: Request<admin::ExecutionTerminateRequest>,
    ) -> Result<Response<admin::ExecutionTerminateResponse>, Status> {
        let caller = caller(&request);
        self.executions.terminate_execution(request.into_inner(), caller).await.map(Response::new)
    }

    async fn get_node_execution(
        &self,
        request: Request<admin::NodeExecutionGetRequest>,
    ) -> Result<Response<admin::NodeExecution>, Status> {
        self.executions.get_node_execution(request.into_inner()).await.map(Response::new)
    }

    async fn list_node_executions(
        &self,
        request: Request<admin::NodeExecutionListRequest>,
    ) -> Result<Response<admin::NodeExecutionList>, Status> {
        self.executions.list_node_executions(request.into_inner()).await.map(Response::new)
    }

    async fn get_node_execution_data(
        &self,
        request: Request<admin::NodeExecutionGetDataRequest>,
    ) -> Result<Response<admin::NodeExecutionGetDataResponse>, Status> {
        let server = server_url(&request);
        self.executions.get_node_execution_data(request.into_inner(), &server).await.map(Response::new)
    }

    async fn get_task_execution(
        &self,
        request: Request<admin::TaskExecutionGetRequest>,
    ) -> Result<Response<admin::TaskExecution>, Status> {
        self.executions.get_task_execution(request.into_inner()).await.map(Response::new)
    }

    async fn list_task_executions(
        &self,
        request: Request<admin::TaskExecutionListRequest>,
    ) -> Result<Response<admin::TaskExecutionList>, Status> {
        self.executions.list_task_executions(request.into_inner()).await.map(Response::new)
    }

    async fn get_task_execution_data(
        &self,
        request: Request<admin::TaskExecutionGetDataRequest>,
    ) -> Result<Response<admin::TaskExecutionGetDataResponse>, Status> {
        let server = server_url(&request);
        self.executions.get_task_execution_data(request.into_inner(), &server).await.map(Response::new)
    }

    async fn list_projects(&self, request: Request<ProjectListRequest>) -> Result<Response<Projects>, Status> {
        self.entities.list_projects(request.into_inner(), domains()).await.map(Response::new)
    }

    async fn get_domains(&self, _: Request<GetDomainRequest>) -> Result<Response<GetDomainsResponse>, Status> {
        Ok(Response::new(GetDomainsResponse { domains: domains() }))
    }

    async fn get_version(&self, _: Request<GetVersionRequest>) -> Result<Response<GetVersionResponse>, Status> {
        let version = Version { version: env!("CARGO_PKG_VERSION").to_owned(), ..Default::default() };
        Ok(Response::new(GetVersionResponse { control_plane_version: Some(version) }))
    }
}
