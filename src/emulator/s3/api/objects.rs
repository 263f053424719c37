//! Writing, copying and deleting objects.

use axum::http::HeaderMap;
use axum::http::header::{IF_MATCH, IF_NONE_MATCH};
use s3s::dto::*;
use s3s::{S3Request, S3Result, s3_error};

use super::super::bucket::Condition;
use super::super::digest::{Algorithm, hex};
use super::super::intake::{Intake, blocking};
use super::super::object::{Draft, Meta};
use super::super::request::EXPIRES;
use super::super::upload::copy;
use super::Api;
use super::convert::{checked, checksum_type, conditions, disk, etag, refused, time, write_conditions};
use super::read::open;

/// Bytes of user metadata, names and values together.
const USER: usize = 2048;

/// The part of an object's metadata that the client says, from any of the inputs that hold it.
macro_rules! said {
    ($input:expr, $headers:expr) => {{
        let user: std::collections::BTreeMap<String, String> =
            $input.metadata.take().unwrap_or_default().into_iter().collect();
        super::objects::check_user(&user)?;
        Meta {
            content_type: $input.content_type.take(),
            content_encoding: $input.content_encoding.take(),
            content_disposition: $input.content_disposition.take(),
            content_language: $input.content_language.take(),
            cache_control: $input.cache_control.take(),
            expires: super::objects::expires($headers),
            redirect: $input.website_redirect_location.take(),
            class: super::objects::class($input.storage_class.take()),
            tags: super::tagging::of_header($input.tagging.as_deref())?,
            user,
            ..Meta::default()
        }
    }};
}
pub(super) use said;

/// Refuses more user metadata than S3 takes.
pub(super) fn check_user(user: &std::collections::BTreeMap<String, String>) -> S3Result<()> {
    match user.iter().map(|(name, value)| name.len() + value.len()).sum() {
        0..=USER => Ok(()),
        size => Err(s3_error!(MetadataTooLarge, "the user metadata has {size} bytes; at most {USER} are taken")),
    }
}

