//! Launch plans. One version of each name may be active; the mark that says which is the only thing here that changes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tonic::Status;

use super::{Entities, misplaced};
use crate::aws::store::StoreError;
use crate::idl::admin::{
    ActiveLaunchPlanListRequest, ActiveLaunchPlanRequest, LaunchPlan, LaunchPlanClosure, LaunchPlanCreateRequest,
    LaunchPlanCreateResponse, LaunchPlanList, LaunchPlanSpec, LaunchPlanState, LaunchPlanUpdateRequest,
    LaunchPlanUpdateResponse, NamedEntityIdentifier, ObjectGetRequest, ResourceListRequest,
};
use crate::idl::core::{Identifier, TypedInterface};
use crate::idl::record::Registered;
use crate::idl::record::registered::Spec;
use crate::map::flyte::{self, expected};
use crate::map::layout::flyte::{Kind, unescape};
use crate::service::registry::filter::{self, Filter};
use crate::service::registry::list::every;
use crate::service::registry::page::Page;
use crate::service::registry::{identified, shown};
use crate::service::status;

impl Entities {
    /// CreateLaunchPlan.
    ///
    /// # Errors
    /// INVALID_ARGUMENT when its workflow is not registered, or its inputs are not the workflow's.
    pub async fn create_launch_plan(
        &self,
        request: LaunchPlanCreateRequest,
    ) -> Result<LaunchPlanCreateResponse, Status> {
        let id = identified(Kind::LaunchPlan, request.id)?;
        let spec = request.spec.ok_or_else(|| status::invalid("spec is missing: give the launch plan"))?;
        flyte::check_launch_plan(&spec).map_err(|faults| status::faults(&faults))?;
        let interface = self.interface(&spec).await?;
        let known = interface.inputs.unwrap_or_default().variables;
        let defaults = spec.default_inputs.iter().flat_map(|inputs| inputs.parameters.keys());
        let fixed = spec.fixed_inputs.iter().flat_map(|inputs| inputs.literals.keys());
        if let Some(unknown) = defaults.chain(fixed).find(|name| !known.contains_key(*name)) {
            let names: Vec<&str> = known.keys().map(String::as_str).collect();
            return Err(status::invalid(format!(
                "input {unknown} of launch plan {} is none of its workflow's: there are {}",
                shown(&id),
                names.join(", ")
            )));
        }
        let entity = Registered { id: Some(id), spec: Some(Spec::LaunchPlan(spec)), ..Default::default() };
        self.registry.put(Kind::LaunchPlan, entity).await?;
        Ok(LaunchPlanCreateResponse {})
    }

    /// GetLaunchPlan.
    ///
    /// # Errors
    /// NOT_FOUND when it is not registered.
    pub async fn get_launch_plan(&self, request: ObjectGetRequest) -> Result<LaunchPlan, Status> {
        let id = identified(Kind::LaunchPlan, request.id)?;
        let entity = self.registry.get(Kind::LaunchPlan, &id).await?;
        let active = self.active_version(&id.project, &id.domain, &id.name).await?;
        self.launch_plan(&entity, active.as_deref()).await
    }

    /// ListLaunchPlans.
    ///
    /// # Errors
    /// INVALID_ARGUMENT when the request cannot be understood.
    pub async fn list_launch_plans(&self, request: ResourceListRequest) -> Result<LaunchPlanList, Status> {
        let filter = Filter::parse(&request.filters, &["name", "version", "project", "domain", "state"])?;
        let actives: Mutex<BTreeMap<String, Option<String>>> = Mutex::default();
        let (filter, actives) = (&filter, &actives);
        let told = |entity: Arc<Registered>| async move {
            let id = entity.id.clone().unwrap_or_default();
            let known = locked(actives).get(&id.name).cloned();
            let active = match known {
                Some(active) => active,
                None => self.active_version(&id.project, &id.domain, &id.name).await?,
            };
            locked(actives).entry(id.name).or_insert_with(|| active.clone());
            // The state is not in the keys, so each is read.
            let state = if active.as_ref() == Some(&id.version) { "1" } else { "0" };
            if !filter.admits(|field| (field == "state").then_some(state)) {
                return Ok(None);
            }
            self.launch_plan(&entity, active.as_deref()).await.map(Some)
        };
        let (launch_plans, token) = self.registry.list(Kind::LaunchPlan, &request, told).await?;
        Ok(LaunchPlanList { launch_plans, token })
    }

    /// GetActiveLaunchPlan.
    ///
    /// # Errors
    /// NOT_FOUND when no version is active, which clients take for a reason to look for the newest.
    pub async fn get_active_launch_plan(&self, request: ActiveLaunchPlanRequest) -> Result<LaunchPlan, Status> {
        let id = request.id.ok_or_else(|| status::invalid("id is missing: give project, domain and name"))?;
        match self.active_version(&id.project, &id.domain, &id.name).await? {
            Some(version) => {
                let id =
                    Identifier { project: id.project, domain: id.domain, name: id.name, version, ..Default::default() };
                self.get_launch_plan(ObjectGetRequest { id: Some(id) }).await
            }
            None => Err(status::not_found(format!("no version of launch plan {} is active", id.name))),
        }
    }

