//! One execution: drivers come, fall asleep, die, get in one another's way, and one of them brings it to its end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use batchmap::idl::record::policy::Completion;
use batchmap::map::bitset::{Outcome, Outcomes};
use batchmap::map::event::Decision;
use batchmap::map::index::OriginalIndex;
use batchmap::run::driver::Control;
use batchmap::run::launch::Names;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use prost::Message;
use tokio::sync::mpsc::{Sender, UnboundedReceiver, UnboundedSender, channel, unbounded_channel};
use tokio::time::Instant;

use crate::cloud::{Cloud, root};
use crate::dice::Fold;
use crate::gate::{Gate, How};
use crate::life::{Life, live};
use crate::script::{HOUR, MINUTE, SECOND, Script};
use crate::trace::Trace;
use crate::wire::Wire;

/// More drivers than this are not needed by any execution.
const MOST_DRIVERS: u64 = 100;

pub struct World {
    script: Arc<Script>,
    cloud: Arc<Cloud>,
    names: Names,
    trace: Arc<Trace>,
    started: Instant,
    /// One for each driver so far.
    controls: Vec<Sender<Control>>,
    wires: Vec<Arc<Wire>>,
    aborted: bool,
    asleep: (UnboundedSender<u64>, UnboundedReceiver<u64>),
}

/// What has come of it.
#[derive(Debug)]
pub struct Report {
    /// Calls of each driver.
    pub calls: Vec<u64>,
    /// Children begun.
    pub begun: u64,
    /// Jobs that came for an array that had one already.
    pub doubles: u64,
    /// Virtual milliseconds.
    pub lasted: u64,
    /// What another run of the same script must agree on: every call with its time, and every record.
    pub folds: (Fold, Fold),
}

impl World {
    /// Stages the execution. To be called inside the runtime.
    pub fn new(script: Script) -> World {
        let script = Arc::new(script);
        let (cloud, names) = Cloud::new(&script);
        cloud.look().stage(&root().task(), script.record().encode_to_vec());
        World {
            cloud: Arc::new(cloud),
            names,
            trace: Arc::new(Trace::new()),
            started: Instant::now(),
            controls: Vec::new(),
            wires: Vec::new(),
            aborted: false,
            asleep: unbounded_channel(),
            script,
        }
    }

    /// Drives to the end, checks it, and reports.
    pub async fn run(mut self) -> Report {
        let (decision, outcomes) = self.drive().await;
        self.settle();
        self.check_outcome(&decision, &outcomes);
        self.check_list(&outcomes);
        let inside = self.cloud.look();
        let doubles = inside.watch.doubles;
        assert!(self.script.may_double() || doubles == 0, "{doubles} jobs were submitted twice, and nothing was late");
        Report {
            calls: self.wires.iter().map(|wire| wire.calls()).collect(),
            begun: inside.children.begun,
            doubles,
            lasted: inside.now,
            folds: (self.trace.fold(), inside.watch.fold),
        }
    }

    /// Starts drivers until one has finished, and waits for all others to notice.
    async fn drive(&mut self) -> (Decision, Outcomes) {
        let mut lives = FuturesUnordered::new();
        let mut result = None;
        let mut rivals = (0..self.script.rivals).map(|rival| self.at("rival", rival, 4 * MINUTE)).collect::<Vec<_>>();
        let mut next = Some(self.started);
        while result.is_none() || !lives.is_empty() {
            let rival = rivals.iter().min().copied();
            let abort = self.script.abort_at.filter(|_| !self.aborted && result.is_none());
            tokio::select! {
                biased;
                Some(asleep) = self.asleep.1.recv() => {
                    let soon = Instant::now() + self.delay(asleep);
                    next = Some(next.map_or(soon, |at| at.min(soon)));
                }
                Some((driver, life)) = lives.next(), if !lives.is_empty() => {
                    self.cloud.look().gone(driver, matches!(life, Life::Over(_)));
                    match life {
                    Life::Overtaken(why) if self.wires.len() == 1 => panic!("nobody else has driven, but {why}"),
                    Life::Finished(decision, outcomes) => {
                        let first = result.get_or_insert_with(|| (decision.clone(), outcomes.clone()));
                        assert_eq!(*first, (decision, outcomes), "two drivers have come to different ends");
                        next = None;
                    }
                    Life::Over(why) | Life::Overtaken(why) => {
                        self.trace.say(&format!("a driver is gone: {why}"));
                        if lives.is_empty() && result.is_none() {
                            next = Some(Instant::now() + self.delay(1000 + self.wires.len() as u64));
                        }
                    }
                    }
                }
                () = sleep_until(next) => {
                    next = None;
                    lives.push(self.start());
                }
                () = sleep_until(rival), if result.is_none() => {
                    rivals.retain(|at| Some(*at) != rival);
                    lives.push(self.start());
                }
                () = sleep_until(abort.map(|at| self.started + Duration::from_millis(at))) => self.abort(),
                () = tokio::time::sleep(Duration::from_millis(HOUR)) => self.check_time(),
            }
        }
        self.check_time();
        result.expect("the loop ends with it")
    }

