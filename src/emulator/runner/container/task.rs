//! An attempt: its volumes, its containers in their order, and its end.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};

use super::one::One;
use super::order::Order;
use super::{Quit, Shared, args, end};
use crate::emulator::batch::model::{AttemptKey, End, Start, TaskContainer};
use crate::emulator::runner::Report;

/// How long after its SIGTERM a container's SIGKILL comes when its task stops, as on AWS.
const GRACE: Duration = Duration::from_secs(30);

/// Runs an attempt to its end, and reports it.
pub(super) async fn run(shared: Arc<Shared>, start: Start, quit: watch::Receiver<Quit>) {
    let attempt = start.attempt;
    let job = start.job_id.clone();
    let containers = start.into_containers();
    let prefix = format!("{}-{}-{}-{}-", shared.prefix(), attempt.job, attempt.child, attempt.attempt);
    let volumes = args::own_volumes(&format!("{prefix}v-"), &containers);
    let made = make_volumes(&shared, &volumes).await;
    let end = match made {
        Ok(()) => attempt_of(&shared, attempt, &containers, &prefix, quit).await,
        Err(why) => {
            let reason = end::never(&format!("cannot make a volume: {why}")).reason;
            End::StartFailed { reason: reason.unwrap_or_default() }
        }
    };
    if !volumes.is_empty() {
        shared.cli.remove_volumes(&volumes).await;
    }
    if let End::StartFailed { reason } = &end {
        tracing::debug!(job, reason, "a child did not start");
    }
    shared.finish(attempt, end);
}

async fn make_volumes(shared: &Shared, volumes: &[String]) -> Result<(), String> {
    if !volumes.is_empty() {
        shared.guarded()?;
    }
    for name in volumes {
        shared.cli.make_volume(name, &shared.labels).await?;
    }
    Ok(())
}

/// Runs the containers of an attempt; all of them are gone when it returns.
async fn attempt_of(
    shared: &Shared,
    attempt: AttemptKey,
    containers: &[TaskContainer],
    prefix: &str,
    mut quit: watch::Receiver<Quit>,
) -> End {
    let volumes = format!("{prefix}v-");
    // What its containers hear: the endpoint's word, or that an essential one of them has ended.
    let (tell, hear) = watch::channel(*quit.borrow_and_update());
    let (began, mut begun) = mpsc::unbounded_channel();
    let mut order = Order::of(containers);
    let mut running = FuturesUnordered::new();
    let mut reported = false;
    let mut told = true;
    let grace = tokio::time::sleep(grace(containers));
    tokio::pin!(grace);
    loop {
        // A stopped one starts nothing more; but it must end in the words of what never ran.
        for place in order.next() {
            let (began, hear) = (began.clone(), hear.clone());
            let volumes = &volumes;
            let name = format!("{prefix}{place}");
            running.push(async move {
                let one = One { shared, container: &containers[place], name, volumes, quit: hear };
                let ended = one.run(|| _ = began.send(place)).await;
                (place, ended)
            });
        }
        if running.is_empty() {
            break;
        }
        let over = order.is_over() && *tell.borrow() == Quit::Not;
        if over {
            tell.send_replace(Quit::Term);
            grace.as_mut().reset(tokio::time::Instant::now() + self::grace(containers));
        }
        tokio::select! {
            biased;
            Some(place) = begun.recv() => {
                order.began(place);
                if !std::mem::replace(&mut reported, true) {
                    let _ = shared.host.reports.send(Report::Started(attempt));
                }
            }
            Some((place, ended)) = running.next() => {
                // Its beginning may have been told in the same turn.
                while let Ok(place) = begun.try_recv() {
                    order.began(place);
                    if !std::mem::replace(&mut reported, true) {
                        let _ = shared.host.reports.send(Report::Started(attempt));
                    }
                }
                order.ended(place, ended);
            }
            heard = quit.changed(), if told => {
                told = heard.is_ok();
                let word = *quit.borrow_and_update();
                tell.send_if_modified(|quit| {
                    let worse = word > *quit;
                    *quit = word.max(*quit);
                    worse
                });
            }
            () = &mut grace, if order.is_over() && *tell.borrow() == Quit::Term => {
                tell.send_replace(Quit::Kill);
            }
        }
    }
    order.report()
}

/// The longest of what the containers ask for.
fn grace(containers: &[TaskContainer]) -> Duration {
    let asked = containers.iter().filter_map(|container| container.settings.stop_timeout);
    asked.max().and_then(|seconds| u64::try_from(seconds).ok()).map_or(GRACE, Duration::from_secs)
}
