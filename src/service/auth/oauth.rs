//! The token endpoint (RFC 6749, client credentials): what flytekit's `authType: ClientSecret` posts to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{Query, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::json;

use super::TOKEN_PATH;
use super::gate::{Gate, credentials};
use super::issue::LIFE;

type Form = BTreeMap<String, String>;

/// The route of the token endpoint.
pub(in crate::service) fn routes(gate: Arc<Gate>) -> Router {
    Router::new().route(TOKEN_PATH, post(token)).with_state(gate)
}

async fn token(State(gate): State<Arc<Gate>>, headers: HeaderMap, body: String) -> Response {
    let Some(form) = form(&body) else {
        return refuse(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            "the body is no form: send grant_type=client_credentials",
        );
    };
    match form.get("grant_type").map(String::as_str) {
        Some("client_credentials") => {}
        _ => {
            let message = "this server gives tokens for grant_type client_credentials alone: set admin.authType to \
                           ClientSecret, or to ExternalCommand with a token of your own";
            return refuse(StatusCode::BAD_REQUEST, "unsupported_grant_type", message);
        }
    }
    let Some((id, secrets)) = sent(&headers, &form) else {
        let message = "client id and secret are missing: send them by HTTP's basic scheme, or in the form";
        return refuse(StatusCode::UNAUTHORIZED, "invalid_client", message);
    };
    let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
    match gate.exchange(&id, &secrets, SystemTime::now()) {
        Some(token) => {
            let body = json!({"access_token": token, "token_type": "Bearer", "expires_in": LIFE.as_secs()});
            ([(CACHE_CONTROL, "no-store")], Json(body)).into_response()
        }
        None => {
            tracing::info!(client = id, "a client's secret was wrong");
            refuse(StatusCode::UNAUTHORIZED, "invalid_client", "no such client has this secret here")
        }
    }
}

/// The client's id, and what its secret may be: some send it escaped, as the standard says, and some as it is.
fn sent(headers: &HeaderMap, form: &Form) -> Option<(String, Vec<String>)> {
    if let Some(value) = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()) {
        let (scheme, encoded) = value.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let (id, secret) = credentials(encoded.trim())?;
        let unescaped = self::form(&format!("secret={secret}")).and_then(|mut form| form.remove("secret"));
        return Some((id, [Some(secret), unescaped].into_iter().flatten().collect()));
    }
    Some((form.get("client_id")?.clone(), vec![form.get("client_secret")?.clone()]))
}

/// A form as bodies have it, which is the form of a query.
fn form(text: &str) -> Option<Form> {
    let uri: Uri = format!("/?{text}").parse().ok()?;
    Query::try_from_uri(&uri).ok().map(|Query(form)| form)
}

fn refuse(code: StatusCode, error: &str, message: &str) -> Response {
    let body = Json(json!({"error": error, "error_description": message}));
    match code {
        StatusCode::UNAUTHORIZED => (code, [(WWW_AUTHENTICATE, "Basic realm=\"batchmap\"")], body).into_response(),
        code => (code, body).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::idl::base64;

    #[test]
    fn secrets_are_read_from_either_place() {
        let form = |text: &str| super::form(text).unwrap();
        let posted = form("grant_type=client_credentials&client_id=ci&client_secret=a%2Bb+c&scope=");
        assert_eq!(sent(&HeaderMap::new(), &posted), Some(("ci".to_owned(), vec!["a+b c".to_owned()])));
        let mut headers = HeaderMap::new();
        let basic = format!("Basic {}", base64::encode(b"ci:a%2Bb+c"));
        headers.insert(AUTHORIZATION, basic.parse().unwrap());
        let (id, secrets) = sent(&headers, &form("grant_type=client_credentials")).unwrap();
        assert_eq!((id.as_str(), secrets), ("ci", vec!["a%2Bb+c".to_owned(), "a+b c".to_owned()]));
        headers.insert(AUTHORIZATION, "Bearer x".parse().unwrap());
        assert_eq!(sent(&headers, &posted), None);
        assert_eq!(sent(&HeaderMap::new(), &form("client_id=ci")), None);
        assert_eq!(super::form("a b"), None);
    }
}
