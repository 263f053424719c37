//! The S3 API on the disk. Operations not named here answer `NotImplemented`.

mod buckets;
mod convert;
mod listings;
mod objects;
mod read;
mod tagging;
mod uploads;

use std::sync::Arc;

use s3s::dto::*;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};

pub(super) use self::convert::{coded, disk};
use super::bucket::Bucket;
use super::disk::Disk;

/// The operations.
pub(super) struct Api {
    pub(super) disk: Arc<Disk>,
}

impl Api {
    fn bucket(&self, name: &str) -> S3Result<Arc<Bucket>> {
        self.disk.bucket(name).ok_or_else(|| s3_error!(NoSuchBucket, "The bucket {name} does not exist"))
    }
}

/// One method of the trait for each operation, each a call of the function of its name. Some say headers of their own.
macro_rules! operations {
    (
        plain: { $($module:ident :: $name:ident ($input:ty) -> $output:ty;)* }
        with_headers: { $($reading:ident :: $read:ident ($asked:ty) -> $answer:ty;)* }
    ) => {
        #[async_trait::async_trait]
        impl S3 for Api {
            $(async fn $name(&self, request: S3Request<$input>) -> S3Result<S3Response<$output>> {
                $module::$name(self, request).await.map(S3Response::new)
            })*
            $(async fn $read(&self, request: S3Request<$asked>) -> S3Result<S3Response<$answer>> {
                $reading::$read(self, request).await
            })*
        }
    };
}

operations! {
    plain: {
    buckets::create_bucket(CreateBucketInput) -> CreateBucketOutput;
    buckets::delete_bucket(DeleteBucketInput) -> DeleteBucketOutput;
    buckets::get_bucket_location(GetBucketLocationInput) -> GetBucketLocationOutput;
    buckets::head_bucket(HeadBucketInput) -> HeadBucketOutput;
    buckets::list_buckets(ListBucketsInput) -> ListBucketsOutput;
    listings::list_objects(ListObjectsInput) -> ListObjectsOutput;
    listings::list_objects_v2(ListObjectsV2Input) -> ListObjectsV2Output;
    objects::copy_object(CopyObjectInput) -> CopyObjectOutput;
    objects::delete_object(DeleteObjectInput) -> DeleteObjectOutput;
    objects::delete_objects(DeleteObjectsInput) -> DeleteObjectsOutput;
    objects::put_object(PutObjectInput) -> PutObjectOutput;
    buckets::get_bucket_versioning(GetBucketVersioningInput) -> GetBucketVersioningOutput;
    read::get_object_attributes(GetObjectAttributesInput) -> GetObjectAttributesOutput;
    tagging::delete_object_tagging(DeleteObjectTaggingInput) -> DeleteObjectTaggingOutput;
    tagging::get_object_tagging(GetObjectTaggingInput) -> GetObjectTaggingOutput;
    tagging::put_object_tagging(PutObjectTaggingInput) -> PutObjectTaggingOutput;
    uploads::abort_multipart_upload(AbortMultipartUploadInput) -> AbortMultipartUploadOutput;
    uploads::complete_multipart_upload(CompleteMultipartUploadInput) -> CompleteMultipartUploadOutput;
    uploads::create_multipart_upload(CreateMultipartUploadInput) -> CreateMultipartUploadOutput;
    uploads::list_multipart_uploads(ListMultipartUploadsInput) -> ListMultipartUploadsOutput;
    uploads::list_parts(ListPartsInput) -> ListPartsOutput;
    uploads::upload_part(UploadPartInput) -> UploadPartOutput;
    uploads::upload_part_copy(UploadPartCopyInput) -> UploadPartCopyOutput;
    }
    with_headers: {
    read::get_object(GetObjectInput) -> GetObjectOutput;
    read::head_object(HeadObjectInput) -> HeadObjectOutput;
    }
}
