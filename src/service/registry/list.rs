//! Listing entities. A listing reads keys and dates; only the entities of the page itself are fetched.

use std::sync::Arc;

use prost::Message;
use tonic::{Code, Status};

use super::Registry;
use super::filter::{self, Filter, Key};
use super::page::Page;
use crate::aws::store::Listed;
use crate::idl::admin::{NamedEntityIdentifier, ResourceListRequest};
use crate::idl::record::Registered;
use crate::map::layout::flyte::{Kind, unescape};
use crate::service::status;

/// One entity of a listing, not yet read.
#[derive(Clone, Debug)]
struct Entry {
    key: String,
    name: String,
    version: String,
    modified_ms: u64,
}

impl Registry {
    /// A page of the entities that a request asks for (all versions of one name, or of all names of a domain), and the
    /// token of the next one. `told` makes each what the client is sent; nothing, when it is not asked for after all.
    ///
    /// # Errors
    /// INVALID_ARGUMENT when the request cannot be understood; what `told` says.
    pub async fn list<T, F>(
        &self,
        kind: Kind,
        request: &ResourceListRequest,
        told: impl Fn(Arc<Registered>) -> F + Sync,
    ) -> Result<(Vec<T>, String), Status>
    where
        T: Message,
        F: Future<Output = Result<Option<T>, Status>> + Send,
    {
        let of = request.id.clone().unwrap_or_default();
        let filter = Filter::parse(&request.filters, &["name", "version", "project", "domain", "state"])?;
        let (key, descending) = filter::order(request.sort_by.as_ref())?;
        let page = Page::asked(request.limit, &request.token)?;
        let mut entries = self.entries(kind, &of).await?;
        entries.retain(|entry| {
            filter.admits(|field| match field {
                "name" => Some(&entry.name),
                "version" => Some(&entry.version),
                "project" => Some(&of.project),
                "domain" => Some(&of.domain),
                // Whoever knows the states has to look.
                _ => None,
            })
        });
        match key {
            Key::Created => entries.sort_by(|a, b| a.modified_ms.cmp(&b.modified_ms).then_with(|| a.key.cmp(&b.key))),
            Key::Name => entries.sort_by(|a, b| a.key.cmp(&b.key)),
        }
        if descending {
            entries.reverse();
        }
        let told = &told;
        let read = |entry: Entry| async move {
            match self.at(entry.key).await {
                Ok(entity) => told(entity).await,
                // It would take everything around it with it.
                Err(error) if error.code() == Code::DataLoss => {
                    tracing::warn!(error = error.message(), "left out of a listing");
                    Ok(None)
                }
                Err(error) => Err(error),
            }
        };
        page.read(entries, read).await
    }

    async fn entries(&self, kind: Kind, of: &NamedEntityIdentifier) -> Result<Vec<Entry>, Status> {
        if of.project.is_empty() || of.domain.is_empty() {
            return Err(status::invalid("id is incomplete: give project and domain"));
        }
        let all = self.root.entities(kind, &of.project, &of.domain);
        let prefix = match of.name.as_str() {
            "" => all.clone(),
            name => self.root.versions(kind, &of.project, &of.domain, name),
        };
        let objects = every(self.store.as_ref(), &prefix).await?;
        let entry = |object: Listed| {
            let (name, version) = object.key.strip_prefix(&all)?.split_once('/')?;
            let (name, version) = (unescape(name)?, unescape(version)?);
            Some(Entry { name, version, modified_ms: object.modified_ms, key: object.key })
        };
        Ok(objects.into_iter().filter_map(entry).collect())
    }
}

/// All objects under a prefix.
pub(crate) async fn every(store: &dyn crate::aws::store::Store, prefix: &str) -> Result<Vec<Listed>, Status> {
    let mut all: Vec<Listed> = Vec::new();
    loop {
        let page = store.list(prefix, all.last().map(|last| last.key.as_str())).await.map_err(status::store)?;
        all.extend(page.objects);
        if !page.more {
            return Ok(all);
        }
    }
}
