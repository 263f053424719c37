//! Pages for people: flytekit prints the address of one whenever it launches something.
//!
//! Everything on them that a user wrote is escaped, they load nothing and run nothing.

use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tonic::{Code, Status};

use super::executions::Executions;
use crate::idl::admin::{
    Execution, NodeExecution, NodeExecutionListRequest, TaskExecution, TaskExecutionListRequest,
    WorkflowExecutionGetRequest, execution_closure, node_execution_closure,
};
use crate::idl::core::{NodeExecutionIdentifier, WorkflowExecutionIdentifier};

/// Nodes on one page.
const NODES: usize = 200;

/// Characters of an error on a page.
const ERROR: usize = 20_000;

const STYLE: &str = "body{font:15px sans-serif;margin:2em;max-width:70em}table{border-collapse:collapse}\
    td,th{text-align:left;padding:.3em 1em .3em 0;vertical-align:top;border-bottom:1px solid #ccc}\
    pre{white-space:pre-wrap;background:#f4f4f4;padding:.7em;margin:.3em 0}";

/// The routes of pages.
pub(super) fn routes(executions: Arc<Executions>) -> Router {
    Router::new()
        .route("/console/projects/{project}/domains/{domain}/executions/{name}", get(execution))
        .route("/console", get(elsewhere))
        .route("/console/", get(elsewhere))
        .route("/console/{*rest}", get(elsewhere))
        .with_state(executions)
}

async fn elsewhere(uri: Uri) -> Response {
    let message = "batchmap has pages for executions alone: /console/projects/PROJECT/domains/DOMAIN/executions/NAME\n";
    tracing::debug!(path = uri.path(), "a page that there is not");
    (StatusCode::NOT_FOUND, message).into_response()
}

