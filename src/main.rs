//! The `batchmap` binary: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    batchmap::cli::main(std::env::args_os())
}
