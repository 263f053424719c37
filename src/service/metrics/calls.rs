//! Calls of the service: how many, what came of them, and how long they took.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::HeaderMap;

use super::text::{Kind, Text};

/// gRPC's code for what is not served.
const UNIMPLEMENTED: u32 = 12;

/// What the paths of our services begin with. Others are asked for under the same content type by who likes to.
const SERVICES: &str = "/flyteidl.service.";

/// Methods that are told apart: more than there are, for a path is whatever a client makes of it.
const METHODS: usize = 100;

/// The bounds that times are counted by, in seconds.
const BOUNDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Calls by their method.
#[derive(Debug, Default)]
pub(in crate::service) struct Calls(Mutex<BTreeMap<String, Method>>);

#[derive(Debug, Default)]
struct Method {
    /// By gRPC's code for what came of them.
    codes: BTreeMap<u32, u64>,
    /// Those that took no longer than each bound, the shorter ones not among them.
    times: [u64; BOUNDS.len()],
    count: u64,
    sum: f64,
}

impl Calls {
    /// Counts one call by its path and the headers of its answer: they tell the code of what has failed.
    pub(in crate::service) fn count(&self, path: &str, answer: &HeaderMap, took: Duration) {
        let code = answer.get("grpc-status").and_then(|code| code.to_str().ok()?.parse().ok()).unwrap_or(0);
        let mut methods = self.methods();
        // Anybody may make up names of what is not served, and they would be kept for ever.
        let method = match path.strip_prefix(SERVICES).and_then(|rest| rest.split_once('/')) {
            Some((_, name)) if methods.contains_key(name) => name,
            Some((_, name)) if code != UNIMPLEMENTED && methods.len() < METHODS => name,
            _ => "",
        };
        let method = methods.entry(method.to_owned()).or_default();
        *method.codes.entry(code).or_default() += 1;
        let seconds = took.as_secs_f64();
        if let Some(class) = BOUNDS.iter().position(|bound| seconds <= *bound) {
            method.times[class] += 1;
        }
        method.count += 1;
        method.sum += seconds;
    }

    pub(super) fn write(&self, text: &mut Text) {
        let methods = self.methods();
        let help = "gRPC calls by method and code; no method where it is not served.";
        text.family("batchmap_rpcs_total", Kind::Counter, help);
        for (name, method) in methods.iter() {
            for (code, count) in &method.codes {
                text.sample("", &[("method", name), ("code", &code.to_string())], count);
            }
        }
        text.family("batchmap_rpc_seconds", Kind::Histogram, "How long they took.");
        for (name, method) in methods.iter() {
            method.write(name, text);
        }
    }

    fn methods(&self) -> MutexGuard<'_, BTreeMap<String, Method>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Method {
    fn write(&self, name: &str, text: &mut Text) {
        let mut within = 0;
        for (bound, count) in BOUNDS.iter().zip(&self.times) {
            within += count;
            text.sample("_bucket", &[("method", name), ("le", &bound.to_string())], within);
        }
        text.sample("_bucket", &[("method", name), ("le", "+Inf")], self.count);
        text.sample("_sum", &[("method", name)], self.sum);
        text.sample("_count", &[("method", name)], self.count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_clients_make_up_are_not_kept() {
        let calls = Calls::default();
        let answer = |code: &str| HeaderMap::from_iter([("grpc-status".parse().unwrap(), code.parse().unwrap())]);
        calls.count("/flyteidl.service.S/Get", &HeaderMap::new(), Duration::from_millis(3));
        calls.count("/flyteidl.service.S/Get", &answer("5"), Duration::from_secs(60));
        (0..1000).for_each(|at| calls.count(&format!("/flyteidl.service.S/Made{at}"), &answer("12"), Duration::ZERO));
        (0..1000).for_each(|at| calls.count(&format!("/flyteidl.service.S/Other{at}"), &answer("16"), Duration::ZERO));
        (0..1000).for_each(|at| calls.count(&format!("/files/get/{at}"), &HeaderMap::new(), Duration::ZERO));
        assert_eq!(calls.methods().len(), METHODS);
        let mut text = Text::default();
        calls.write(&mut text);
        let text = text.finished();
        for due in [
            "batchmap_rpcs_total{method=\"Get\",code=\"0\"} 1\n",
            "batchmap_rpcs_total{method=\"Get\",code=\"5\"} 1\n",
            "batchmap_rpcs_total{method=\"\",code=\"12\"} 1000\n",
            "batchmap_rpc_seconds_bucket{method=\"Get\",le=\"0.0025\"} 0\n",
            "batchmap_rpc_seconds_bucket{method=\"Get\",le=\"0.005\"} 1\n",
            "batchmap_rpc_seconds_bucket{method=\"Get\",le=\"10\"} 1\n",
            "batchmap_rpc_seconds_bucket{method=\"Get\",le=\"+Inf\"} 2\n",
            "batchmap_rpc_seconds_sum{method=\"Get\"} 60.003\n",
        ] {
            assert!(text.contains(due), "{due} is not in\n{text}");
        }
    }
}
