//! Tags: `/v1/tags/{resourceArn}`, the only operations that are told apart by their method.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{Method, Request};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::error::{Error, unknown};
use super::places::place;
use super::{MAX_BODY, durably, ok, request};
use crate::emulator::batch::model::api::{PlaceChange, TagResource, UntagResource};
use crate::emulator::batch::service::Service;

/// TagResource, UntagResource or ListTagsForResource. The path's ARN comes decoded.
pub(super) async fn tags(
    State(service): State<Arc<Service>>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
    request: Request<Body>,
) -> Response {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let unreadable = |why: String| Error::unreadable(&uri, &why);
    let path = path.map_err(|rejection| unreadable(rejection.body_text()));
    let query = query.map_err(|rejection| unreadable(rejection.body_text()));
    let (arn, query) = match path.and_then(|Path(arn)| query.map(|Query(query)| (arn, query))) {
        Ok(read) => read,
        Err(error) => return error.into_response(),
    };
    match to_bytes(request.into_body(), MAX_BODY).await {
        Ok(body) => durably(&service, || answer(&service, &method, arn, query, &body)).await,
        Err(error) => Error::too_large(&error).into_response(),
    }
}

fn answer(
    service: &Arc<Service>,
    method: &Method,
    resource_arn: String,
    query: Vec<(String, String)>,
    body: &[u8],
) -> Result<Response, Error> {
    match *method {
        Method::GET => ok(service.read(|model| model.list_tags(&resource_arn))?),
        Method::POST => {
            let Tags { tags } = request::parse(&request::prepare("TagResource", body)?)?;
            place(service, PlaceChange::TagResource(TagResource { resource_arn, tags }))
        }
        Method::DELETE => {
            let keys = query.into_iter().filter(|(name, _)| name == "tagKeys").map(|(_, key)| key);
            place(service, PlaceChange::UntagResource(UntagResource { resource_arn, tag_keys: keys.collect() }))
        }
        _ => Err(unknown(&format!("{method} /v1/tags"))),
    }
}

#[derive(Deserialize)]
struct Tags {
    tags: std::collections::BTreeMap<String, String>,
}
