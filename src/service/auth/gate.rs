//! What stands before every handler where tokens are asked for.

use std::sync::Arc;
use std::time::SystemTime;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tonic::Code;

use super::issue::{Issuer, Refusal};
use super::tokens::{Entry, Tokens};
use super::{Caller, HEADER, NO_TOKEN, Roster, TOKEN_PATH};
use crate::idl::base64;
use crate::service::{server, status};

/// What is open to everybody: how to get a token, whether the server is well, and what carries a proof of its own.
const OPEN: [&str; 5] = ["/flyteidl.service.AuthMetadataService/", TOKEN_PATH, "/healthz", "/readyz", "/files/"];

/// Who may pass.
pub(in crate::service) struct Gate {
    roster: Arc<Roster>,
    issuer: Issuer,
    open_metrics: bool,
}

impl Gate {
    /// Lets those of `roster` pass; `key` is the bucket's, made for tokens. With `open_metrics`, anybody may read those.
    pub(in crate::service) fn new(roster: Arc<Roster>, key: [u8; 32], open_metrics: bool) -> Self {
        Gate { roster, issuer: Issuer::new(key), open_metrics }
    }

    fn is_open(&self, path: &str) -> bool {
        let fits = |open: &str| if open.ends_with('/') { path.starts_with(open) } else { path == open };
        OPEN.iter().any(|open| fits(open)) || (self.open_metrics && path == "/metrics")
    }

    /// A token for a client that proves itself.
    pub(super) fn exchange(&self, id: &str, secrets: &[&str], now: SystemTime) -> Option<String> {
        let tokens = self.roster.tokens();
        let client: Option<&Entry> = secrets.iter().find_map(|secret| tokens.of_client(id, secret));
        client.map(|client| self.issuer.issue(client, now))
    }

    /// Who calls, by the headers of a request; `pages` is whether a browser may have sent it. Nobody said is
    /// [`Refusal::Unknown`] with `false`.
    fn caller(&self, headers: &HeaderMap, pages: bool, now: SystemTime) -> Result<String, (Refusal, bool)> {
        let tokens = self.roster.tokens();
        let mut refusal = (Refusal::Unknown, false);
        // A proxy may have put its own token into the first.
        for value in [AUTHORIZATION.as_str(), HEADER].into_iter().flat_map(|name| headers.get_all(name)) {
            let Some((scheme, rest)) = value.to_str().ok().and_then(|value| value.split_once(' ')) else { continue };
            let found = match scheme.to_ascii_lowercase().as_str() {
                "bearer" => self.bearer(rest.trim(), &tokens, now),
                "basic" if pages => basic(rest.trim(), &tokens).ok_or(Refusal::Unknown),
                _ => continue,
            };
            match found {
                Ok(name) => return Ok(name),
                Err(why) => refusal = (why, true),
            }
        }
        Err(refusal)
    }

    fn bearer(&self, token: &str, tokens: &Tokens, now: SystemTime) -> Result<String, Refusal> {
        match tokens.of_token(token) {
            Some(name) => Ok(name.to_owned()),
            None => self.issuer.check(token, tokens, now),
        }
    }
}

/// Whose name and token, or id and secret, these are.
fn basic(encoded: &str, tokens: &Tokens) -> Option<String> {
    let (name, secret) = credentials(encoded)?;
    let own = tokens.of_token(&secret).is_some_and(|owner| owner == name);
    (own || tokens.of_client(&name, &secret).is_some()).then_some(name)
}

/// The two parts of HTTP's basic scheme.
pub(super) fn credentials(encoded: &str) -> Option<(String, String)> {
    let text = String::from_utf8(base64::decode(encoded)?).ok()?;
    let (name, secret) = text.split_once(':')?;
    Some((name.to_owned(), secret.to_owned()))
}

/// Lets a request pass with its caller's name, or answers it.
pub(in crate::service) async fn gate(State(gate): State<Arc<Gate>>, mut request: Request, next: Next) -> Response {
    if gate.is_open(request.uri().path()) {
        return next.run(request).await;
    }
    let grpc = server::is_grpc(request.headers().get(CONTENT_TYPE));
    let pages = !grpc && matches!(*request.method(), Method::GET | Method::HEAD);
    match gate.caller(request.headers(), pages, SystemTime::now()) {
        Ok(name) => {
            request.extensions_mut().insert(Caller(name));
            next.run(request).await
        }
        Err((why, given)) => refuse(grpc, why, given),
    }
}

