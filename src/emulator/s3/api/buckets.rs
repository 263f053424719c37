//! Operations on buckets.

use std::sync::Arc;

use s3s::dto::*;
use s3s::{S3Request, S3Result, s3_error};

use super::super::intake::blocking;
use super::Api;
use super::convert::disk;

/// The region of every bucket.
const REGION: &str = "us-east-1";

/// Creating one's own bucket again succeeds, as it does in us-east-1.
pub(super) async fn create_bucket(api: &Api, request: S3Request<CreateBucketInput>) -> S3Result<CreateBucketOutput> {
    let (all, name) = (Arc::clone(&api.disk), request.input.bucket);
    let location = Some(format!("/{name}"));
    blocking(move || {
        all.create(&name).map_err(disk)?;
        all.bucket(&name).map(drop).ok_or_else(|| s3_error!(AccessDenied, "this endpoint is open for reading only"))
    })
    .await?;
    Ok(CreateBucketOutput { location })
}

pub(super) async fn delete_bucket(api: &Api, request: S3Request<DeleteBucketInput>) -> S3Result<DeleteBucketOutput> {
    let bucket = api.bucket(&request.input.bucket)?;
    bucket.writable().map_err(super::convert::refused)?;
    let all = Arc::clone(&api.disk);
    let removed = blocking(move || all.remove(&bucket.name).map_err(disk)).await?;
    if removed {
        Ok(DeleteBucketOutput {})
    } else {
        Err(s3_error!(BucketNotEmpty, "The bucket you tried to delete is not empty"))
    }
}

pub(super) async fn get_bucket_location(
    api: &Api,
    request: S3Request<GetBucketLocationInput>,
) -> S3Result<GetBucketLocationOutput> {
    // us-east-1 is the one region whose location is written as none.
    api.bucket(&request.input.bucket).map(|_| GetBucketLocationOutput::default())
}

pub(super) async fn head_bucket(api: &Api, request: S3Request<HeadBucketInput>) -> S3Result<HeadBucketOutput> {
    api.bucket(&request.input.bucket)?;
    Ok(HeadBucketOutput { bucket_region: Some(REGION.to_owned()), ..HeadBucketOutput::default() })
}

/// Versioning is off, and was never on: the answer says nothing.
pub(super) async fn get_bucket_versioning(
    api: &Api,
    request: S3Request<GetBucketVersioningInput>,
) -> S3Result<GetBucketVersioningOutput> {
    api.bucket(&request.input.bucket).map(|_| GetBucketVersioningOutput::default())
}

/// A page of the buckets; the token is the last name.
pub(super) async fn list_buckets(api: &Api, request: S3Request<ListBucketsInput>) -> S3Result<ListBucketsOutput> {
    let ListBucketsInput { prefix, continuation_token, max_buckets, bucket_region, .. } = request.input;
    let most = match max_buckets {
        None => usize::MAX,
        Some(count @ 1..=10_000) => count as usize,
        Some(count) => return Err(s3_error!(InvalidArgument, "max-buckets is {count}; expected 1 to 10000")),
    };
    let wanted = |name: &str| {
        prefix.as_deref().is_none_or(|prefix| name.starts_with(prefix))
            && continuation_token.as_deref().is_none_or(|last| name > last)
            && bucket_region.as_deref().is_none_or(|region| region == REGION)
    };
    let mut all = api.disk.all();
    all.retain(|bucket| wanted(&bucket.name));
    let more = all.len() > most;
    all.truncate(most);
    let token = all.last().map(|bucket| bucket.name.clone()).filter(|_| more);
    let buckets = all.iter().map(|bucket| Bucket {
        name: Some(bucket.name.clone()),
        creation_date: Some(Timestamp::from(bucket.created())),
        bucket_region: Some(REGION.to_owned()),
    });
    let buckets = Some(buckets.collect());
    Ok(ListBucketsOutput { buckets, prefix, continuation_token: token, ..ListBucketsOutput::default() })
}
