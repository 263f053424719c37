//! Projects: every one that something was registered for, and flytekit's own.

use std::collections::BTreeSet;

use tonic::Status;

use super::Entities;
use crate::idl::admin::{Domain, Project, ProjectListRequest, Projects};
use crate::map::layout::flyte::unescape;
use crate::service::registry::filter::Filter;
use crate::service::registry::page::Page;
use crate::service::status;

/// The project that flytekit takes where none is named.
const DEFAULT: &str = "flytesnacks";

impl Entities {
    /// ListProjects, in the order of their names.
    ///
    /// # Errors
    /// INVALID_ARGUMENT when the request cannot be understood.
    pub async fn list_projects(&self, request: ProjectListRequest, domains: Vec<Domain>) -> Result<Projects, Status> {
        let filter = Filter::parse(&request.filters, &["name", "identifier", "state"])?;
        let page = Page::asked(request.limit, &request.token)?;
        let prefix = self.registry.root().projects();
        let folders = self.registry.store().list_directories(&prefix).await.map_err(status::store)?;
        let mut names: BTreeSet<String> = folders.iter().filter_map(|folder| unescape(folder)).collect();
        names.insert(DEFAULT.to_owned());
        names.retain(|name| {
            // None is archived.
            filter.admits(|field| if field == "state" { Some("0") } else { Some(name) })
        });
        let project = |name: String| Project { id: name.clone(), name, domains: domains.clone(), ..Default::default() };
        let (projects, token) = page.of(names.into_iter().map(project));
        Ok(Projects { projects, token })
    }
}
