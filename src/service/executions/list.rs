//! Listing executions, the newest first.

use tonic::{Code, Status};

use super::{Executions, unseen};
use crate::idl::admin::{Execution, ExecutionList, ResourceListRequest};
use crate::idl::core::WorkflowExecutionIdentifier;
use crate::run::flow::ViewError;
use crate::service::registry::filter::{self, Filter, Key};
use crate::service::registry::list::every;
use crate::service::registry::page::Page;
use crate::service::status;

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
        let (key, descending) = filter::order(request.sort_by.as_ref())?;
        let page = Page::asked(request.limit, &request.token)?;
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
        // The entries come with the newest first.
        if key == Key::Name {
            names.sort_by(|a, b| b.cmp(a));
        }
        if !descending {
            names.reverse();
        }
        let (filter, of) = (&filter, &of);
        let read = |name: String| async move {
            let (project, domain) = (of.project.clone(), of.domain.clone());
            let id = WorkflowExecutionIdentifier { project, domain, name, ..Default::default() };
            match self.flows.view(&id).await {
                Ok(view) => Ok(Some(self.execution(&view)).filter(|execution| in_phase(filter, execution))),
                // An entry of one that was never completely made.
                Err(ViewError::Unknown { .. }) => Ok(None),
                Err(error) => match unseen(error) {
                    // It would take everything around it with it.
                    lost if lost.code() == Code::DataLoss => {
                        tracing::warn!(execution = id.name, error = lost.message(), "left out of a listing");
                        Ok(None)
                    }
                    error => Err(error),
                },
            }
        };
        let (executions, token) = page.read(names, read).await?;
        Ok(ExecutionList { executions, token })
    }
}

fn in_phase(filter: &Filter, execution: &Execution) -> bool {
    let phase = execution.closure.as_ref().map(|closure| closure.phase().as_str_name());
    filter.admits(|field| if field == "phase" { phase } else { None })
}