/// `Expires` as the client wrote it: any text is kept.
pub(super) fn expires(headers: &HeaderMap) -> Option<String> {
    headers.get(EXPIRES).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// A storage class, unless it is the usual one.
pub(super) fn class(class: Option<StorageClass>) -> Option<String> {
    class.map(|class| class.as_str().to_owned()).filter(|class| class != StorageClass::STANDARD)
}

pub(super) async fn put_object(api: &Api, request: S3Request<PutObjectInput>) -> S3Result<PutObjectOutput> {
    let mut input = request.input;
    let bucket = api.bucket(&input.bucket)?;
    bucket.writable().map_err(refused)?;
    let wanted = write_conditions(input.if_match.as_ref(), input.if_none_match.as_ref())?;
    let said = said!(input, &request.headers);
    // Without an algorithm of the client's, S3 takes this one.
    let algorithm = Some(Algorithm::Crc64nvme);
    let draft = bucket.draft_path();
    let intake = Intake::receive(input.body, &request.headers, &request.extensions, draft, algorithm).await?;
    let key = input.key;
    let meta = blocking(move || {
        let stored = intake.store()?;
        let mut meta = Meta { etag: hex(&stored.md5), checksum: stored.checksum, ..said };
        bucket.commit(&key, stored.closed, &mut meta, &wanted).map_err(refused)?;
        Ok(meta)
    })
    .await?;
    let kind = checksum_type(meta.checksum.as_ref(), false);
    let output =
        checked!(PutObjectOutput { e_tag: Some(etag(&meta.etag)), checksum_type: kind }, meta.checksum.as_ref());
    Ok(output)
}

pub(super) async fn delete_object(api: &Api, request: S3Request<DeleteObjectInput>) -> S3Result<DeleteObjectOutput> {
    let input = request.input;
    let bucket = api.bucket(&input.bucket)?;
    let wanted = conditions(input.if_match.as_ref(), None);
    blocking(move || bucket.delete(&input.key, &wanted).map_err(refused)).await?;
    Ok(DeleteObjectOutput::default())
}

pub(super) async fn delete_objects(api: &Api, request: S3Request<DeleteObjectsInput>) -> S3Result<DeleteObjectsOutput> {
    let (bucket, delete) = (api.bucket(&request.input.bucket)?, request.input.delete);
    if delete.objects.is_empty() || delete.objects.len() > 1000 {
        return Err(s3_error!(MalformedXML, "a request deletes 1 to 1000 keys, not {}", delete.objects.len()));
    }
    blocking(move || {
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        for ObjectIdentifier { key, e_tag, .. } in delete.objects {
            let wanted: Vec<_> =
                e_tag.map(|etag| Condition::Match(Some(etag.value().to_owned()))).into_iter().collect();
            match bucket.delete(&key, &wanted).map_err(refused) {
                Ok(_) => deleted.push(DeletedObject { key: Some(key), ..DeletedObject::default() }),
                Err(error) => errors.push(Error {
                    key: Some(key),
                    code: Some(error.code().as_str().to_owned()),
                    message: error.message().map(str::to_owned),
                    version_id: None,
                }),
            }
        }
        let deleted = (delete.quiet != Some(true)).then_some(deleted);
        Ok(DeleteObjectsOutput { deleted, errors: Some(errors), ..DeleteObjectsOutput::default() })
    })
    .await
}

/// The bucket and key that a copy reads.
pub(super) fn source(source: &CopySource) -> S3Result<(String, String)> {
    match source {
        CopySource::Bucket { bucket, key, .. } => Ok((bucket.to_string(), key.to_string())),
        _ => Err(s3_error!(NotImplemented, "copies are made from buckets only")),
    }
}

/// Holds the conditions of a copy against its source. Of a copy, whatever does not hold is a failed precondition.
macro_rules! check_source {
    ($input:expr, $meta:expr) => {{
        let wanted = super::read::Wanted {
            if_match: $input.copy_source_if_match.as_ref(),
            if_none_match: $input.copy_source_if_none_match.as_ref(),
            if_modified_since: $input.copy_source_if_modified_since.as_ref(),
            if_unmodified_since: $input.copy_source_if_unmodified_since.as_ref(),
        };
        wanted.check($meta).map_err(|_| super::convert::refused(super::super::bucket::Refusal::Precondition))
    }};
}
pub(super) use check_source;

/// The conditions on what is overwritten: newer than the API's shapes.
fn on_target(headers: &HeaderMap) -> S3Result<Vec<Condition>> {
    let condition = |name| {
        let Some(value) = headers.get(&name) else { return Ok(None) };
        let bad = |_| s3_error!(InvalidArgument, "{name} is {value:?}; expected an ETag or *");
        ETagCondition::parse_http_header(value.as_bytes()).map(Some).map_err(bad)
    };
    write_conditions(condition(IF_MATCH)?.as_ref(), condition(IF_NONE_MATCH)?.as_ref())
}

/// What the copy is described by: what the source is, or what the request says instead.
fn described(input: &mut CopyObjectInput, headers: &HeaderMap, from: &Meta, itself: bool) -> S3Result<Meta> {
    let replace = input.metadata_directive.as_ref().is_some_and(|d| d.as_str() == MetadataDirective::REPLACE);
    let retag = input.tagging_directive.as_ref().is_some_and(|d| d.as_str() == TaggingDirective::REPLACE);
    let said = said!(input, headers);
    if itself && !replace && said.class == from.class && said.redirect.is_none() {
        let message = "This copy request is illegal because it is trying to copy an object to itself without changing \
                       the object's metadata, storage class, website redirect location or encryption attributes.";
        return Err(s3_error!(InvalidRequest, "{message}"));
    }
    let (tags, class, redirect) = (said.tags.clone(), said.class.clone(), said.redirect.clone());
    let meta = if replace { said } else { from.clone() };
    // A storage class and a redirection are the request's, whatever is copied; tags have a directive of their own.
    Ok(Meta {
        class,
        redirect,
        tags: if retag { tags } else { from.tags.clone() },
        modified_ms: 0,
        composite: false,
        parts: Vec::new(),
        ..meta
    })
}

pub(super) async fn copy_object(api: &Api, request: S3Request<CopyObjectInput>) -> S3Result<CopyObjectOutput> {
    let mut input = request.input;
    let (from, from_key) = source(&input.copy_source)?;
    let itself = from == input.bucket && from_key == input.key;
    let (from, to) = (api.bucket(&from)?, api.bucket(&input.bucket)?);
    to.writable().map_err(refused)?;
    let on_target = on_target(&request.headers)?;
    let object = open(from, from_key).await?;
    check_source!(input, &object.meta)?;
    let mut meta = described(&mut input, &request.headers, &object.meta, itself)?;
    let named = input.checksum_algorithm.as_ref().and_then(|given| Algorithm::named(given.as_str()));
    let algorithm = named.or(object.meta.checksum.as_ref().map(|(algorithm, _)| *algorithm));
    let key = input.key;
    let meta = blocking(move || {
        let mut draft = Draft::new(to.draft_path(), Some(algorithm.unwrap_or(Algorithm::Crc64nvme)));
        copy(&object, 0..object.meta.size, &mut draft).map_err(disk)?;
        let (md5, checksum, closed) = draft.close();
        (meta.etag, meta.checksum) = (hex(&md5), checksum);
        to.commit(&key, closed, &mut meta, &on_target).map_err(refused)?;
        Ok(meta)
    })
    .await?;
    let result = checked!(
        CopyObjectResult {
            e_tag: Some(etag(&meta.etag)),
            last_modified: Some(time(meta.modified_ms)),
            checksum_type: checksum_type(meta.checksum.as_ref(), false),
        },
        meta.checksum.as_ref()
    );
    Ok(CopyObjectOutput { copy_object_result: Some(result), ..CopyObjectOutput::default() })
}