    fn at(&self, what: &str, number: u64, most: u64) -> Instant {
        self.started + Duration::from_millis(self.script.dice.roll(what, &[number], most))
    }

    /// How long it takes until somebody starts another driver.
    fn delay(&self, place: u64) -> Duration {
        let most = self.script.dice.pick("delay/most", &[place], &[1, SECOND, 30 * SECOND, 5 * MINUTE]);
        Duration::from_millis(self.script.dice.roll("delay", &[place], most))
    }

    fn start(&mut self) -> impl Future<Output = (u64, Life)> + use<> {
        let number = self.wires.len() as u64;
        assert!(number < MOST_DRIVERS, "it does not end");
        let gate = Gate::new(number, &self.script.halts, self.asleep.0.clone());
        let wire = Arc::new(Wire::new(number, &self.script, &self.cloud, &self.trace, gate));
        let (control, controlled) = channel(4);
        self.wires.push(wire.clone());
        self.controls.push(control);
        // Later ones live longer, so that it ends.
        let span = self.script.dice.roll("span", &[number], 40 * SECOND * (number + 1));
        let span = (number < self.script.mortals).then(|| Duration::from_millis(span));
        let life = live(wire, self.names.clone(), span, controlled, self.aborted);
        async move { (number, life.await) }
    }

    fn abort(&mut self) {
        self.aborted = true;
        for control in &self.controls {
            let _ = control.try_send(Control::Abort { reason: "enough".to_owned() });
        }
    }

    /// That it goes on in time: what it has waited for is known.
    fn check_time(&self) {
        let inside = self.cloud.look();
        let sleeps = self.script.halts.iter().map(|halt| if let How::Sleeps(ms) = halt.how { ms } else { 0 });
        let waits = 25 * MINUTE * (1 + self.wires.len() as u64) + 6 * MINUTE * inside.watch.arrays();
        let bound = 2 * HOUR + sleeps.sum::<u64>() + waits + inside.children.work;
        let now = self.cloud.now();
        assert!(now < bound, "it has not ended after {now} ms, and should have by {bound}");
    }

    /// Lets everything happen that is still under way.
    fn settle(&self) {
        let mut inside = self.cloud.advance();
        while let Some(at) = inside.next().filter(|_| !inside.is_still()) {
            inside.advance(at);
        }
        assert_eq!((inside.model.unfinished(), inside.model.live()), (0, 0), "jobs survive their execution");
    }

    fn check_outcome(&self, decision: &Decision, outcomes: &Outcomes) {
        let (oracle, policy) = (self.script.oracle(), &self.script.policy);
        let all = (0..self.script.size).filter(|index| outcomes.get(OriginalIndex(*index)) == Outcome::Succeeded);
        let succeeded: BTreeSet<u64> = all.collect();
        let late = |reason: &String| reason.starts_with("its deadline has passed");
        let expired = matches!(decision, Decision::Failed { reason } if late(reason));
        let whole = match decision {
            // A deadline that finds enough of them there does not wait for the others.
            Decision::Succeeded => policy.completion() == Completion::Settled && policy.deadline_ms == 0,
            Decision::Failed { .. } => policy.run_all_sub_nodes && !expired,
            Decision::Aborted { .. } => false,
            Decision::Refused { reason } => panic!("refused: {reason}"),
        };
        match decision {
            Decision::Succeeded => assert!(oracle.enough, "only {} succeed", oracle.good.len()),
            Decision::Failed { .. } if expired => {
                // A clock that jumps may bring it early.
                let (now, due) = (self.cloud.look().now, policy.deadline_ms);
                assert!(due > 0 && (self.script.jumpy || now >= due), "its deadline of {due} has passed at {now}");
            }
            Decision::Failed { reason } => assert!(!oracle.enough, "{} succeed, but {reason}", oracle.good.len()),
            _ => assert!(self.aborted, "nobody has aborted it"),
        }
        if whole {
            assert_eq!(succeeded, oracle.good, "the list is another than the model's");
        } else {
            assert!(succeeded.is_subset(&oracle.good), "some that fail are in the list");
        }
        if *decision == Decision::Succeeded {
            assert!(succeeded.len() as u64 >= policy.min_successes, "too few have succeeded");
        }
    }

    /// That every element of the list is its own subtask's.
    fn check_list(&self, outcomes: &Outcomes) {
        if !self.script.outputs_due {
            return;
        }
        let inside = self.cloud.look();
        for index in (0..self.script.size).map(OriginalIndex) {
            if outcomes.get(index) == Outcome::Succeeded {
                inside.children.check_output(&inside.store, index);
            }
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
