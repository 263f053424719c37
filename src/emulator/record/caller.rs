//! Who sent a request: batchmap itself, one of its children, or somebody whose requests are none of ours.

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, USER_AGENT};
use serde::Serialize;

use crate::aws::sdk::APP_NAME;
use crate::emulator::local::{ACCESS_KEY, CHILD_KEY};

/// Whose permissions a request uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Principal {
    /// Who submits, watches and serves: the role of the command line and of `batchmap serve`.
    Submitter,
    /// A child: the job's role.
    Child,
}

/// Who sent a request; nothing for a client that is not batchmap's.
pub(super) fn principal(query: Option<&str>, headers: &HeaderMap) -> Option<Principal> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let signed = access_key(header(AUTHORIZATION.as_str()));
    let presigned = query.and_then(in_url);
    match signed.or(presigned.as_deref()) {
        Some(CHILD_KEY) => Some(Principal::Child),
        // An address that batchmap has signed is used by others, but with its permissions.
        Some(ACCESS_KEY) if presigned.is_some() => Some(Principal::Submitter),
        _ => {
            let app = format!("app/{APP_NAME}");
            let agents = [header("x-amz-user-agent"), header(USER_AGENT.as_str())];
            let ours = agents.iter().any(|agent| agent.split_whitespace().any(|part| part == app));
            ours.then_some(Principal::Submitter)
        }
    }
}

/// The key of `... Credential=<key>/<date>/...`.
fn access_key(authorization: &str) -> Option<&str> {
    let (_, scope) = authorization.split_once("Credential=")?;
    scope.split('/').next()
}

/// The same of a presigned URL.
fn in_url(query: &str) -> Option<String> {
    let values = query.split('&').filter_map(|pair| pair.split_once('='));
    let scope = values.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("x-amz-credential"))?.1;
    let scope = scope.replace("%2F", "/").replace("%2f", "/");
    scope.split('/').next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(query: Option<&str>, headers: &[(&'static str, &str)]) -> Option<Principal> {
        let pair =
            |(name, value): &(&'static str, &str)| (axum::http::HeaderName::from_static(name), value.parse().unwrap());
        principal(query, &headers.iter().map(pair).collect())
    }

    #[test]
    fn only_batchmaps_own_requests_are_known() {
        let by =
            |key: &str| format!("AWS4-HMAC-SHA256 Credential={key}/20261123/us-east-1/s3/aws4_request, Signature=0");
        assert_eq!(who(None, &[("authorization", &by("batchmap-child"))]), Some(Principal::Child));
        assert_eq!(who(None, &[("authorization", &by("batchmap"))]), None);
        let agent = ("x-amz-user-agent", "aws-sdk-rust/1.3 os/linux lang/rust/1.94 app/batchmap");
        assert_eq!(who(None, &[("authorization", &by("AKIA")), agent]), Some(Principal::Submitter));
        // A worker is a child, whatever program it is.
        assert_eq!(who(None, &[("authorization", &by("batchmap-child")), agent]), Some(Principal::Child));
        assert_eq!(who(None, &[("user-agent", "Boto3/1 app/batchmaps")]), None);
        let url = "X-Amz-Credential=batchmap%2F20261123%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Signature=0";
        assert_eq!(who(Some(url), &[]), Some(Principal::Submitter));
        assert_eq!(who(Some(&url.replace("=batchmap%", "=any%")), &[]), None);
        assert_eq!(who(None, &[]), None);
    }
}