async fn execution(
    State(executions): State<Arc<Executions>>,
    Path((project, domain, name)): Path<(String, String, String)>,
) -> Response {
    let id = WorkflowExecutionIdentifier { project, domain, name, ..Default::default() };
    match page(&executions, &id).await {
        Ok(body) => {
            let headers = [
                (CONTENT_TYPE, "text/html; charset=utf-8"),
                (CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
                (X_CONTENT_TYPE_OPTIONS, "nosniff"),
                (CACHE_CONTROL, "no-store"),
            ];
            (headers, body).into_response()
        }
        Err(status) => {
            let code = match status.code() {
                Code::NotFound => StatusCode::NOT_FOUND,
                Code::InvalidArgument => StatusCode::BAD_REQUEST,
                Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            };
            (code, format!("{}\n", status.message())).into_response()
        }
    }
}

async fn page(executions: &Executions, id: &WorkflowExecutionIdentifier) -> Result<String, Status> {
    let shown = executions.get_execution(WorkflowExecutionGetRequest { id: Some(id.clone()) }).await?;
    let mut text = String::new();
    begin(&mut text, id, &shown);
    text.push_str("<table><tr><th>node<th>phase<th>attempts</tr>");
    let mut more = false;
    // Sub-workflows' nodes come below the nodes that run them.
    let mut parents = vec![(String::new(), 0)];
    let mut count = 0;
    while let Some((parent, depth)) = parents.pop() {
        let request = NodeExecutionListRequest {
            workflow_execution_id: Some(id.clone()),
            unique_parent_id: parent,
            limit: NODES as u32,
            ..Default::default()
        };
        let listed = executions.list_node_executions(request).await?;
        more |= !listed.token.is_empty();
        for shown in listed.node_executions {
            count += 1;
            if count > NODES {
                more = true;
                break;
            }
            node(executions, &mut text, &shown, depth).await?;
            let name = shown.id.unwrap_or_default().node_id;
            if shown.metadata.is_some_and(|metadata| metadata.is_parent_node) {
                parents.push((name, depth + 1));
            }
        }
    }
    text.push_str("</table>\n");
    if more {
        put(&mut text, format_args!("<p>More nodes than {NODES} are not shown.</p>\n"));
    }
    Ok(text)
}

fn begin(text: &mut String, id: &WorkflowExecutionIdentifier, shown: &Execution) {
    let name = escaped(&id.name);
    put(text, format_args!("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{name}</title>"));
    put(text, format_args!("<style>{STYLE}</style>\n<h1>{name}</h1>\n"));
    let closure = shown.closure.clone().unwrap_or_default();
    let spec = shown.spec.clone().unwrap_or_default();
    let plan = spec.launch_plan.unwrap_or_default();
    let principal = spec.metadata.unwrap_or_default().principal;
    let lines = [
        ("phase", closure.phase().as_str_name().to_owned()),
        ("project and domain", format!("{} {}", id.project, id.domain)),
        ("runs", format!("{} {}", plan.name, plan.version)),
        // What flytekit says where nobody signs in.
        ("by", if principal == "placeholder" { String::new() } else { principal }),
        ("created", moment(closure.created_at)),
        ("started", moment(closure.started_at)),
        ("took", closure.duration.map(|took| format!("{} s", took.seconds)).unwrap_or_default()),
    ];
    text.push_str("<table>");
    for (what, value) in lines.iter().filter(|(_, value)| !value.trim().is_empty()) {
        put(text, format_args!("<tr><th>{what}<td>{}</tr>", escaped(value)));
    }
    text.push_str("</table>\n");
    match closure.output_result {
        Some(execution_closure::OutputResult::Error(error)) => {
            put(text, format_args!("<pre>{}: {}</pre>\n", escaped(&error.code), escaped(cut(&error.message))));
        }
        Some(execution_closure::OutputResult::AbortMetadata(abort)) => {
            let by = if abort.principal.is_empty() { String::new() } else { format!(" by {}", abort.principal) };
            put(text, format_args!("<pre>terminated{}: {}</pre>\n", escaped(&by), escaped(cut(&abort.cause))));
        }
        _ => {}
    }
}

async fn node(executions: &Executions, text: &mut String, shown: &NodeExecution, depth: usize) -> Result<(), Status> {
    let id = shown.id.clone().unwrap_or_default();
    let closure = shown.closure.clone().unwrap_or_default();
    let indent = "&emsp;".repeat(depth);
    let (name, phase) = (escaped(&id.node_id), closure.phase().as_str_name());
    put(text, format_args!("<tr><td>{indent}{name}<td>{phase}<td>"));
    let parent = shown.metadata.as_ref().is_some_and(|metadata| metadata.is_parent_node);
    let attempts = if parent { Vec::new() } else { attempts(executions, id).await? };
    for task in &attempts {
        attempt(text, task);
    }
    // What kept it from beginning has no attempt.
    if let (Some(node_execution_closure::OutputResult::Error(error)), true) =
        (&closure.output_result, attempts.is_empty())
    {
        put(text, format_args!("<pre>{}: {}</pre>", escaped(&error.code), escaped(cut(&error.message))));
    }
    text.push_str("</tr>\n");
    Ok(())
}

async fn attempts(executions: &Executions, node: NodeExecutionIdentifier) -> Result<Vec<TaskExecution>, Status> {
    let request = TaskExecutionListRequest { node_execution_id: Some(node), limit: 100, ..Default::default() };
    Ok(executions.list_task_executions(request).await?.task_executions)
}

fn attempt(text: &mut String, task: &TaskExecution) {
    let number = task.id.as_ref().map_or(0, |id| id.retry_attempt);
    let closure = task.closure.clone().unwrap_or_default();
    put(text, format_args!("<div>{number}: {} {}", closure.phase().as_str_name(), escaped(&closure.reason)));
    for log in &closure.logs {
        // An address from nowhere else than our own configuration, and nothing that a browser would run.
        if log.uri.starts_with("https://") {
            put(text, format_args!(" <a href=\"{}\">{}</a>", escaped(&log.uri), escaped(&log.name)));
        }
    }
    text.push_str("</div>");
    if let Some(crate::idl::admin::task_execution_closure::OutputResult::Error(error)) = &closure.output_result {
        put(text, format_args!("<pre>{}: {}</pre>", escaped(&error.code), escaped(cut(&error.message))));
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(ERROR)]
}

fn moment(at: Option<prost_types::Timestamp>) -> String {
    let at = at.and_then(|at| OffsetDateTime::from_unix_timestamp(at.seconds).ok());
    at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default()
}

fn put(text: &mut String, piece: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = text.write_fmt(piece);
}

/// Text as HTML has it, within elements and within quotes.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_users_write_is_text() {
        assert_eq!(escaped("<a href=\"x\">'&'</a>"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;");
        let mut text = String::new();
        let id = WorkflowExecutionIdentifier { name: "<b>".to_owned(), ..Default::default() };
        begin(&mut text, &id, &Execution::default());
        assert!(text.contains("<h1>&lt;b&gt;</h1>") && !text.contains("<b>"), "{text}");
        assert_eq!(cut(&"\u{e9}".repeat(ERROR)).len(), ERROR);
    }
}
