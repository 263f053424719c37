//! S3 as real clients use it, against `batchmap emulator` in a process of its own.

#[path = "support/emulator.rs"]
mod emulator;
#[path = "support/skip.rs"]
mod skip;

use emulator::{Emulator, NAME, python, succeeds};
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
