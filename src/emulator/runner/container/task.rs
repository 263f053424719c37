//! An attempt: its volumes, its containers in their order, and its end.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Sleep};

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

/// An attempt under way.
struct Attempt<'a> {
    shared: &'a Shared,
    key: AttemptKey,
    order: Order<'a>,
    /// What its containers hear: the endpoint's word, or that an essential one of them has ended.
    tell: watch::Sender<Quit>,
    /// When those that were told to stop are killed.
    grace: Pin<Box<Sleep>>,
    patience: Duration,
    /// Whether the endpoint knows that something of it runs.
    reported: bool,
}

/// Runs the containers of an attempt; all of them are gone when it returns.
async fn attempt_of(
    shared: &Shared,
    key: AttemptKey,
    containers: &[TaskContainer],
    prefix: &str,
    mut quit: watch::Receiver<Quit>,
) -> End {
    let volumes = format!("{prefix}v-");
    let (tell, hear) = watch::channel(Quit::Not);
    let (began, mut begun) = mpsc::unbounded_channel();
    let patience = grace(containers);
    let grace = Box::pin(tokio::time::sleep(patience));
    let mut attempt = Attempt { shared, key, order: Order::of(containers), tell, grace, patience, reported: false };
    attempt.say(*quit.borrow_and_update());
    let mut running = FuturesUnordered::new();
    let mut told = true;
    loop {
        // One that is stopped starts nothing more, but its containers end in the words of what never ran.
        for place in attempt.order.next() {
            let (began, quit, volumes) = (began.clone(), hear.clone(), &volumes);
            let name = format!("{prefix}{place}");
            running.push(async move {
                let one = One { shared, container: &containers[place], name, volumes, quit };
                (place, one.run(|| _ = began.send(place)).await)
            });
        }
        if running.is_empty() {
            return attempt.order.report();
        }
        if attempt.order.is_over() {
            attempt.say(Quit::Term);
        }
        let stopping = *hear.borrow() == Quit::Term;
        tokio::select! {
            biased;
            // Before the ends: what has ended has begun.
            Some(place) = begun.recv() => attempt.began(place),
            Some((place, ended)) = running.next() => {
                while let Ok(place) = begun.try_recv() {
                    attempt.began(place);
                }
                attempt.order.ended(place, ended);
            }
            heard = quit.changed(), if told => {
                told = heard.is_ok();
                attempt.say(*quit.borrow_and_update());
            }
            () = &mut attempt.grace, if stopping => attempt.say(Quit::Kill),
        }
    }
}

impl Attempt<'_> {
    fn began(&mut self, place: usize) {
        self.order.began(place);
        if !std::mem::replace(&mut self.reported, true) {
            let _ = self.shared.host.reports.send(Report::Started(self.key));
        }
    }

    /// Tells the containers to stop, unless they have heard so.
    fn say(&mut self, quit: Quit) {
        if super::worsen(&self.tell, quit) && quit == Quit::Term {
            self.grace.as_mut().reset(Instant::now() + self.patience);
        }
    }
}

/// The longest of what the containers ask for.
fn grace(containers: &[TaskContainer]) -> Duration {
    let asked = containers.iter().filter_map(|container| container.settings.stop_timeout);
    asked.max().and_then(|seconds| u64::try_from(seconds).ok()).map_or(GRACE, Duration::from_secs)
}