    /// ListActiveLaunchPlans.
    ///
    /// # Errors
    /// INVALID_ARGUMENT when the request cannot be understood.
    pub async fn list_active_launch_plans(
        &self,
        request: ActiveLaunchPlanListRequest,
    ) -> Result<LaunchPlanList, Status> {
        filter::order(request.sort_by.as_ref())?;
        let page = Page::asked(request.limit, &request.token)?;
        let prefix = self.registry.root().actives(&request.project, &request.domain);
        let marks = every(self.registry.store().as_ref(), &prefix).await?;
        let names = marks.iter().filter_map(|mark| unescape(mark.key.strip_prefix(&prefix)?));
        let mut names: Vec<String> = names.collect();
        names.sort();
        let (project, domain) = (&request.project, &request.domain);
        let read = |name: String| async move {
            let (project, domain) = (project.clone(), domain.clone());
            let id = NamedEntityIdentifier { project, domain, name, ..Default::default() };
            match self.get_active_launch_plan(ActiveLaunchPlanRequest { id: Some(id) }).await {
                Ok(plan) => Ok(Some(plan)),
                // Made inactive in between.
                Err(error) if error.code() == tonic::Code::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        };
        let (launch_plans, token) = page.read(names, read).await?;
        Ok(LaunchPlanList { launch_plans, token })
    }

    /// UpdateLaunchPlan: makes a version the active one, or none.
    ///
    /// # Errors
    /// NOT_FOUND when it is not registered; INVALID_ARGUMENT when it has a schedule, which nobody here would follow.
    pub async fn update_launch_plan(
        &self,
        request: LaunchPlanUpdateRequest,
    ) -> Result<LaunchPlanUpdateResponse, Status> {
        let state = request.state();
        let id = identified(Kind::LaunchPlan, request.id)?;
        let entity = self.registry.get(Kind::LaunchPlan, &id).await?;
        let Some(Spec::LaunchPlan(spec)) = &entity.spec else { return Err(misplaced(&entity)) };
        if state == LaunchPlanState::Active {
            flyte::check_activation(spec).map_err(|faults| status::faults(&faults))?;
        }
        let (store, key) = (self.registry.store(), self.registry.root().active(&id.project, &id.domain, &id.name));
        match state {
            LaunchPlanState::Active => {
                store.put(&key, Bytes::from(id.version.into_bytes())).await.map_err(status::store)?;
            }
            LaunchPlanState::Inactive => {
                if self.active_version(&id.project, &id.domain, &id.name).await?.as_deref() == Some(&id.version) {
                    store.delete_many(&[key]).await.map_err(status::store)?;
                }
            }
        }
        Ok(LaunchPlanUpdateResponse {})
    }

    async fn active_version(&self, project: &str, domain: &str, name: &str) -> Result<Option<String>, Status> {
        let key = self.registry.root().active(project, domain, name);
        match self.registry.store().get(&key).await {
            Ok(body) => String::from_utf8(body.into()).map(Some).map_err(|error| status::damaged(&key, error)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(status::store(error)),
        }
    }

    async fn launch_plan(&self, entity: &Registered, active: Option<&str>) -> Result<LaunchPlan, Status> {
        let Some(Spec::LaunchPlan(spec)) = &entity.spec else { return Err(misplaced(entity)) };
        let interface = self.interface(spec).await?;
        let version = entity.id.as_ref().map(|id| id.version.as_str());
        let state = if version == active { LaunchPlanState::Active } else { LaunchPlanState::Inactive };
        let closure = LaunchPlanClosure {
            state: state.into(),
            expected_inputs: Some(expected(spec, &interface)),
            expected_outputs: interface.outputs,
            created_at: entity.created_at,
            updated_at: entity.created_at,
        };
        Ok(LaunchPlan { id: entity.id.clone(), spec: Some(spec.clone()), closure: Some(closure) })
    }

    /// The interface of a launch plan's workflow.
    pub(super) async fn interface(&self, spec: &LaunchPlanSpec) -> Result<TypedInterface, Status> {
        let id = spec.workflow_id.clone();
        let id = id.ok_or_else(|| status::invalid("spec.workflow_id is missing: name the workflow"))?;
        let workflow = self.registry.get(Kind::Workflow, &id).await.map_err(|error| match error.code() {
            tonic::Code::NotFound => status::invalid(format!(
                "spec.workflow_id names workflow {}, which is not registered: register it first",
                shown(&id)
            )),
            _ => error,
        })?;
        let Some(Spec::Workflow(workflow)) = &workflow.spec else { return Err(misplaced(&workflow)) };
        Ok(workflow.template.as_ref().and_then(|template| template.interface.clone()).unwrap_or_default())
    }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
