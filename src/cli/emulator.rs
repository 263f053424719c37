//! `batchmap emulator`.

use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::signal::unix::{SignalKind, signal};

use super::{Exit, Failure};
use crate::emulator::local::{self, Settings};
use crate::emulator::runner::guardian;

/// Arguments of `batchmap emulator`.
#[derive(Debug, clap::Args)]
pub struct EmulatorArgs {
    /// The address to listen on. Whoever reaches it can run commands on this machine: keep it on loopback.
    #[arg(long, default_value = "127.0.0.1:4566", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The directory of its state; made when there is none.
    #[arg(long, default_value = ".batchmap-emulator", value_name = "DIRECTORY")]
    data: PathBuf,
    /// Children at once; the machine's cores when absent.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    slots: Option<u32>,
}

/// Serves until SIGINT or SIGTERM; then its children are killed.
///
/// # Errors
/// When the address or the directory cannot be used.
pub async fn run(args: EmulatorArgs) -> Result<Exit, Failure> {
    let slots = args.slots.map_or_else(local::cores, |slots| slots as usize);
    let settings =
        Settings { listen: args.listen, data: args.data.clone(), slots, durable: true, read_only: false, hold: false };
    let broken = |error: std::io::Error| {
        Failure::internal(format!("cannot serve on {} with {}: {error}", args.listen, args.data.display()))
    };
    std::fs::create_dir_all(&args.data).map_err(broken)?;
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt()).map_err(broken)?, signal(SignalKind::terminate()).map_err(broken)?);
    let served = local::start(settings).await.map_err(broken)?;
    // One line on standard output once it serves, so that a script can wait for it.
    out!("{}", served.url());
    note!(
        "AWS Batch, S3 and CloudWatch Logs, with {slots} slots. Point clients at it: export AWS_ENDPOINT_URL={}",
        served.url()
    );
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    note!("stopping");
    served.stop().await;
    Ok(Exit::Ok)
}

/// Runs the guardian: see [`guardian`].
///
/// # Errors
/// Never; it ends when the process that started it does.
pub fn guardian(mark: Option<&str>) -> Result<Exit, Failure> {
    guardian::guardian_main(mark);
    Ok(Exit::Ok)
}
