//! The `batchmap-worker` binary: the worker alone, for images.

use std::process::ExitCode;

fn main() -> ExitCode {
    batchmap::cli::worker_main(std::env::args_os())
}
