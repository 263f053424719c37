//! `batchmap abort`.

use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;

use super::config::TargetArgs;
use super::session::{Access, Session};
use super::status::Form;
use super::words::{self, children, count};
use super::{Exit, Failure, inspect, report};
use crate::map::layout::Root;
use crate::run::driver::{Driver, Unended};
use crate::run::launch;

/// Arguments of `batchmap abort`.
#[derive(Debug, clap::Args)]
pub struct AbortArgs {
    /// The execution; an unambiguous beginning will do.
    #[arg(value_name = "ID")]
    id: String,
    /// Why: shown to whoever looks at the execution later.
    #[arg(long, default_value = "aborted on request", value_name = "TEXT")]
    reason: String,
    /// Stop waiting after this long, say which children have not ended, which of them have not even been told to, and
    /// exit with code 6: `90s`, `5m`. Another `abort` goes on [default: wait until all have ended]
    #[arg(long, value_name = "DURATION", value_parser = words::duration)]
    timeout: Option<Duration>,
    /// How the result is printed: in words on standard error, or as JSON on standard output.
    #[arg(long, value_enum, default_value_t = Form::Text)]
    format: Form,
    #[command(flatten)]
    target: TargetArgs,
}

/// Takes the execution over from its driver, terminates every array and waits until nothing of it is left with Batch.
/// The driver that is overtaken notices at its next record and stops.
///
/// # Errors
/// When there is no such execution, or AWS cannot be reached.
pub async fn run(args: AbortArgs) -> Result<Exit, Failure> {
    let session = Session::open(&args.target, Access::Drive { slots: None }).await?;
    let ended = abort(&session, &args).await;
    session.close().await;
    ended
}

async fn abort(session: &Session, args: &AbortArgs) -> Result<Exit, Failure> {
    let root = inspect::find(session, Some(&args.id)).await?;
    let taken = launch::take_over(&session.ports, &root, session.patience).await;
    let mut driver = taken.map_err(|error| inspect::damaged(session, &root, error))?;
    if driver.execution().finished().is_some() {
        note!("{} is over already", root.id());
        tell(&root, &driver, &[], args.format);
        return Ok(Exit::Ok);
    }
    let (control, mut requests) = mpsc::channel(1);
    driver.abort_first(&args.reason)?;
    let ended = match args.timeout {
        // A driver may stop at any moment: what it has not written is found out by the next one.
        Some(timeout) => tokio::time::timeout(timeout, driver.run(&mut requests)).await.ok(),
        None => Some(driver.run(&mut requests).await),
    };
    drop(control);
    let unended = if matches!(ended, Some(Ok(_))) { Vec::new() } else { driver.unended().await };
    tell(&root, &driver, &unended, args.format);
    match ended {
        Some(Ok(_)) => Ok(Exit::Ok),
        Some(Err(error)) => Err(error.into()),
        None => Ok(Exit::Detached),
    }
}

fn tell(root: &Root, driver: &Driver, unended: &[Unended], format: Form) {
    let (id, summary) = (root.id(), driver.execution().summary());
    let ended = driver.execution().finished().is_some();
    if format == Form::Json {
        out!("{:#}", json!({"id": id, "ended": ended, "unended": unended, "summary": summary}));
    } else if ended {
        note!("{}", report::report(id, &summary));
    } else {
        note!("{}", waiting(id, unended));
    }
}

/// Says what has not ended.
fn waiting(id: &str, unended: &[Unended]) -> String {
    let mut lines: Vec<String> = unended.iter().map(line).collect();
    let left: u64 = unended.iter().map(|array| array.children).sum();
    let (children, arrays) = (children(left), count(unended.len() as u64, "array"));
    let verb = if left == 1 { "has" } else { "have" };
    lines.insert(0, format!("{id} is not over: {children} of {arrays} {verb} not ended"));
    if unended.iter().any(|array| !array.told) {
        lines.push(
            "there was no time to tell all of them to end: the execution is aborted when somebody goes on".to_owned(),
        );
    }
    lines.push(format!("go on ending them with: batchmap abort {id}"));
    lines.join("\n")
}

fn line(unended: &Unended) -> String {
    let Unended { array, job, children, states, told } = unended;
    let untold = if *told { "" } else { "; not told to end yet" };
    let states: Vec<String> =
        states.iter().map(|(status, count)| format!("{count} {status:?}").to_uppercase()).collect();
    match job {
        Some(job) if states.is_empty() => format!("  array {array} (job {job}): {children} by the last count{untold}"),
        Some(job) => format!("  array {array} (job {job}): {}{untold}", states.join(", ")),
        None => {
            format!("  array {array}: whether AWS Batch has it is not known yet ({})", words::children(*children))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::status::JobStatus;

    #[test]
    fn what_has_not_ended_is_told_by_array_and_state() {
        let states = [(JobStatus::Running, 2), (JobStatus::Starting, 1)].into();
        let unended = [
            Unended { array: 3, job: Some("j".to_owned()), children: 3, states, told: true },
            Unended { array: 4, job: None, children: 5, states: Default::default(), told: false },
            Unended { array: 5, job: Some("k".to_owned()), children: 7, states: Default::default(), told: false },
        ];
        insta::assert_snapshot!(waiting("id", &unended), @r"
        id is not over: 15 children of 3 arrays have not ended
          array 3 (job j): 1 STARTING, 2 RUNNING
          array 4: whether AWS Batch has it is not known yet (5 children)
          array 5 (job k): 7 by the last count; not told to end yet
        there was no time to tell all of them to end: the execution is aborted when somebody goes on
        go on ending them with: batchmap abort id
        ");
    }
}
