//! Listing executions, the newest first.

use futures::{FutureExt, StreamExt};
use tonic::Status;

use super::{Executions, unseen};
use crate::idl::admin::{Execution, ExecutionList, ResourceListRequest};
use crate::idl::core::WorkflowExecutionIdentifier;
use crate::run::flow::ViewError;
use crate::service::registry::filter::{self, Filter};
use crate::service::registry::list::every;
use crate::service::status;

/// Executions read at once.
const AT_ONCE: usize = 16;

impl Executions {
    /// ListExecutions: the entries of the index are listed, and only the executions of the page are read (all of them
    /// when the filter asks about what is in them).
    ///
    /// # Errors
    /// INVALID_ARGUMENT when the request cannot be understood.
    pub async fn list_executions(&self, request: ResourceListRequest) -> Result<ExecutionList, Status> {
        let of = request.id.clone().unwrap_or_default();
        if of.project.is_empty() || of.domain.is_empty() {
            return Err(status::invalid("id is incomplete: give project and domain"));
        }
        let filter = Filter::parse(&request.filters, &["name", "execution_name", "phase", "project", "domain"])?;
        let (_, descending) = filter::order(request.sort_by.as_ref())?;
        let host = self.flows.host();
        let entries = every(host.ports.store.as_ref(), &host.root.index(&of.project, &of.domain)).await?;
        let names = entries.iter().filter_map(|entry| host.root.indexed(&of.project, &of.domain, &entry.key));
        let mut names: Vec<String> = names.collect();
        names.retain(|name| {
            (of.name.is_empty() || of.name == *name)
                && filter.admits(|field| match field {
                    "name" | "execution_name" => Some(name.as_str()),
                    "project" => Some(of.project.as_str()),
                    "domain" => Some(of.domain.as_str()),
                    _ => None,
                })
        });
        // A name may have been tried more than once.
        let mut seen = std::collections::BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        if !descending {
            names.reverse();
        }
        if filter.asks("phase") {
            let mut all = self.read_all(names, &of.project, &of.domain).await?;
            all.retain(|execution| {
                let phase = execution.closure.as_ref().map(|closure| closure.phase().as_str_name());
                filter.admits(|field| if field == "phase" { phase } else { None })
            });
            let (executions, token) = filter::page(all, request.limit, &request.token)?;
            return Ok(ExecutionList { executions, token });
        }
        let (page, token) = filter::page(names, request.limit, &request.token)?;
        Ok(ExecutionList { executions: self.read_all(page, &of.project, &of.domain).await?, token })
    }

    async fn read_all(&self, names: Vec<String>, project: &str, domain: &str) -> Result<Vec<Execution>, Status> {
        let read = |name: String| async move {
            let id = WorkflowExecutionIdentifier {
                project: project.to_owned(),
                domain: domain.to_owned(),
                name,
                ..Default::default()
            };
            match self.flows.view(&id).await {
                Ok(view) => Some(Ok(self.execution(&view))),
                // An entry of one that was never completely made.
                Err(ViewError::Unknown { .. }) => None,
                Err(error) => Some(Err(unseen(error))),
            }
        };
        let reads: Vec<_> = names.into_iter().map(|name| read(name).boxed()).collect();
        let mut found = futures::stream::iter(reads).buffered(AT_ONCE);
        let mut all = Vec::new();
        while let Some(execution) = found.next().await {
            all.extend(execution.transpose()?);
        }
        Ok(all)
    }
}
