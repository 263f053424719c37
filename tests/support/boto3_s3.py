"""S3 as boto3 sees it. Arguments: endpoint URL, bucket."""
import concurrent.futures
import hashlib
import io
import sys
import urllib.request

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

url, bucket = sys.argv[1:3]
keys = dict(endpoint_url=url, region_name="eu-central-1", aws_access_key_id="any", aws_secret_access_key="thing")
s3 = boto3.client("s3", **keys)


def refused(code, status, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        found = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
        assert found in ((code, status), (str(status), status)), found
    else:
        raise AssertionError(f"{code} was expected")


# Objects: metadata, conditions, ranges.
put = s3.put_object(
    Bucket=bucket, Key="a b/ü+%", Body=b"0123456789", Metadata={"one": "1"}, ContentType="text/plain", CacheControl="no-store"
)
etag = '"' + hashlib.md5(b"0123456789").hexdigest() + '"'
assert put["ETag"] == etag and put["ChecksumCRC32"], put
got = s3.get_object(Bucket=bucket, Key="a b/ü+%")
assert got["Body"].read() == b"0123456789" and got["Metadata"] == {"one": "1"}, got
assert got["ContentType"] == "text/plain" and got["CacheControl"] == "no-store" and got["ETag"] == etag, got
head = s3.head_object(Bucket=bucket, Key="a b/ü+%", ChecksumMode="ENABLED")
assert head["ContentLength"] == 10 and head["ChecksumCRC32"] == put["ChecksumCRC32"], head
for given, body, shown in [("bytes=2-4", b"234", "bytes 2-4/10"), ("bytes=-3", b"789", "bytes 7-9/10"), ("bytes=8-", b"89", "bytes 8-9/10")]:
    part = s3.get_object(Bucket=bucket, Key="a b/ü+%", Range=given)
    assert part["Body"].read() == body and part["ContentRange"] == shown, part
    assert part["ResponseMetadata"]["HTTPStatusCode"] == 206
refused("InvalidRange", 416, s3.get_object, Bucket=bucket, Key="a b/ü+%", Range="bytes=10-")
refused("NoSuchKey", 404, s3.get_object, Bucket=bucket, Key="none")
refused("NotFound", 404, s3.head_object, Bucket=bucket, Key="none")
refused("NoSuchBucket", 404, s3.get_object, Bucket="no-such", Key="none")
refused("NotModified", 304, s3.get_object, Bucket=bucket, Key="a b/ü+%", IfNoneMatch=etag)
refused("PreconditionFailed", 412, s3.get_object, Bucket=bucket, Key="a b/ü+%", IfMatch='"other"')
refused("PreconditionFailed", 412, s3.put_object, Bucket=bucket, Key="a b/ü+%", Body=b"", IfNoneMatch="*")
refused("NotImplemented", 501, s3.put_object, Bucket=bucket, Key="a b/ü+%", Body=b"", IfNoneMatch=etag)
refused("PreconditionFailed", 412, s3.put_object, Bucket=bucket, Key="a b/ü+%", Body=b"", IfMatch='"other"')
refused("PreconditionFailed", 412, s3.delete_object, Bucket=bucket, Key="a b/ü+%", IfMatch='"other"')
refused("BadDigest", 400, s3.put_object, Bucket=bucket, Key="bad", Body=b"x", ChecksumSHA256="A" * 43 + "=")
refused("BadDigest", 400, s3.put_object, Bucket=bucket, Key="bad", Body=b"x", ContentMD5="A" * 22 + "==")
refused("NoSuchKey", 404, s3.get_object, Bucket=bucket, Key="bad")
s3.put_object(Bucket=bucket, Key="a b/ü+%", Body=b"new", IfMatch=etag)
for algorithm in ["CRC32", "SHA1", "SHA256"]:
    s3.put_object(Bucket=bucket, Key="sum", Body=io.BytesIO(b"streamed" * 5000), ChecksumAlgorithm=algorithm)
    summed = s3.get_object(Bucket=bucket, Key="sum", ChecksumMode="ENABLED")
    assert summed["Body"].read() == b"streamed" * 5000 and summed["Checksum" + algorithm], summed

# Racing creations.
with concurrent.futures.ThreadPoolExecutor(16) as pool:
    def create(i):
        try:
            s3.put_object(Bucket=bucket, Key="race", Body=str(i).encode(), IfNoneMatch="*")
            return i
        except ClientError:
            return None

    winners = [i for i in pool.map(create, range(32)) if i is not None]
assert len(winners) == 1, winners
assert s3.get_object(Bucket=bucket, Key="race")["Body"].read() == str(winners[0]).encode()

# Copies.
s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "a b/ü+%"})
assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == b"new"
refused("NoSuchKey", 404, s3.copy_object, Bucket=bucket, Key="copy", CopySource=f"{bucket}/none")

# Presigned, with another client altogether.
for version in ["s3v4", "s3"]:
    signer = boto3.client("s3", config=Config(signature_version=version), **keys)
    link = signer.generate_presigned_url("get_object", Params=dict(Bucket=bucket, Key="copy"))
    assert urllib.request.urlopen(link).read() == b"new"
link = s3.generate_presigned_url("put_object", Params=dict(Bucket=bucket, Key="linked"))
urllib.request.urlopen(urllib.request.Request(link, data=b"by link", method="PUT"))
assert s3.get_object(Bucket=bucket, Key="linked")["Body"].read() == b"by link"

