//! Saying early that an endpoint does not answer: the SDK tries again for half a minute before it gives an error.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use aws_sdk_s3::config::interceptors::{BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef};

/// Tries of this process, one after another with no answer between, that did not reach their endpoint.
static MISSED: AtomicU32 = AtomicU32::new(0);

/// Whether it was said since the last answer.
static SAID: AtomicBool = AtomicBool::new(false);

/// Missed tries after which it is said: a single one is nothing out of the ordinary.
const ENOUGH: u32 = 2;

/// Takes in that a try begins: when those before it have not reached their endpoint, it is time to say so.
pub(super) fn begins(context: &BeforeTransmitInterceptorContextRef<'_>) {
    if MISSED.load(Ordering::Relaxed) >= ENOUGH && !SAID.swap(true, Ordering::Relaxed) {
        tracing::warn!("cannot reach {}: trying again", origin(context.request().uri()));
    }
}

/// Takes in how a try has ended.
pub(super) fn ended(context: &FinalizerInterceptorContextRef<'_>) {
    if context.output_or_error().is_some_and(|result| result.is_err_and(|error| error.is_connector_error())) {
        MISSED.fetch_add(1, Ordering::Relaxed);
    } else if MISSED.load(Ordering::Relaxed) > 0 {
        // Read first: this comes with every request, and a write would be shared by all threads.
        MISSED.store(0, Ordering::Relaxed);
        SAID.store(false, Ordering::Relaxed);
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
