//! AWS STS as far as clients ask who they are, and what is said to requests for services that are not here.

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// What this endpoint serves, for those who ask for something else.
const SERVED: &str = "this endpoint serves s3, batch, logs and sts:GetCallerIdentity";

/// The longest query of STS that is read.
const QUERY: usize = 64 * 1024;

/// Answers a request to STS: everybody is the root of account 000000000000.
pub(super) async fn identify(request: Request<Body>, id: &str) -> Response {
    let in_url = request.uri().query().and_then(action);
    let body = match to_bytes(request.into_body(), QUERY).await {
        Ok(body) => body,
        Err(cause) => return query_error(StatusCode::BAD_REQUEST, "MalformedQueryString", &cause.to_string(), id),
    };
    let action = in_url.or_else(|| action(&String::from_utf8_lossy(&body)));
    match action.as_deref() {
        Some("GetCallerIdentity") => xml(
            StatusCode::OK,
            format!(
                "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
                 <Arn>arn:aws:iam::000000000000:root</Arn><UserId>000000000000</UserId><Account>000000000000</Account>\
                 </GetCallerIdentityResult><ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata>\
                 </GetCallerIdentityResponse>"
            ),
        ),
        Some(other) => {
            let message = format!("sts:{other} is not served here: {SERVED}");
            query_error(StatusCode::BAD_REQUEST, "InvalidAction", &message, id)
        }
        None => query_error(StatusCode::BAD_REQUEST, "MissingAction", &format!("no Action is given; {SERVED}"), id),
    }
}

/// Says that a service is not here, in the form in which the client expects errors.
pub(super) fn unserved(service: &str, request: &Request<Body>, id: &str) -> Response {
    let headers = request.headers();
    let mime = headers.get(CONTENT_TYPE).and_then(|mime| mime.to_str().ok()).unwrap_or_default();
    let message = format!("{service} is not served here: {SERVED}. Send {service} elsewhere by a URL of its own");
    let status = StatusCode::NOT_IMPLEMENTED;
    if headers.contains_key("x-amz-target") || mime.contains("json") {
        let header = [("x-amzn-errortype", "NotImplemented")];
        return (status, header, Json(json!({"__type": "NotImplemented", "message": message}))).into_response();
    }
    match service {
        // EC2 has a form of its own.
        "ec2" => {
            let message = escape(&message);
            let error = format!("<Error><Code>NotImplemented</Code><Message>{message}</Message></Error>");
            xml(status, format!("<Response><Errors>{error}</Errors><RequestID>{id}</RequestID></Response>"))
        }
        _ => query_error(status, "NotImplemented", &message, id),
    }
}

/// The value of `Action` in a form; operations' names hold no letter that is escaped.
fn action(form: &str) -> Option<String> {
    form.split('&').find_map(|pair| pair.strip_prefix("Action=")).map(str::to_owned)
}

fn query_error(status: StatusCode, code: &str, message: &str, id: &str) -> Response {
    let message = escape(message);
    let error = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>");
    xml(status, format!("<ErrorResponse>{error}<RequestId>{id}</RequestId></ErrorResponse>"))
}

fn xml(status: StatusCode, text: String) -> Response {
    let text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{text}");
    (status, [(CONTENT_TYPE, "text/xml")], text).into_response()
}

/// Text within XML; control characters, which XML cannot hold, are replaced.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            c if c.is_control() => escaped.push('?'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_found_and_text_is_safe_in_xml() {
        assert_eq!(action("Version=2011-06-15&Action=GetCallerIdentity").as_deref(), Some("GetCallerIdentity"));
        assert_eq!(action("Version=1"), None);
        assert_eq!(escape("a<b>&\u{1}"), "a&lt;b&gt;&amp;?");
    }
}