# A bucket as a host name, and the endpoint by its name.
for path, host in [("/copy", f"{bucket}.localhost:80"), (f"/{bucket}/copy", "localhost:80"), (f"/{bucket}/copy", "emulator:80")]:
    assert urllib.request.urlopen(urllib.request.Request(url + path, headers={"Host": host})).read() == b"new"

# Listings, with encoding-type=url, which boto3 always asks for.
names = ["l/" + name for name in ["a", "a b", "a+b", "a/1", "a/2", "b/1", "é", "x/", "x//y", "\x01\r\n"]]
for name in names:
    s3.put_object(Bucket=bucket, Key=name, Body=b"")
for operation in ["list_objects", "list_objects_v2"]:
    for size in [1, 3, 1000]:
        pages = list(s3.get_paginator(operation).paginate(Bucket=bucket, Prefix="l/", PaginationConfig={"PageSize": size}))
        assert [o["Key"] for p in pages for o in p.get("Contents", [])] == sorted(names, key=str.encode), (operation, size)
        pages = list(
            s3.get_paginator(operation).paginate(Bucket=bucket, Prefix="l/", Delimiter="/", PaginationConfig={"PageSize": size})
        )
        assert sorted(c["Prefix"] for p in pages for c in p.get("CommonPrefixes", [])) == ["l/a/", "l/b/", "l/x/"], (operation, size)
        assert len([o for p in pages for o in p.get("Contents", [])]) == 5, (operation, size)

# Multipart.
body = bytes(range(256)) * 4096 * 13
parts = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
s3.upload_fileobj(io.BytesIO(body), bucket, "large", Config=parts, ExtraArgs={"Metadata": {"two": "2"}})
back = io.BytesIO()
s3.download_fileobj(bucket, "large", back, Config=parts)
assert back.getvalue() == body
head = s3.head_object(Bucket=bucket, Key="large")
assert head["ETag"].endswith('-3"') and head["Metadata"] == {"two": "2"}, head
s3.copy({"Bucket": bucket, "Key": "large"}, bucket, "large-copy", Config=parts)
assert s3.get_object(Bucket=bucket, Key="large-copy")["Body"].read() == body
upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
where = dict(Bucket=bucket, Key="parts", UploadId=upload)
sent = [s3.upload_part(PartNumber=n, Body=body[: 5 << 20] if n < 3 else b"end", **where) for n in [1, 2, 3]]
listed = s3.list_parts(MaxParts=2, **where)
assert [p["PartNumber"] for p in listed["Parts"]] == [1, 2] and listed["IsTruncated"], listed
assert [u["UploadId"] for u in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [upload]
done = [dict(PartNumber=n + 1, ETag=p["ETag"]) for n, p in enumerate(sent)]
refused("InvalidPartOrder", 400, s3.complete_multipart_upload, MultipartUpload=dict(Parts=done[::-1]), **where)
refused("InvalidPart", 400, s3.complete_multipart_upload, MultipartUpload=dict(Parts=[dict(done[0], ETag='"0"')]), **where)
s3.upload_part(PartNumber=4, Body=b"end", **where)
small = [done[2], dict(done[2], PartNumber=4)]
refused("EntityTooSmall", 400, s3.complete_multipart_upload, MultipartUpload=dict(Parts=small), **where)
s3.put_object(Bucket=bucket, Key="parts", Body=b"there")
refused("PreconditionFailed", 412, s3.complete_multipart_upload, MultipartUpload=dict(Parts=done), IfNoneMatch="*", **where)
s3.complete_multipart_upload(MultipartUpload=dict(Parts=done), **where)
assert s3.get_object(Bucket=bucket, Key="parts", Range="bytes=-4")["Body"].read() == body[(5 << 20) - 1 : 5 << 20] + b"end"
refused("NoSuchUpload", 404, s3.list_parts, **where)
upload = s3.create_multipart_upload(Bucket=bucket, Key="given-up")["UploadId"]
s3.abort_multipart_upload(Bucket=bucket, Key="given-up", UploadId=upload)
refused("NoSuchUpload", 404, s3.upload_part, Bucket=bucket, Key="given-up", UploadId=upload, PartNumber=1, Body=b"")
refused("NoSuchUpload", 404, s3.list_parts, Bucket=bucket, Key="x", UploadId="../../objects")

# Buckets, and deleting.
s3.create_bucket(Bucket="second", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
assert [b["Name"] for b in s3.list_buckets()["Buckets"]] == sorted([bucket, "second"])
s3.head_bucket(Bucket="second")
s3.get_bucket_location(Bucket="second")
s3.put_object(Bucket="second", Key="k", Body=b"")
refused("BucketNotEmpty", 409, s3.delete_bucket, Bucket="second")
s3.delete_object(Bucket="second", Key="k")
s3.delete_object(Bucket="second", Key="never-was")
s3.delete_bucket(Bucket="second")
refused("NotFound", 404, s3.head_bucket, Bucket="second")
gone = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": name} for name in names[:-1]]})
assert len(gone["Deleted"]) == len(names) - 1 and "Errors" not in gone, gone
assert s3.list_objects_v2(Bucket=bucket, Prefix="l/")["KeyCount"] == 1
