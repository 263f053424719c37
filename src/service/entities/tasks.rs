//! Tasks.

use std::future::ready;
use std::sync::Arc;

use tonic::Status;

use super::{Entities, misplaced, short_description};
use crate::idl::admin::{
    ObjectGetRequest, ResourceListRequest, Task, TaskClosure, TaskCreateRequest, TaskCreateResponse, TaskList,
};
use crate::idl::core::CompiledTask;
use crate::idl::record::Registered;
use crate::idl::record::registered::Spec;
use crate::map::flyte::{self, Outline};
use crate::map::layout::flyte::Kind;
use crate::map::task::Resources;
use crate::service::registry::identified;
use crate::service::status;

impl Entities {
    /// CreateTask.
    ///
    /// # Errors
    /// INVALID_ARGUMENT with everything that AWS Batch has no counterpart for.
    pub async fn create_task(&self, request: TaskCreateRequest) -> Result<TaskCreateResponse, Status> {
        let id = identified(Kind::Task, request.id)?;
        let mut spec = request.spec.ok_or_else(|| status::invalid("spec is missing: give the task"))?;
        let template =
            spec.template.as_mut().ok_or_else(|| status::invalid("spec.template is missing: give the task"))?;
        template.id = Some(id.clone());
        let outline = flyte::check_task(template).map_err(|faults| status::faults(&faults))?;
        flyte::check_runner(template, None, self.runner).map_err(|faults| status::faults(&faults))?;
        // Resources may be laid over by every node: they are looked at there.
        self.check_definition("", &Outline { resources: Resources::default(), ..outline })?;
        self.registry
            .put(Kind::Task, Registered { id: Some(id), spec: Some(Spec::Task(spec)), ..Default::default() })
            .await?;
        Ok(TaskCreateResponse {})
    }

    /// GetTask.
    ///
    /// # Errors
    /// NOT_FOUND when it is not registered.
    pub async fn get_task(&self, request: ObjectGetRequest) -> Result<Task, Status> {
        let id = identified(Kind::Task, request.id)?;
        task(&*self.registry.get(Kind::Task, &id).await?)
    }

    /// ListTasks.
    ///
    /// # Errors
    /// INVALID_ARGUMENT when the request cannot be understood.
    pub async fn list_tasks(&self, request: ResourceListRequest) -> Result<TaskList, Status> {
        let told = |entity: Arc<Registered>| ready(task(&entity).map(Some));
        let (tasks, token) = self.registry.list(Kind::Task, &request, told).await?;
        Ok(TaskList { tasks, token })
    }
}

fn task(entity: &Registered) -> Result<Task, Status> {
    let Some(Spec::Task(spec)) = &entity.spec else { return Err(misplaced(entity)) };
    let compiled = CompiledTask { template: spec.template.clone() };
    Ok(Task {
        id: entity.id.clone(),
        closure: Some(TaskClosure { compiled_task: Some(compiled), created_at: entity.created_at }),
        short_description: short_description(spec.description.as_ref()),
    })
}
