//! S3 as real clients use it, against `batchmap emulator` in a process of its own.

#[path = "support/emulator.rs"]
mod emulator;
#[path = "support/skip.rs"]
mod skip;

use std::path::Path;
use std::process::{Command, Stdio};

use emulator::{Emulator, NAME, Setting, aws_cli, fails, python, succeeds};
use nix::sys::signal::Signal;
use skip::skipped;

#[test]
fn boto3_finds_s3_as_it_is_on_aws() {
    let Some(python) = python() else {
        skipped("no python3 with boto3: BATCHMAP_TEST_PYTHON names none");
        return;
    };
    let emulator = Emulator::start();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/boto3_s3.py");
    succeeds(emulator.client(python).args([script, emulator.url(), NAME]));
}

#[test]
fn boto3_finds_the_rest_of_s3_too() {
    let Some(python) = python() else {
        skipped("no python3 with boto3: BATCHMAP_TEST_PYTHON names none");
        return;
    };
    let emulator = Emulator::start();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/s3.py");
    succeeds(emulator.client(python).args([script, emulator.url(), NAME]));
}

#[test]
fn the_aws_cli_works_as_on_aws() {
    let Some(aws) = aws_cli() else {
        skipped("no aws CLI: neither beside BATCHMAP_TEST_PYTHON nor on the path");
        return;
    };
    let emulator = Emulator::start();
    let place = tempfile::tempdir().expect("a temporary directory");
    let aws = |args: &[&str]| {
        let mut command = emulator.client(&aws);
        command.current_dir(place.path()).args(args);
        command
    };
    let works = |args: &[&str]| succeeds(&mut aws(args));
    let write = |name: &str, data: &[u8]| {
        let path = place.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, data).expect("written");
    };
    write("tree/a.txt", b"one");
    write("tree/b c/d.json", b"{}");
    write("large.bin", &vec![7; 20 << 20]);

    assert!(works(&["sts", "get-caller-identity"]).contains("000000000000"));
    works(&["s3", "mb", "s3://cli"]);
    assert!(works(&["s3", "ls"]).contains("cli"));
    works(&["s3", "cp", "large.bin", "s3://cli/large.bin"]);
    works(&["s3", "cp", "s3://cli/large.bin", "back.bin"]);
    assert!(std::fs::read(place.path().join("back.bin")).expect("it came") == vec![7; 20 << 20]);
    works(&["s3", "sync", "tree", "s3://cli/tree"]);
    assert_eq!(works(&["s3", "sync", "tree", "s3://cli/tree", "--size-only"]).trim(), "", "nothing is left to do");
    write("tree/a.txt", b"another");
    assert!(works(&["s3", "sync", "tree", "s3://cli/tree"]).contains("a.txt"));
    let listed = works(&["s3", "ls", "s3://cli/", "--recursive", "--summarize"]);
    assert!(listed.contains("tree/b c/d.json") && listed.contains("Total Objects: 3"), "{listed}");
    assert!(works(&["s3", "ls", "s3://cli/"]).contains("PRE tree/"));
    works(&["s3", "mv", "s3://cli/tree/a.txt", "s3://cli/moved.txt"]);
    assert_eq!(works(&["s3", "cp", "s3://cli/moved.txt", "-"]), "another");
    works(&["s3", "cp", "s3://cli/large.bin", "s3://cli/copy.bin", "--metadata", "a=b"]);
    let link = works(&["s3", "presign", "s3://cli/moved.txt", "--expires-in", "60"]);
    assert!(link.contains("Signature"), "{link}");
    let unsigned = works(&["s3", "cp", "s3://cli/moved.txt", "-", "--no-sign-request"]);
    assert_eq!(unsigned, "another");

    write("body", b"conditional");
    let put = ["s3api", "put-object", "--bucket", "cli", "--key", "once", "--body", "body", "--if-none-match", "*"];
    assert!(works(&put).contains("ETag"));
    assert!(fails(&mut aws(&put)).contains("PreconditionFailed"));
    let attributes = ["s3api", "get-object-attributes", "--bucket", "cli", "--key", "copy.bin", "--object-attributes"];
    assert!(works(&[&attributes[..], &["ObjectSize", "Checksum"]].concat()).contains("20971520"));
    assert!(fails(&mut aws(&["s3api", "get-bucket-acl", "--bucket", "cli"])).contains("NotImplemented"));
    assert!(fails(&mut aws(&["s3", "ls", "s3://no-such"])).contains("NoSuchBucket"));
    assert!(fails(&mut aws(&["s3", "cp", "s3://cli/none", "-"])).contains("404"));
    works(&["s3", "rm", "s3://cli", "--recursive"]);
    assert_eq!(works(&["s3", "ls", "s3://cli"]).trim(), "");
    works(&["s3", "rb", "s3://cli"]);
    assert!(fails(&mut aws(&["ec2", "describe-vpcs"])).contains("ec2 is not served here"));
}

