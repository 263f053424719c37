//! Images: from the local store, and pulled once where it has none.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::engine::{Cli, Engine};

/// What is known of images.
#[derive(Debug, Default)]
pub(super) struct Images(Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<Known>>>>);

/// What is known of one.
#[derive(Debug, Default)]
enum Known {
    #[default]
    Nothing,
    Present,
    /// It could not be pulled, and when that became clear.
    Absent(Instant, String),
}

impl Images {
    /// Sees to it that an image is there. Of many who ask at once, one pulls, and its failure is that of all.
    ///
    /// # Errors
    /// What the engine says when it cannot pull.
    pub(super) async fn ensure(&self, cli: &Cli, image: &str) -> Result<(), String> {
        let asked = Instant::now();
        let known = Arc::clone(self.all().entry(image.to_owned()).or_default());
        let mut known = known.lock().await;
        match &*known {
            Known::Present => return Ok(()),
            Known::Absent(at, why) if *at >= asked => return Err(why.clone()),
            _ => {}
        }
        let there = match cli.has_image(image).await {
            true => Ok(()),
            false => pull(cli, image).await,
        };
        *known = match &there {
            Ok(()) => Known::Present,
            Err(why) => Known::Absent(Instant::now(), why.clone()),
        };
        there
    }

    /// A container of this image did not start: it may have been removed from the store.
    pub(super) fn doubt(&self, image: &str) {
        self.all().remove(image);
    }

    fn all(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<tokio::sync::Mutex<Known>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn pull(cli: &Cli, image: &str) -> Result<(), String> {
    if cli.engine == Engine::Podman && image.starts_with("localhost/") {
        // podman's own name for what was built here: there is no registry to ask.
        return Err(format!("{image} not found: it is not in podman's store; build or import it"));
    }
    cli.pull(image).await.map_err(|why| match why.contains("did not resolve to an alias") {
        true => format!("{image} not found: {why}"),
        false => why,
    })
}
