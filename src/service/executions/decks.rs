//! Decks: the pages that tasks make of themselves, kept beside the outputs of the map execution that ran the node.

use std::time::SystemTime;

use tonic::Status;

use super::Executions;
use super::nodes::node_of;
use crate::idl::core::NodeExecutionIdentifier;
use crate::idl::service::{
    ArtifactType, CreateDownloadLinkRequest, CreateDownloadLinkResponse, PreSignedUrLs, create_download_link_request,
};
use crate::map::index::OriginalIndex;
use crate::map::layout::Root;
use crate::map::workflow::NodeKind;
use crate::map::workflow::flow::NodeView;
use crate::service::data::Data;
use crate::service::status;

impl Executions {
    /// CreateDownloadLink, of a deck.
    ///
    /// # Errors
    /// NOT_FOUND when the node has none; INVALID_ARGUMENT when something else is asked for.
    pub async fn create_download_link(
        &self,
        request: CreateDownloadLinkRequest,
        server: &str,
    ) -> Result<CreateDownloadLinkResponse, Status> {
        if request.artifact_type() != ArtifactType::Deck {
            return Err(status::invalid("artifact_type is not ARTIFACT_TYPE_DECK: there are links to decks alone"));
        }
        let expires = Data::expires(request.expires_in.as_ref());
        let Some(create_download_link_request::Source::NodeExecutionId(id)) = request.source else {
            return Err(status::invalid("node_execution_id is missing: name the node and its execution"));
        };
        let urls = self.deck(id, server, expires).await?;
        Ok(CreateDownloadLinkResponse {
            signed_url: urls.signed_url.clone(),
            expires_at: urls.expires_at,
            pre_signed_urls: Some(urls),
        })
    }

    /// The address of a node's deck.
    pub(super) async fn deck(
        &self,
        id: NodeExecutionIdentifier,
        server: &str,
        expires: SystemTime,
    ) -> Result<PreSignedUrLs, Status> {
        let (id, view) = self.node_view(Some(id)).await?;
        let node = node_of(&view, &id.node_id)?;
        let none = || {
            status::not_found(format!(
                "node {} has no deck: a task makes one when it has ended, with enable_deck=True, and a map makes none",
                id.node_id
            ))
        };
        let key = self.deck_key(&node).ok_or_else(none)?;
        let found = self.flows.host().ports.store.list(&key, None).await.map_err(status::store)?;
        if found.objects.first().is_none_or(|object| object.key != key) {
            return Err(none());
        }
        let signed_url = vec![self.data.address(&key, expires, server)];
        Ok(PreSignedUrLs { signed_url, expires_at: Some(expires.into()) })
    }

    /// Where a node's deck is, if it has made one.
    fn deck_key(&self, node: &NodeView<'_>) -> Option<String> {
        let NodeKind::Task(_) = node.node.kind() else { return None };
        let root = Root::new(&self.flows.host().prefix, node.execution?);
        Some(root.deck(OriginalIndex(0)))
    }

    /// The address in the bucket of the deck that a node's task says it makes, once the node is over.
    pub(super) fn deck_uri(&self, node: &NodeView<'_>) -> Option<String> {
        let made = node.node.task()?.metadata.as_ref()?.generates_deck == Some(true);
        let key = self.deck_key(node).filter(|_| made && node.phase.is_terminal())?;
        Some(format!("s3://{}/{key}", self.flows.host().ports.store.bucket()))
    }
}
