//! `batchmap token`.

use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::{Exit, Failure};
use crate::service::auth::{Kind, check_name, line};

const HELP: &str = "\
The token is printed on standard output, alone, and nowhere else: the file has its SHA-256 digest only. A server that uses
the file takes the line within a minute, or at once after SIGHUP. To take a token back, delete its line.

With --client the secret is for flytekit's admin.authType ClientSecret, and NAME is admin.clientId. Without it the token is
what the command of authType ExternalCommand prints.";

/// Arguments of `batchmap token`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = HELP, after_help = "`--help` tells how flytekit uses it.")]
pub struct TokenArgs {
    /// Whose it is: executions say that they were begun by this name
    #[arg(value_parser = name)]
    name: String,
    /// The file of tokens that a line is added to; it is made when it is not there
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// Make the secret of a client, to be exchanged for tokens of an hour
    #[arg(long)]
    client: bool,
}

fn name(text: &str) -> Result<String, String> {
    check_name(text).map(|()| text.to_owned())
}

/// Makes a token and adds its digest to the file.
///
/// # Errors
/// When the file cannot be written.
pub fn run(args: &TokenArgs) -> Result<Exit, Failure> {
    let secret = secret().map_err(|error| Failure::internal(format!("cannot read /dev/urandom: {error}")))?;
    let kind = if args.client { Kind::Client } else { Kind::Token };
    let unwritable =
        |error| Failure::input(format!("--file is {}: {error}; give a file that you may write", args.file.display()));
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.create(true).read(true).append(true).mode(0o600).open(&args.file).map_err(unwritable)?;
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(unwritable)?;
    // A last line without an end would swallow ours.
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let line = format!("{end}{}\n", line(kind, &args.name, &secret));
    file.write_all(line.as_bytes()).map_err(unwritable)?;
    out!("{secret}");
    Ok(Exit::Ok)
}

/// 32 random bytes in hexadecimal.
fn secret() -> std::io::Result<String> {
    let mut bytes = [0_u8; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
