//! Saying early that an endpoint does not answer: the SDK tries again for half a minute before it gives an error.

use std::sync::atomic::{AtomicU32, Ordering};

use aws_sdk_s3::config::interceptors::FinalizerInterceptorContextRef;

/// Tries of this process, one after another with no answer between, that did not reach their endpoint.
static MISSED: AtomicU32 = AtomicU32::new(0);

/// The missed try at which it is said: a single one is nothing out of the ordinary.
const SAID_AT: u32 = 2;

/// Takes in how a try has ended, and warns once when an endpoint seems to be out of reach.
pub(super) fn note(context: &FinalizerInterceptorContextRef<'_>) {
    let missed = context.output_or_error().is_some_and(|result| result.is_err_and(|error| error.is_connector_error()));
    if !missed {
        // Read first: this comes with every request, and a write would be shared by all threads.
        if MISSED.load(Ordering::Relaxed) > 0 {
            MISSED.store(0, Ordering::Relaxed);
        }
        return;
    }
    if MISSED.fetch_add(1, Ordering::Relaxed) + 1 == SAID_AT
        && let Some(request) = context.request()
    {
        tracing::warn!("cannot reach {}: trying again", origin(request.uri()));
    }
}

/// The address without its path.
fn origin(uri: &str) -> &str {
    let host = uri.find("://").map_or(0, |at| at + 3);
    uri[host..].find(['/', '?']).map_or(uri, |end| &uri[..host + end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_without_its_path() {
        assert_eq!(origin("http://127.0.0.1:4566/b/k?x=1"), "http://127.0.0.1:4566");
        assert_eq!(origin("https://host"), "https://host");
    }
}
