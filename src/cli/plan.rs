//! `batchmap plan`.

use serde_json::json;

use super::run::{self, RunInput};
use super::session::Access;
use super::status::Form;
use super::words::{children, count};
use super::{Exit, Failure};
use crate::map::execution::Action;
use crate::map::inject;
use crate::map::plan::rolling_group;
use crate::map::task::ConcurrencyMode;
use crate::run::launch;

/// Arguments of `batchmap plan`: those of `run`.
#[derive(Debug, clap::Args)]
pub struct PlanArgs {
    #[command(flatten)]
    input: RunInput,
    /// How the plan is printed.
    #[arg(long, value_enum, default_value_t = Form::Text)]
    format: Form,
}

/// Reads and checks everything that `run` would, and prints what it would submit.
///
/// # Errors
/// When the input is wrong, as `run` would find it.
pub async fn run(args: PlanArgs) -> Result<Exit, Failure> {
    let prepared = run::prepare(&args.input, Access::Drive { slots: None }).await?;
    let staged = run::stage(&prepared, true).await?;
    let record = staged.record;
    let terms = launch::terms(&record);
    let mut execution = launch::machine(&record);
    // With nothing running yet, every event that the machine wants recorded is an array that would be submitted now.
    while let Some(Action::Record(event)) = execution.next_action() {
        execution.handle(&event).map_err(launch::LaunchError::from)?;
        if execution.decision().is_some() {
            break;
        }
    }
    let at_once: Vec<u32> = execution.arrays().iter().map(|array| array.size()).collect();
    let submitted: u64 = at_once.iter().map(|&size| u64::from(size)).sum();
    let left = record.size - submitted;
    let later = match (terms.concurrency, terms.mode) {
        (0, _) => 0,
        (concurrency, ConcurrencyMode::Batches) => left.div_ceil(u64::from(concurrency)),
        (concurrency, ConcurrencyMode::Rolling) => left.div_ceil(u64::from(rolling_group(concurrency))),
    };
    // A pack, its index and, of a cached task, its keys each; every file, and the record.
    let a_pack = if record.cache.is_some() { 3 } else { 2 };
    let puts = a_pack * record.pack_starts.len() as u64 + staged.files + 1;
    let calls = at_once.len() as u64 + later;
    let injected = inject::of_record(&record).map(|injection| injection.image);
    match args.format {
        Form::Json => out!(
            "{:#}",
            json!({
                "subtasks": record.size, "min_successes": terms.min_successes, "concurrency": terms.concurrency,
                "packs": record.pack_starts.len(), "bytes": staged.pack_bytes, "arrays_at_once": at_once,
                "submit_calls_at_most": calls, "files": staged.files, "file_bytes": staged.file_bytes,
                "staging_puts": puts, "worker_image": injected,
            })
        ),
        Form::Text => {
            out!("{}: {}, {} must succeed", record.name, count(record.size, "subtask"), terms.min_successes);
            let packs = count(record.pack_starts.len() as u64, "pack");
            out!("inputs: {} in {packs}", count(staged.pack_bytes, "byte"));
            let (files, bytes) = (count(staged.files, "file"), count(staged.file_bytes, "byte"));
            out!("staging: {}, with {files} of {bytes}", count(puts, "PUT"));
            out!("at once: {} with {}", count(at_once.len() as u64, "array"), children(submitted));
            if left > 0 {
                out!("later: {}, as places come free", children(left));
            }
            if let Some(image) = injected {
                out!("worker: put beside the task's image, from {image}");
            }
            out!("SubmitJob calls: at most {calls}, retries aside");
            if record.cache.is_some() {
                out!("cache: not asked yet; what it knows is not submitted");
            }
        }
    }
    prepared.session.close().await;
    Ok(Exit::Ok)
}
