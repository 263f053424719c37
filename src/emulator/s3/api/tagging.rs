//! Tags of objects.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::StatusCode;
use s3s::dto::*;
use s3s::{S3Request, S3Result, s3_error};

use super::super::bucket::{Bucket as Objects, Condition, Refusal};
use super::super::intake::blocking;
use super::super::object::Draft;
use super::super::upload::copy;
use super::Api;
use super::convert::{coded, disk, no_key, refused};

/// Tags of one object.
const MOST: usize = 10;

/// Checks tags as S3 does: how many, how long, each key once.
fn check(tags: impl IntoIterator<Item = (String, String)>) -> S3Result<BTreeMap<String, String>> {
    let mut checked = BTreeMap::new();
    for (key, value) in tags {
        if key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256 {
            return Err(s3_error!(InvalidTag, "a tag's key has 1 to 128 characters, its value up to 256: {key:?}"));
        }
        if checked.insert(key.clone(), value).is_some() {
            return Err(s3_error!(InvalidTag, "Cannot provide multiple Tags with the same key: {key:?}"));
        }
    }
    match checked.len() {
        0..=MOST => Ok(checked),
        count => {
            let message = format!("Object tags cannot be greater than {MOST}: there are {count}");
            Err(coded("BadRequest", StatusCode::BAD_REQUEST, message))
        }
    }
}

/// Tags in the header `x-amz-tagging`: the form of a URL's query.
pub(super) fn of_header(header: Option<&str>) -> S3Result<BTreeMap<String, String>> {
    let bad = |part: &str| s3_error!(InvalidArgument, "x-amz-tagging holds {part:?}; expected key=value&key=value");
    let pairs = header.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((decoded(key).ok_or_else(|| bad(pair))?, decoded(value).ok_or_else(|| bad(pair))?))
    });
    check(pairs.collect::<S3Result<Vec<_>>>()?)
}

/// Undoes the escapes of a URL's query.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                bytes.push(u8::try_from(high * 16 + low).ok()?);
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).ok()
}

/// Gives an object other tags. Its bytes, its ETag and its date stay.
async fn set(bucket: Arc<Objects>, key: String, tags: BTreeMap<String, String>) -> S3Result<()> {
    blocking(move || {
        bucket.writable().map_err(refused)?;
        loop {
            let object = bucket.read(&key).map_err(disk)?.ok_or_else(no_key)?;
            let mut draft = Draft::new(bucket.draft_path(), None);
            copy(&object, 0..object.meta.size, &mut draft).map_err(disk)?;
            let (_, _, closed) = draft.close();
            let mut meta = object.meta.clone();
            meta.tags.clone_from(&tags);
            match bucket.commit(&key, closed, &mut meta, &[Condition::Match(Some(object.meta.etag))]) {
                // Something else was written meanwhile: that is what gets the tags.
                Err(Refusal::Precondition | Refusal::Missing) => {}
                done => return done.map_err(refused),
            }
        }
    })
    .await
}

pub(super) async fn put_object_tagging(
    api: &Api,
    request: S3Request<PutObjectTaggingInput>,
) -> S3Result<PutObjectTaggingOutput> {
    let PutObjectTaggingInput { bucket, key, tagging, .. } = request.input;
    let tags = tagging.tag_set.into_iter().map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default()));
    set(api.bucket(&bucket)?, key, check(tags)?).await?;
    Ok(PutObjectTaggingOutput::default())
}

pub(super) async fn get_object_tagging(
    api: &Api,
    request: S3Request<GetObjectTaggingInput>,
) -> S3Result<GetObjectTaggingOutput> {
    let meta = super::read::open(api.bucket(&request.input.bucket)?, request.input.key).await?.meta;
    let tag = |(key, value)| Tag { key: Some(key), value: Some(value) };
    Ok(GetObjectTaggingOutput { tag_set: meta.tags.into_iter().map(tag).collect(), version_id: None })
}

pub(super) async fn delete_object_tagging(
    api: &Api,
    request: S3Request<DeleteObjectTaggingInput>,
) -> S3Result<DeleteObjectTaggingOutput> {
    set(api.bucket(&request.input.bucket)?, request.input.key, BTreeMap::new()).await?;
    Ok(DeleteObjectTaggingOutput::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_in_a_header_are_read_as_a_query_is() {
        let tags = |text| of_header(Some(text)).map_err(|error| error.code().as_str().to_owned());
        let two = BTreeMap::from([("a b".to_owned(), "1&2".to_owned()), ("c".to_owned(), String::new())]);
        assert_eq!(tags("a+b=1%262&c"), Ok(two));
        assert_eq!(of_header(None).unwrap(), BTreeMap::new());
        assert_eq!(tags("a=1&a=2"), Err("InvalidTag".to_owned()));
        assert_eq!(tags("=1"), Err("InvalidTag".to_owned()));
        assert_eq!(tags("a=%f"), Err("InvalidArgument".to_owned()));
        let many: String = (0..11).map(|n| format!("k{n}=v&")).collect();
        assert_eq!(tags(&many), Err("BadRequest".to_owned()));
    }
}
