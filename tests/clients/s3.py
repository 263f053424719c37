"""S3 by boto3, beyond what tests/support/boto3_s3.py sees. Arguments: endpoint URL, bucket."""
import base64
import concurrent.futures
import datetime
import hashlib
import http.client
import io
import socket
import sys
import urllib.error
import urllib.parse
import urllib.request
import zlib

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

url, bucket = sys.argv[1:3]
keys = dict(endpoint_url=url, region_name="eu-central-1", aws_access_key_id="any", aws_secret_access_key="thing")

# Some systems' resolvers know only `localhost`, not the names below it.
resolve = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **more: resolve("127.0.0.1" if str(host).endswith(".localhost") else host, *rest, **more)

s3 = boto3.client("s3", config=Config(retries={"max_attempts": 1}), **keys)
b = dict(Bucket=bucket)


def refused(code, status, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        found = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
        assert found in ((code, status), (str(status), status)), (found, code)
        return error.response
    raise AssertionError(f"{code} was expected")


def equal(found, expected):
    assert found == expected, (found, expected)


def b64(data):
    return base64.b64encode(data).decode()


def crc32(data):
    return b64(zlib.crc32(data).to_bytes(4, "big"))


def metadata():
    said = dict(
        ContentType="text/x-odd; charset=\"utf-8\"", CacheControl="max-age=1", ContentDisposition='attachment; filename="a b"',
        ContentEncoding="gzip", ContentLanguage="de", WebsiteRedirectLocation="/other", StorageClass="STANDARD_IA",
        Metadata={"a": "1", "b-c": "two words"},
    )
    s3.put_object(Key="meta", Body=b"x", Expires=datetime.datetime(2030, 1, 2, 3, 4, 5), Tagging="t=1&u=a%20b", **said, **b)
    for found in [s3.get_object(Key="meta", **b), s3.head_object(Key="meta", **b)]:
        equal({name: found[name] for name in said}, said)
        equal(found["ExpiresString"], "Wed, 02 Jan 2030 03:04:05 GMT")
        equal(found["ResponseMetadata"]["HTTPHeaders"]["x-amz-tagging-count"], "2")
        assert found["ResponseMetadata"]["RequestId"], found
    plain = s3.put_object(Key="plain", Body=b"x", **b) and s3.head_object(Key="plain", **b)
    equal(plain["ContentType"], "binary/octet-stream")
    assert "StorageClass" not in plain and "Expires" not in plain, plain
    said = dict(ResponseContentType="a/b", ResponseCacheControl="c", ResponseContentDisposition="d", ResponseContentLanguage="fr")
    other = s3.get_object(Key="meta", **said, **b)
    equal([other[name.removeprefix("Response")] for name in said], list(said.values()))
    refused("MetadataTooLarge", 400, s3.put_object, Key="meta", Body=b"", Metadata={"k": "v" * 2100}, **b)
    listed = {o["Key"]: o["StorageClass"] for o in s3.list_objects_v2(**b)["Contents"]}
    equal((listed["meta"], listed["plain"]), ("STANDARD_IA", "STANDARD"))

    # Copies: what is taken over, and what the request says instead.
    src = dict(CopySource={"Bucket": bucket, "Key": "meta"})
    s3.copy_object(Key="copy", **src, **b)
    copy = s3.head_object(Key="copy", **b)
    equal((copy["Metadata"], copy["ContentLanguage"], copy["ExpiresString"]), ({"a": "1", "b-c": "two words"}, "de", "Wed, 02 Jan 2030 03:04:05 GMT"))
    assert "WebsiteRedirectLocation" not in copy and "StorageClass" not in copy, copy
    equal(len(s3.get_object_tagging(Key="copy", **b)["TagSet"]), 2)
    s3.copy_object(Key="copy", MetadataDirective="REPLACE", Metadata={"n": "1"}, TaggingDirective="REPLACE", Tagging="only=one", **src, **b)
    copy = s3.head_object(Key="copy", **b)
    equal((copy["Metadata"], copy["ContentType"]), ({"n": "1"}, "binary/octet-stream"))
    equal(s3.get_object_tagging(Key="copy", **b)["TagSet"], [{"Key": "only", "Value": "one"}])
    itself = dict(CopySource=f"{bucket}/copy", Key="copy", **b)
    refused("InvalidRequest", 400, s3.copy_object, **itself)
    s3.copy_object(MetadataDirective="REPLACE", Metadata={"n": "2"}, **itself)
    equal(s3.head_object(Key="copy", **b)["Metadata"], {"n": "2"})
    refused("PreconditionFailed", 412, s3.copy_object, Key="c2", CopySourceIfMatch='"no"', **src, **b)
    refused("PreconditionFailed", 412, s3.copy_object, Key="c2", CopySourceIfNoneMatch="*", **src, **b)
    if "IfNoneMatch" in s3.meta.service_model.operation_model("CopyObject").input_shape.members:
        refused("PreconditionFailed", 412, s3.copy_object, Key="copy", IfNoneMatch="*", **src, **b)
        refused("PreconditionFailed", 412, s3.copy_object, Key="copy", IfMatch='"no"', **src, **b)
    refused("NoSuchBucket", 404, s3.copy_object, Key="c2", CopySource="no-such/x", **b)


def conditions():
    put = s3.put_object(Key="c", Body=b"0123456789", **b)
    head = s3.head_object(Key="c", **b)
    now, hour = head["LastModified"], datetime.timedelta(hours=1)
    for read in [s3.get_object, s3.head_object]:
        read(Key="c", IfMatch=put["ETag"], **b)
        read(Key="c", IfMatch="*", **b)
        read(Key="c", IfNoneMatch='"other"', **b)
        read(Key="c", IfModifiedSince=now - hour, **b)
        read(Key="c", IfUnmodifiedSince=now + hour, **b)
        read(Key="c", IfMatch=put["ETag"], IfUnmodifiedSince=now - hour, **b)
        for wanted in [dict(IfNoneMatch=put["ETag"]), dict(IfModifiedSince=now), dict(IfNoneMatch=put["ETag"], IfModifiedSince=now - hour)]:
            kept = refused("NotModified", 304, read, Key="c", **wanted, **b)
            equal(kept["ResponseMetadata"]["HTTPHeaders"]["etag"], put["ETag"])
        for wanted in [dict(IfMatch='"other"'), dict(IfUnmodifiedSince=now - hour)]:
            refused("PreconditionFailed", 412, read, Key="c", **wanted, **b)
    refused("NoSuchKey", 404, s3.put_object, Key="absent", Body=b"", IfMatch=put["ETag"], **b)
    refused("PreconditionFailed", 412, s3.delete_object, Key="c", IfMatch='"other"', **b)
    s3.delete_object(Key="c", IfMatch=put["ETag"], **b)
    refused("NotFound", 404, s3.head_object, Key="c", **b)

    # Of writers that all saw the same object exactly one replaces it.
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for _ in range(4):
            etag = s3.put_object(Key="race", Body=b"seen", **b)["ETag"]

            def replace(n):
                try:
                    return s3.put_object(Key="race", Body=str(n), IfMatch=etag, **b) and n
                except ClientError as error:
                    assert error.response["Error"]["Code"] == "PreconditionFailed", error

            won = [n for n in pool.map(replace, range(1, 25)) if n]
            equal(len(won), 1)
            equal(s3.get_object(Key="race", **b)["Body"].read(), str(won[0]).encode())
        s3.delete_object(Key="race", **b)

        def upload(n):
            where = dict(Key="race", UploadId=s3.create_multipart_upload(Key="race", **b)["UploadId"], **b)
            part = s3.upload_part(PartNumber=1, Body=str(n), **where)["ETag"]
            try:
                done = dict(Parts=[dict(PartNumber=1, ETag=part)])
                return s3.complete_multipart_upload(MultipartUpload=done, IfNoneMatch="*", **where) and n
            except ClientError as error:
                assert error.response["Error"]["Code"] == "PreconditionFailed", error
                s3.abort_multipart_upload(**where)

        won = [n for n in pool.map(upload, range(1, 25)) if n]
        equal(len(won), 1)
        equal(s3.get_object(Key="race", **b)["Body"].read(), str(won[0]).encode())


def ranges():
    s3.put_object(Key="r", Body=b"0123456789", **b)
    s3.put_object(Key="empty", Body=b"", **b)
    for given, body in [("bytes=0-0", b"0"), ("bytes=5-", b"56789"), ("bytes=-100", b"0123456789"), ("bytes=8-99", b"89")]:
        equal(s3.get_object(Key="r", Range=given, **b)["Body"].read(), body)
        equal(s3.head_object(Key="r", Range=given, **b)["ContentLength"], len(body))
    for given in ["bytes=0-1,4-5", "lines=1-2", "bytes=5-2", "bytes=x"]:
        whole = s3.get_object(Key="r", Range=given, **b)
        equal((whole["Body"].read(), whole["ResponseMetadata"]["HTTPStatusCode"]), (b"0123456789", 200))
    for key, given in [("r", "bytes=10-"), ("r", "bytes=-0"), ("empty", "bytes=0-")]:
        answer = refused("InvalidRange", 416, s3.get_object, Key=key, Range=given, **b)
        equal(answer["ResponseMetadata"]["HTTPHeaders"]["content-range"], "bytes */10" if key == "r" else "bytes */0")
    equal(s3.get_object(Key="empty", **b)["Body"].read(), b"")


def checksums():
    body = b"checked" * 1000
    for algorithm in ["CRC32", "SHA1", "SHA256"]:
        put = s3.put_object(Key="sum", Body=body, ChecksumAlgorithm=algorithm, **b)
        equal(put["ChecksumType"], "FULL_OBJECT")
        got = s3.head_object(Key="sum", ChecksumMode="ENABLED", **b)
        equal((got["Checksum" + algorithm], got["ChecksumType"]), (put["Checksum" + algorithm], "FULL_OBJECT"))
        assert "Checksum" + algorithm not in s3.head_object(Key="sum", **b)
        equal([o["ChecksumAlgorithm"] for o in s3.list_objects_v2(Prefix="sum", **b)["Contents"]], [[algorithm]])
    equal(crc32(body), s3.put_object(Key="sum", Body=body, ChecksumCRC32=crc32(body), **b)["ChecksumCRC32"])
    # boto3 has these two only with the C runtime; their values are the published ones of "123456789".
    for name, value in [("CRC32C", "4waSgw=="), ("CRC64NVME", "rosUhgp5mIg=")]:
        s3.put_object(Key="sum", Body=b"123456789", **{"Checksum" + name: value}, **b)
        equal(s3.head_object(Key="sum", ChecksumMode="ENABLED", **b)["Checksum" + name], value)
        refused("BadDigest", 400, s3.put_object, Key="bad", Body=b"12345678", **{"Checksum" + name: value}, **b)
    # What is to be deleted is checked as well.
    s3.put_object(Key="kept", Body=b"x", **b)
    gone = dict(Delete={"Objects": [{"Key": "kept"}]}, **b)
    for header, value in [("Content-MD5", b64(hashlib.md5(b"another").digest())), ("x-amz-checksum-crc32", crc32(b"another"))]:
        other = boto3.client("s3", config=Config(retries={"max_attempts": 1}), **keys)

        def replace(request, **_):
            for name in [name for name in request.headers if name.lower() in ("content-md5", "x-amz-sdk-checksum-algorithm") or name.lower().startswith("x-amz-checksum-")]:
                del request.headers[name]
            request.headers[header] = value

        other.meta.events.register("before-sign.s3.DeleteObjects", replace)
        refused("BadDigest", 400, other.delete_objects, **gone)
    s3.head_object(Key="kept", **b)
    s3.delete_objects(ChecksumAlgorithm="SHA256", **gone)
    refused("NotFound", 404, s3.head_object, Key="kept", **b)
    # Without any, S3 computes its own.
    quiet = boto3.client("s3", config=Config(request_checksum_calculation="when_required"), **keys)
    equal(quiet.put_object(Key="sum", Body=b"123456789", **b)["ChecksumCRC64NVME"], "rosUhgp5mIg=")
    refused("InvalidRequest", 400, s3.put_object, Key="bad", Body=b"x", ChecksumCRC32="AA==", **b)
    refused("InvalidDigest", 400, s3.put_object, Key="bad", Body=b"x", ContentMD5="x", **b)
    refused("NotFound", 404, s3.head_object, Key="bad", **b)
    # A signed body that is not the one that came.
    at = urllib.parse.urlsplit(url)
    raw = http.client.HTTPConnection(at.hostname, at.port)
    raw.request("PUT", f"/{bucket}/bad", b"x", {"x-amz-content-sha256": hashlib.sha256(b"y").hexdigest()})
    answer = raw.getresponse()
    assert answer.status == 400 and b"<Code>XAmzContentSHA256Mismatch</Code>" in answer.read()


def multipart():
    mib5 = 5 << 20
    pieces = [b"a" * mib5, b"b" * mib5, b"end"]

    def send(key, **begin):
        upload = s3.create_multipart_upload(Key=key, **begin, **b)
        where = dict(Key=key, UploadId=upload["UploadId"], **b)
        algorithm = {k: v for k, v in begin.items() if k == "ChecksumAlgorithm"}
        return where, [s3.upload_part(PartNumber=n, Body=piece, **algorithm, **where) for n, piece in enumerate(pieces, 1)]

    def done(parts, name=None):
        part = lambda n, p: dict(PartNumber=n, ETag=p["ETag"], **({name: p[name]} if name else {}))
        return dict(MultipartUpload=dict(Parts=[part(n, p) for n, p in enumerate(parts, 1)]))

    # Composite: the checksum of the parts' checksums.
    where, parts = send("composite", ChecksumAlgorithm="SHA256", Metadata={"m": "1"}, Tagging="t=1", StorageClass="GLACIER_IR")
    equal((s3.list_parts(**where)["ChecksumType"], s3.list_parts(**where)["ChecksumAlgorithm"]), ("COMPOSITE", "SHA256"))
    expected = b64(hashlib.sha256(b"".join(hashlib.sha256(p).digest() for p in pieces)).digest()) + "-3"
    wrong = done(parts, "ChecksumSHA256")
    wrong["MultipartUpload"]["Parts"][1]["ChecksumSHA256"] = b64(hashlib.sha256(b"").digest())
    refused("InvalidPart", 400, s3.complete_multipart_upload, **wrong, **where)
    refused("BadDigest", 400, s3.complete_multipart_upload, ChecksumSHA256=b64(hashlib.sha256(b"").digest()), **done(parts), **where)
    made = s3.complete_multipart_upload(**done(parts, "ChecksumSHA256"), **where)
    equal((made["ChecksumSHA256"], made["ChecksumType"]), (expected, "COMPOSITE"))
    head = s3.head_object(Key="composite", ChecksumMode="ENABLED", **b)
    equal((head["ChecksumSHA256"], head["ChecksumType"], head["StorageClass"], head["Metadata"]), (expected, "COMPOSITE", "GLACIER_IR", {"m": "1"}))
    equal(s3.get_object_tagging(Key="composite", **b)["TagSet"], [{"Key": "t", "Value": "1"}])
    two = s3.get_object(Key="composite", PartNumber=2, ChecksumMode="ENABLED", **b)
    equal((two["ContentLength"], two["PartsCount"], two["ContentRange"]), (mib5, 3, f"bytes {mib5}-{2 * mib5 - 1}/{2 * mib5 + 3}"))
    equal((two["Body"].read(), s3.head_object(Key="composite", PartNumber=3, **b)["ContentLength"]), (pieces[1], 3))
    refused("InvalidPartNumber", 416, s3.get_object, Key="composite", PartNumber=4, **b)
    what = dict(ObjectAttributes=["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"], **b)
    found = s3.get_object_attributes(Key="composite", **what)
    equal((found["Checksum"]["ChecksumSHA256"], found["ObjectSize"], found["StorageClass"]), (expected, 2 * mib5 + 3, "GLACIER_IR"))
    equal([p["Size"] for p in found["ObjectParts"]["Parts"]], [mib5, mib5, 3])
    equal(found["ETag"].strip('"'), head["ETag"].strip('"'))
    page = s3.get_object_attributes(Key="composite", MaxParts=1, PartNumberMarker=1, **what)["ObjectParts"]
    equal((page["Parts"][0]["PartNumber"], page["IsTruncated"], page["TotalPartsCount"]), (2, True, 3))
    # A copy is one piece.
    s3.copy_object(Key="one", CopySource=f"{bucket}/composite", **b)
    equal(s3.head_object(Key="one", ChecksumMode="ENABLED", **b)["ChecksumType"], "FULL_OBJECT")
    assert "ObjectParts" not in s3.get_object_attributes(Key="one", **what)

    # Of the whole: the checksum that the bytes have.
    where, parts = send("whole", ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    refused("BadDigest", 400, s3.complete_multipart_upload, ChecksumCRC32=crc32(b""), **done(parts), **where)
    refused("BadDigest", 400, s3.complete_multipart_upload, MpuObjectSize=7, **done(parts), **where)
    made = s3.complete_multipart_upload(ChecksumCRC32=crc32(b"".join(pieces)), MpuObjectSize=2 * mib5 + 3, **done(parts), **where)
    equal((made["ChecksumCRC32"], made["ChecksumType"]), (crc32(b"".join(pieces)), "FULL_OBJECT"))
    refused("InvalidRequest", 400, s3.create_multipart_upload, Key="x", ChecksumAlgorithm="SHA256", ChecksumType="FULL_OBJECT", **b)
    where = dict(Key="mixed", UploadId=s3.create_multipart_upload(Key="mixed", ChecksumAlgorithm="SHA1", **b)["UploadId"], **b)
    refused("InvalidRequest", 400, s3.upload_part, PartNumber=1, Body=b"x", ChecksumAlgorithm="SHA256", **where)
    refused("InvalidArgument", 400, s3.upload_part, PartNumber=10001, Body=b"x", **where)
    # A part replaced, a part copied, a part left out.
    s3.upload_part(PartNumber=1, Body=b"first", ChecksumAlgorithm="SHA1", **where)
    second = s3.upload_part(PartNumber=1, Body=b"second", ChecksumAlgorithm="SHA1", **where)
    copied = s3.upload_part_copy(PartNumber=7, CopySource=f"{bucket}/whole", CopySourceRange="bytes=0-3", **where)
    refused("InvalidRange", 416, s3.upload_part_copy, PartNumber=8, CopySource=f"{bucket}/r", CopySourceRange="bytes=99-100", **where)
    of = s3.head_object(Key="whole", **b)
    now, hour = of["LastModified"], datetime.timedelta(hours=1)
    same = dict(PartNumber=7, CopySource=f"{bucket}/whole", CopySourceRange="bytes=0-3", **where)
    for wanted in [dict(IfMatch=of["ETag"]), dict(IfNoneMatch='"no"'), dict(IfModifiedSince=now - hour), dict(IfUnmodifiedSince=now + hour)]:
        s3.upload_part_copy(**{"CopySource" + name: value for name, value in wanted.items()}, **same)
    for wanted in [dict(IfMatch='"no"'), dict(IfNoneMatch=of["ETag"]), dict(IfModifiedSince=now), dict(IfUnmodifiedSince=now - hour)]:
        other = {**same, "PartNumber": 8, **{"CopySource" + name: value for name, value in wanted.items()}}
        refused("PreconditionFailed", 412, s3.upload_part_copy, **other)
    equal([p["PartNumber"] for p in s3.list_parts(**where)["Parts"]], [1, 7])
    s3.complete_multipart_upload(MultipartUpload=dict(Parts=[dict(PartNumber=1, ETag=second["ETag"])]), **where)
    equal(s3.get_object(Key="mixed", **b)["Body"].read(), b"second")
    assert copied["CopyPartResult"]["ETag"]

    # Uploads under way, in pages.
    begun = {(key, s3.create_multipart_upload(Key=key, **b)["UploadId"]) for key in ["u/a", "u/a", "u/b/1", "u/b/2", "u/c d", "v"]}
    for size in [1, 2, 1000]:
        pages = list(s3.get_paginator("list_multipart_uploads").paginate(PaginationConfig={"PageSize": size}, **b))
        equal(sorted((u["Key"], u["UploadId"]) for p in pages for u in p.get("Uploads", [])), sorted(begun))
        pages = list(s3.get_paginator("list_multipart_uploads").paginate(Prefix="u/", Delimiter="/", PaginationConfig={"PageSize": size}, **b))
        equal([u["Key"] for p in pages for u in p.get("Uploads", [])], ["u/a", "u/a", "u/c d"])
        equal([c["Prefix"] for p in pages for c in p.get("CommonPrefixes", [])], ["u/b/"])
    for key, upload in begun:
        s3.abort_multipart_upload(Key=key, UploadId=upload, **b)
    assert "Uploads" not in s3.list_multipart_uploads(**b)


def tagging():
    s3.put_object(Key="t", Body=b"x" * 100_000, **b)
    before = s3.head_object(Key="t", **b)
    equal(s3.get_object_tagging(Key="t", **b)["TagSet"], [])
    s3.put_object_tagging(Key="t", Tagging={"TagSet": [{"Key": "k", "Value": "v"}, {"Key": "e", "Value": ""}]}, **b)
    equal(s3.get_object_tagging(Key="t", **b)["TagSet"], [{"Key": "e", "Value": ""}, {"Key": "k", "Value": "v"}])
    after = s3.head_object(Key="t", **b)
    equal([after[name] for name in ["ETag", "LastModified", "ContentLength"]], [before[name] for name in ["ETag", "LastModified", "ContentLength"]])
    s3.delete_object_tagging(Key="t", **b)
    equal(s3.get_object_tagging(Key="t", **b)["TagSet"], [])
    same = {"TagSet": [{"Key": "k", "Value": "1"}, {"Key": "k", "Value": "2"}]}
    refused("InvalidTag", 400, s3.put_object_tagging, Key="t", Tagging=same, **b)
    many = {"TagSet": [{"Key": str(n), "Value": ""} for n in range(11)]}
    refused("BadRequest", 400, s3.put_object_tagging, Key="t", Tagging=many, **b)
    refused("NoSuchKey", 404, s3.get_object_tagging, Key="none", **b)


def presigned():
    s3.put_object(Key="p", Body=b"linked", **b)
    link = lambda call, **more: s3.generate_presigned_url(call, Params=dict(Key="p", **b), **more)
    equal(urllib.request.urlopen(link("get_object")).read(), b"linked")
    head = urllib.request.urlopen(urllib.request.Request(link("head_object"), method="HEAD"))
    equal(head.headers["content-length"], "6")
    part = urllib.request.Request(link("get_object"), headers={"Range": "bytes=1-2"})
    equal(urllib.request.urlopen(part).read(), b"in")
    urllib.request.urlopen(urllib.request.Request(link("put_object"), data=b"new", method="PUT"))
    equal(s3.get_object(Key="p", **b)["Body"].read(), b"new")
    urllib.request.urlopen(urllib.request.Request(link("delete_object"), method="DELETE"))
    refused("NotFound", 404, s3.head_object, Key="p", **b)
    late = link("get_object").replace("X-Amz-Date=20", "X-Amz-Date=19")
    old = boto3.client("s3", config=Config(signature_version="s3"), **keys)
    for gone in [late, old.generate_presigned_url("get_object", Params=dict(Key="p", **b), ExpiresIn=-9)]:
        try:
            urllib.request.urlopen(gone)
        except urllib.error.HTTPError as error:
            text = error.read()
            assert error.code == 403 and b"<Code>AccessDenied</Code>" in text and b"Request has expired" in text, text
        else:
            raise AssertionError("an expired URL was taken")


def listings():
    s3.create_bucket(Bucket="lists")
    names = ["a", "a/b", "a/c/d", "a b&<>", "x+y%", "é/ü", "z"]
    for name in names:
        s3.put_object(Bucket="lists", Key=name, Body=b"")
    first = s3.list_objects_v2(Bucket="lists", StartAfter="a/b", MaxKeys=2)
    equal(([o["Key"] for o in first["Contents"]], first["IsTruncated"], first["KeyCount"], first["StartAfter"]), (["a/c/d", "x+y%"], True, 2, "a/b"))
    rest = s3.list_objects_v2(Bucket="lists", ContinuationToken=first["NextContinuationToken"])
    equal(([o["Key"] for o in rest["Contents"]], rest["IsTruncated"]), (["z", "é/ü"], False))
    equal([o["Key"] for o in s3.list_objects(Bucket="lists", Marker="z")["Contents"]], ["é/ü"])
    cut = s3.list_objects_v2(Bucket="lists", Delimiter="/", EncodingType="url")
    equal([p["Prefix"] for p in cut["CommonPrefixes"]], ["a/", "%C3%A9/"])
    equal([o["Key"] for o in cut["Contents"]], ["a", "a%20b%26%3C%3E", "x%2By%25", "z"])
    none = s3.list_objects_v2(Bucket="lists", MaxKeys=0)
    equal((none["KeyCount"], none["IsTruncated"]), (0, False))
    refused("InvalidArgument", 400, s3.list_objects_v2, Bucket="lists", ContinuationToken="nonsense")
    refused("InvalidArgument", 400, s3.list_objects_v2, Bucket="lists", MaxKeys=-1)
    refused("NoSuchBucket", 404, s3.list_objects_v2, Bucket="no-such")
    gone = s3.delete_objects(Bucket="lists", Delete={"Objects": [{"Key": n} for n in names] + [{"Key": "never"}], "Quiet": True})
    assert "Deleted" not in gone and "Errors" not in gone, gone
    assert "Contents" not in s3.list_objects_v2(Bucket="lists")
    keys = [f"many/{n}" for n in range(1000)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: s3.put_object(Bucket="lists", Key=key, Body=b""), keys))
    etag = s3.head_object(Bucket="lists", Key="many/0")["ETag"]
    wrong = s3.delete_objects(Bucket="lists", Delete={"Objects": [{"Key": "many/0", "ETag": '"no"'}, {"Key": "many/1", "ETag": etag}]})
    equal([e["Code"] for e in wrong["Errors"]], ["PreconditionFailed"])
    equal(len(s3.delete_objects(Bucket="lists", Delete={"Objects": [{"Key": k} for k in keys]})["Deleted"]), 1000)
    refused("MalformedXML", 400, s3.delete_objects, Bucket="lists", Delete={"Objects": [{"Key": str(n)} for n in range(1001)]})
    s3.delete_bucket(Bucket="lists")
    refused("NoSuchBucket", 404, s3.put_object, Bucket="lists", Key="k", Body=b"")


def buckets():
    for name in ["b-one", "b-two", "b-three"]:
        equal(s3.create_bucket(Bucket=name)["Location"], "/" + name)
    s3.create_bucket(Bucket="b-one")
    pages = list(s3.get_paginator("list_buckets").paginate(Prefix="b-", PaginationConfig={"PageSize": 2}))
    equal([[x["Name"] for x in page["Buckets"]] for page in pages], [["b-one", "b-three"], ["b-two"]])
    equal(s3.head_bucket(Bucket="b-one")["BucketRegion"], "us-east-1")
    equal(s3.get_bucket_location(Bucket="b-one")["LocationConstraint"], None)
    assert "Status" not in s3.get_bucket_versioning(Bucket="b-one")
    # Of another bucket under the same name nothing is left.
    s3.put_object(Bucket="b-one", Key="k", Body=b"old")
    s3.delete_object(Bucket="b-one", Key="k")
    for name in ["b-one", "b-two", "b-three"]:
        s3.delete_bucket(Bucket=name)
    s3.create_bucket(Bucket="b-one")
    refused("NoSuchKey", 404, s3.get_object, Bucket="b-one", Key="k")
    s3.delete_bucket(Bucket="b-one")
    refused("NoSuchBucket", 404, s3.delete_bucket, Bucket="b-one")
    for call in [s3.get_bucket_acl, s3.get_bucket_policy, s3.get_bucket_lifecycle_configuration, s3.list_object_versions]:
        refused("NotImplemented", 501, call, **b)
    at = urllib.parse.urlsplit(url)
    virtual = boto3.client("s3", **{**keys, "endpoint_url": f"http://localhost:{at.port}"}, config=Config(s3={"addressing_style": "virtual"}))
    virtual.put_object(Key="by/host", Body=b"name", **b)
    equal(s3.get_object(Key="by/host", **b)["Body"].read(), b"name")
    equal([o["Key"] for o in virtual.list_objects_v2(Prefix="by/", **b)["Contents"]], ["by/host"])
    unsigned = boto3.client("s3", endpoint_url=url, config=Config(signature_version=__import__("botocore").UNSIGNED))
    equal(unsigned.get_object(Key="by/host", **b)["Body"].read(), b"name")


def others():
    who = boto3.client("sts", **keys).get_caller_identity()
    equal((who["Account"], who["Arn"]), ("000000000000", "arn:aws:iam::000000000000:root"))
    refused("NotImplemented", 501, boto3.client("ec2", **keys).describe_vpcs)
    refused("NotImplemented", 501, boto3.client("iam", **keys).list_users)
    answer = refused("NotImplemented", 501, boto3.client("dynamodb", **keys).list_tables)
    assert "dynamodb" in answer["Error"]["Message"] and "s3, batch, logs" in answer["Error"]["Message"], answer


for part in [metadata, conditions, ranges, checksums, multipart, tagging, presigned, listings, buckets, others]:
    try:
        part()
    except Exception as error:
        raise AssertionError(part.__name__) from error