fn refuse(grpc: bool, why: Refusal, given: bool) -> Response {
    let message = match (why, given) {
        (Refusal::Expired, _) => "the token's time is over: get another one",
        (Refusal::Unknown, true) => "the token is none of this server's: it is misspelt, or was taken back",
        (Refusal::Unknown, false) => NO_TOKEN,
    };
    if grpc {
        return status::status(Code::Unauthenticated, message).into_http::<Body>();
    }
    let asked = "Basic realm=\"batchmap: a name of its tokens file, and the token\", charset=\"UTF-8\"";
    (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, asked)], format!("{message}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tokens::{Kind, line};
    use super::*;

    fn a_gate() -> (tempfile::NamedTempFile, Gate) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let lines = [line(Kind::Token, "ann", "a-token"), line(Kind::Client, "ci", "a secret")];
        std::fs::write(file.path(), lines.join("\n")).unwrap();
        let gate = Gate::new(Arc::new(Roster::open(file.path()).unwrap()), [1; 32], false);
        (file, gate)
    }

    fn headers(pairs: &[(&'static str, String)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn basic(pair: &str) -> String {
        format!("Basic {}", base64::encode(pair.as_bytes()))
    }

    #[test]
    fn callers_are_known_by_their_headers() {
        let (file, gate) = a_gate();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let caller = |pairs: &[(&'static str, String)], pages| gate.caller(&headers(pairs), pages, now);
        let bearer = |token: &str| format!("Bearer {token}");
        for name in ["authorization", HEADER] {
            assert_eq!(caller(&[(name, bearer("a-token"))], false), Ok("ann".to_owned()));
            assert_eq!(caller(&[(name, bearer("other"))], false), Err((Refusal::Unknown, true)));
        }
        let both = [("authorization", bearer("of-a-proxy")), (HEADER, "bearer  a-token".to_owned())];
        assert_eq!(caller(&both, false), Ok("ann".to_owned()));
        assert_eq!(caller(&[], false), Err((Refusal::Unknown, false)));
        for (pair, due) in [("ann:a-token", "ann"), ("ci:a secret", "ci")] {
            assert_eq!(caller(&[("authorization", basic(pair))], true), Ok(due.to_owned()));
            assert!(caller(&[("authorization", basic(pair))], false).is_err(), "pages alone");
        }
        for pair in ["ci:a-token", "ann:a secret", "ann", ""] {
            assert!(caller(&[("authorization", basic(pair))], true).is_err(), "{pair}");
        }

        assert_eq!(gate.exchange("ci", &["wrong"], now), None);
        let token = gate.exchange("ci", &["wrong", "a secret"], now).unwrap();
        assert_eq!(caller(&[(HEADER, bearer(&token))], false), Ok("ci".to_owned()));
        let later = now + Duration::from_secs(3601);
        let expired = gate.caller(&headers(&[(HEADER, bearer(&token))]), false, later);
        assert_eq!(expired, Err((Refusal::Expired, true)));

        // What is taken from the file is worth nothing from the next look on.
        std::fs::write(file.path(), "").unwrap();
        assert_eq!((gate.roster.reload(), gate.roster.reload()), (Ok(true), Ok(false)));
        assert!(caller(&[(HEADER, bearer("a-token"))], false).is_err());
        assert!(caller(&[(HEADER, bearer(&token))], false).is_err());
        std::fs::write(file.path(), "token").unwrap();
        assert!(gate.roster.reload().is_err_and(|problem| problem.contains("line 1")));
    }

    #[test]
    fn what_is_open_is_no_more_than_that() {
        let (_file, gate) = a_gate();
        for open in ["/healthz", "/readyz", "/oauth2/token", "/files/get/1/2/3"] {
            assert!(gate.is_open(open), "{open}");
        }
        for closed in
            ["/", "/metrics", "/healthz/x", "/files", "/oauth2/tokens", "/flyteidl.service.AdminService/GetTask"]
        {
            assert!(!gate.is_open(closed), "{closed}");
        }
        assert!(gate.is_open("/flyteidl.service.AuthMetadataService/GetOAuth2Metadata"));
    }
}