/// Files in a directory and below it.
fn files(directory: &Path) -> usize {
    let entries = std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    entries.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}

const DISK: &str = r#"
import sys, boto3
from botocore.config import Config
from botocore.exceptions import ClientError
s3 = boto3.client("s3", config=Config(retries={"max_attempts": 1}))
where = dict(Bucket=sys.argv[1], Key="k")
s3.put_object(Body=b"small", **where)
for size in [600_000, 5 << 20]:
    try:
        s3.put_object(Body=b"x" * size, **where)
    except ClientError as error:
        found = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
        assert found == ("InternalError", 500), found
    else:
        raise AssertionError("there is no room for it")
    assert s3.get_object(**where)["Body"].read() == b"small"
    upload = s3.create_multipart_upload(**where)["UploadId"]
    try:
        s3.upload_part(UploadId=upload, PartNumber=1, Body=b"x" * size, **where)
    except ClientError as error:
        assert error.response["Error"]["Code"] == "InternalError", error
    assert "Parts" not in s3.list_parts(UploadId=upload, **where)
    s3.abort_multipart_upload(UploadId=upload, **where)
s3.put_object(Body=b"small again", **where)
assert s3.get_object(**where)["Body"].read() == b"small again"
assert [o["Size"] for o in s3.list_objects_v2(Bucket=sys.argv[1])["Contents"]] == [11]
"#;

#[test]
fn a_full_disk_refuses_and_leaves_nothing() {
    let Some(python) = python() else {
        skipped("no python3 with boto3: BATCHMAP_TEST_PYTHON names none");
        return;
    };
    let place = tempfile::tempdir().expect("a temporary directory");
    let data = place.path().join("data");
    // No file may have more than half a mebibyte (512 B or 1 KiB a block), and the signal that says so is ignored: a
    // write fails as it does on a full disk.
    let inner = Setting::default().command(&data);
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 512; exec \"$0\" \"$@\""]);
    command.arg(inner.get_program()).args(inner.get_args()).stdin(Stdio::null()).stdout(Stdio::piped());
    let emulator = Emulator::of(command.spawn().expect("sh runs"), &data);
    succeeds(emulator.client(python).args(["-c", DISK, NAME]));
    assert_eq!(files(&data.join("s3").join(NAME)), 1, "one object and nothing else");
}

const BEFORE: &str = r#"
import sys, boto3
s3 = boto3.client("s3")
for n in range(200):
    s3.put_object(Bucket=sys.argv[1], Key=f"k/{n}", Body=str(n) * n)
s3.create_bucket(Bucket="other")
s3.create_multipart_upload(Bucket="other", Key="kept")
s3.delete_object(Bucket=sys.argv[1], Key="k/0")
"#;

const AFTER: &str = r#"
import sys, boto3
s3 = boto3.client("s3")
for n in range(1, 200):
    assert s3.get_object(Bucket=sys.argv[1], Key=f"k/{n}")["Body"].read() == (str(n) * n).encode(), n
assert s3.list_objects_v2(Bucket=sys.argv[1])["KeyCount"] == 199
uploads = s3.list_multipart_uploads(Bucket="other")["Uploads"]
assert [u["Key"] for u in uploads] == ["kept"]
s3.abort_multipart_upload(Bucket="other", Key="kept", UploadId=uploads[0]["UploadId"])
s3.delete_bucket(Bucket="other")
"#;

#[test]
fn a_killed_emulator_comes_back_with_what_it_acknowledged_and_no_leftovers() {
    let Some(python) = python() else {
        skipped("no python3 with boto3: BATCHMAP_TEST_PYTHON names none");
        return;
    };
    let place = tempfile::tempdir().expect("a temporary directory");
    let data = place.path().join("data");
    let emulator = Setting::default().data(&data).start();
    succeeds(emulator.client(&python).args(["-c", BEFORE, NAME]));
    emulator.end(Signal::SIGKILL);
    // What a process leaves that ends while it writes an object, begins an upload, or removes a bucket.
    std::fs::write(data.join("s3").join(NAME).join("tmp/17"), "half an object").expect("written");
    std::fs::create_dir(data.join("s3/other/uploads").join("0".repeat(32))).expect("made");
    std::fs::create_dir_all(data.join("s3/.removed-gone-1/objects")).expect("made");
    let emulator = Setting::default().data(&data).start();
    succeeds(emulator.client(&python).args(["-c", AFTER, NAME]));
    assert_eq!(files(&data.join("s3")), 199);
    assert_eq!(std::fs::read_dir(data.join("s3")).expect("a directory").count(), 1, "only the first bucket is left");
}
