//! One driver's life.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use batchmap::aws::batch::{Batch, BatchError};
use batchmap::aws::pacing::{Backoff, Paced, Pacer};
use batchmap::aws::store::StoreError;
use batchmap::map::bitset::Outcomes;
use batchmap::map::cadence::Pace;
use batchmap::map::event::{Decision, Source};
use batchmap::map::ranges::Ranges;
use batchmap::run::driver::{Control, DriveError, Driver, Ended, Patience};
use batchmap::run::journal::JournalError;
use batchmap::run::launch::{self, LaunchError, Names};
use batchmap::run::recover::{self, RecoverError, Recovered};
use batchmap::run::{Clock, Ports, cache};
use tokio::sync::mpsc::Receiver;

use crate::cloud::EPOCH_MS;
use crate::script::{HOUR, MINUTE, PATIENCE};
use crate::wire::{NoLogs, Wire};

/// How a driver's life has ended.
pub enum Life {
    /// With the execution's end, as it has seen it.
    Finished(Decision, Outcomes),
    /// Before: it died, or it gave up.
    Over(String),
    /// Another one has written where it meant to.
    Overtaken(String),
}

/// Lives until it dies, until `span` is over, or until there is nothing left to drive.
pub async fn live(
    wire: Arc<Wire>,
    names: Names,
    span: Option<Duration>,
    mut control: Receiver<Control>,
    aborted: bool,
) -> Life {
    let dies = async {
        match span {
            Some(span) => tokio::time::sleep(span).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = wire.gate.died() => Life::Over("it died at a call".to_owned()),
        () = dies => Life::Over("it died".to_owned()),
        life = drive(&wire, names, &mut control, aborted) => life,
    }
}

async fn drive(wire: &Arc<Wire>, names: Names, control: &mut Receiver<Control>, aborted: bool) -> Life {
    let batch: Arc<dyn Batch> = match wire.script.paced {
        true => Arc::new(Paced::new(wire.clone(), Arc::new(Pacer::aws(Backoff::AWS, wire.dice.bits("jitter", &[]))))),
        false => wire.clone(),
    };
    let ports = Ports { batch, store: wire.clone(), logs: Arc::new(NoLogs), clock: clock(wire) };
    let mut driver = match launch(wire, &ports, names).await {
        Ok(driver) => driver,
        Err(
            error @ (LaunchError::Store(StoreError::Unreachable { .. })
            | LaunchError::Journal(JournalError::Store(StoreError::Unreachable { .. }))),
        ) => return Life::Over(error.to_string()),
        Err(LaunchError::Journal(error @ JournalError::Overtaken { .. })) => return Life::Overtaken(told(&error)),
        Err(error) => panic!("driver {} cannot begin: {error}", wire.driver),
    };
    if aborted && driver.execution().finished().is_none() {
        driver.abort_first("enough").expect("it has not finished");
    }
    match driver.run(control).await {
        Ok(Ended::Finished(decision)) => Life::Finished(decision, driver.execution().outcomes().clone()),
        Ok(Ended::Detached) => Life::Over("it was detached".to_owned()),
        Err(
            error @ (DriveError::Batch(BatchError::Unknown { .. } | BatchError::Unauthenticated { .. })
            | DriveError::Store(StoreError::Unreachable { .. })
            | DriveError::Journal(JournalError::Store(StoreError::Unreachable { .. }))),
        ) => Life::Over(error.to_string()),
        Err(DriveError::Journal(error @ JournalError::Overtaken { .. })) => Life::Overtaken(told(&error)),
        Err(error) => panic!("driver {} stops: {error}", wire.driver),
    }
}

/// What is said of being overtaken, but for the other one's name, which is drawn by the system.
fn told(error: &JournalError) -> String {
    match error {
        JournalError::Overtaken { sequence, .. } => format!("it was overtaken at record {sequence}"),
        other => other.to_string(),
    }
}

/// The first driver begins; any other takes over, unless nothing was begun.
async fn launch(wire: &Wire, ports: &Ports, names: Names) -> Result<Driver, LaunchError> {
    let lag = Duration::from_millis(PATIENCE);
    let patience = Patience { pace: Pace::AWS, lag, outage: Duration::from_millis(15 * MINUTE) };
    let (script, root) = (&wire.script, wire.script.root());
    if wire.driver > 0 {
        match launch::take_over(ports, &root, patience).await {
            Err(LaunchError::NeverBegun { .. }) => {}
            // A recovery makes its own record.
            Err(LaunchError::Unknown { .. }) if script.recovers.is_some() => {}
            other => return other,
        }
    }
    // As the command line does it.
    let (record, mut reused) = match &script.recovers {
        None => (script.record(), BTreeMap::new()),
        Some(old) => {
            let old = root.sibling(old);
            let known = launch::read(&ports.store, &old).await?;
            let Recovered { record, reused, .. } = match recover::recover(ports.store.as_ref(), &old, &known).await {
                Err(RecoverError::Store(error)) => return Err(error.into()),
                found => found.expect("it is over"),
            };
            recover::write(&ports.store, &root, &record).await?;
            (record, reused)
        }
    };
    let known = Ranges::union_of(reused.values());
    let hits = cache::look_up(ports.store.as_ref(), &root, &record, &known).await?;
    reused.insert(Source::Cache, hits);
    launch::begin_reusing(ports, &root, record, names, patience, recover::events(reused)).await
}

/// The clock of the driver's machine: in a jumpy world it is wrong, and set anew now and then.
fn clock(wire: &Arc<Wire>) -> Clock {
    let (cloud, dice, jumpy) = (wire.cloud.clone(), wire.dice, wire.script.jumpy);
    Clock::of(move || {
        let now = EPOCH_MS + cloud.now();
        if !jumpy {
            return now;
        }
        let period = cloud.now() / (2 * MINUTE);
        let most = dice.pick("jump/most", &[period], &[1, MINUTE, HOUR, 240 * HOUR]);
        now - most + dice.roll("jump", &[period], 2 * most)
    })
}
