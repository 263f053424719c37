//! An earlier execution's output, to be bound.

use std::sync::Arc;

use async_trait::async_trait;
use prost::Message;

use super::declared;
use crate::aws::store::{Store, StoreError};
use crate::idl::core::{Literal, LiteralMap, LiteralType};
use crate::idl::types::{collection, optional};
use crate::map::layout::Root;
use crate::run::bound::{Results, ResultsError};
use crate::run::launch::{self, LaunchError};

/// The stored results of the executions under one prefix.
pub struct Stored {
    /// Their bucket.
    pub store: Arc<dyn Store>,
    /// Their prefix.
    pub prefix: String,
}

#[async_trait]
impl Results for Stored {
    async fn output(&self, id: &str, output: Option<&str>) -> Result<(LiteralType, Literal), ResultsError> {
        let root = Root::new(&self.prefix, id);
        let record = launch::read_record(&self.store, &root).await.map_err(|error| match error {
            LaunchError::Store(error) => ResultsError::Store(error),
            error => ResultsError::Unusable(error.to_string()),
        })?;
        let declared = declared(&record);
        let known = || declared.keys().cloned().collect::<Vec<_>>().join(", ");
        let name = match (output, declared.len()) {
            (Some(name), _) => name.to_owned(),
            (None, 1) => known(),
            (None, 0) => return Err(ResultsError::Unusable(format!("execution {id} declares no outputs"))),
            (None, _) => {
                let text = format!("execution {id} has several outputs ({}): name one, as @{id}/NAME", known());
                return Err(ResultsError::Unusable(text));
            }
        };
        let Some(element) = declared.get(&name) else {
            let text = format!("execution {id} has no output {name}; it has {}", known());
            return Err(ResultsError::Unusable(text));
        };
        let body = match self.store.get(&root.result()).await {
            Ok(body) => body,
            Err(StoreError::NotFound { .. }) => {
                let text =
                    format!("execution {id} has no stored outputs: it has not succeeded (yet), or they are over 1 GiB");
                return Err(ResultsError::Unusable(text));
            }
            Err(error) => return Err(error.into()),
        };
        let unreadable =
            |problem: String| ResultsError::Unusable(format!("the outputs of {id} cannot be read: {problem}"));
        let mut outputs = LiteralMap::decode(body).map_err(|error| unreadable(error.to_string()))?;
        let literal = outputs.literals.remove(&name).ok_or_else(|| unreadable(format!("{name} is missing")))?;
        // Failed elements are none, so the list's elements may be.
        Ok((collection(optional(element.clone())), literal))
    }
}
