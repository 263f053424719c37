//! `batchmap worker`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{Exit, Failure};
use crate::aws::sdk;
use crate::map::exit::EXIT_SYSTEM;
use crate::worker::{self, WorkerArgs as Arguments};

/// Arguments of `batchmap worker`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Its setting is in the environment that the driver gives the job: BATCHMAP_EXECUTION, BATCHMAP_ARRAY, BATCHMAP_PLACE and
BATCHMAP_WIDTH; AWS Batch adds AWS_BATCH_JOB_ARRAY_INDEX and AWS_BATCH_JOB_ATTEMPT. It exits with the command's own code,
124 after a timeout, and 76 when it failed itself.")]
pub struct WorkerArgs {
    /// Only put this program into a folder, for whoever shares it, and end
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    install: Option<PathBuf>,
    /// With --install, let every user write to this folder
    #[arg(long, value_name = "DIR", requires = "install")]
    scratch: Option<PathBuf>,
    /// The command, its templates unrendered; the one in the execution's record when absent.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Runs one subtask. The exit code is the command's own, so the process ends here.
///
/// # Errors
/// When the command is not valid UTF-8, or no runtime can be had.
pub fn run(args: WorkerArgs) -> Result<Exit, Failure> {
    if let Some(folder) = &args.install {
        return install(folder, args.scratch.as_deref());
    }
    let mut command = Vec::with_capacity(args.command.len());
    for argument in args.command {
        match argument.into_string() {
            Ok(argument) => command.push(argument),
            Err(argument) => {
                return Err(Failure::input(format!(
                    "COMMAND holds {argument:?}, which is no UTF-8: write it in UTF-8"
                )));
            }
        }
    }
    // One thread: it starts in a fraction of the time, and the command is the one that works.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::internal(format!("cannot start: {error}")))?;
    let code = runtime.block_on(worker::run(Arguments::from_process(command), async |bucket: &str| {
        let target = sdk::Target { bucket: bucket.to_owned(), ..sdk::Target::default() };
        Ok(sdk::connect_store(&target).await)
    }));
    runtime.shutdown_background();
    std::process::exit(code)
}

/// What the container does that brings the worker for another one.
fn install(folder: &Path, scratch: Option<&Path>) -> Result<Exit, Failure> {
    match worker::install(folder, scratch, sdk::roots::system().as_deref()) {
        Ok(program) => {
            note!("{} is there", program.display());
            Ok(Exit::Ok)
        }
        Err(problem) => {
            note!("error: {problem}");
            // As with every failure of the worker's own: it is not the task's.
            std::process::exit(EXIT_SYSTEM)
        }
    }
}
