//! One execution: drivers come, fall asleep, die, get in one another's way, and one of them brings it to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use batchmap::aws::store::Store;
use batchmap::idl::record::policy::Completion;
use batchmap::map::bitset::{Outcome, Outcomes};
use batchmap::map::event::{Decision, Source};
use batchmap::map::index::OriginalIndex;
use batchmap::map::ranges::Ranges;
use batchmap::run::driver::Control;
use batchmap::run::launch::{self, Names};
use batchmap::run::result::Places;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc::{Sender, UnboundedReceiver, UnboundedSender, channel, unbounded_channel};
use tokio::time::Instant;

use crate::cloud::Cloud;
use crate::dice::Fold;
use crate::gate::{Gate, How};
use crate::guard::collect;
use crate::life::{Life, live};
use crate::script::{FORGETFUL, HOUR, MINUTE, SECOND, Script};
use crate::trace::Trace;
use crate::values::at_once;
use crate::wire::Wire;

/// A gc's draws are those of a driver of this number.
const GC: u64 = 1_000_000;

/// More drivers than this are not needed by any execution.
const MOST_DRIVERS: u64 = 100;

pub struct World {
    /// Of the execution that is driven now.
    script: Arc<Script>,
    sequels: Vec<Script>,
    cloud: Arc<Cloud>,
    names: Names,
    trace: Arc<Trace>,
    started: Instant,
    /// One for each driver so far.
    controls: Vec<Sender<Control>>,
    wires: Vec<Arc<Wire>>,
    aborted: bool,
    asleep: (UnboundedSender<u64>, UnboundedReceiver<u64>),
    /// Which execution holds the outputs of each subtask, once one has made them.
    holders: BTreeMap<u64, String>,
    report: Report,
}

/// What has come of it.
#[derive(Debug, Default)]
pub struct Report {
    /// Calls of each driver.
    pub calls: Vec<u64>,
    /// Children begun.
    pub begun: u64,
    /// Jobs that came for an array that had one already.
    pub doubles: u64,
    /// Subtasks that the cache has given, and those that a recovery has taken over.
    pub reused: (u64, u64),
    /// Executions recovered, and executions that a gc has removed.
    pub recovered: u64,
    pub removed: u64,
    /// Virtual milliseconds.
    pub lasted: u64,
    /// What another run of the same script must agree on: every call with its time, and every record.
    pub folds: (Fold, Fold),
}

impl World {
    /// An empty one. To be called inside the runtime.
    pub fn new(script: Script) -> World {
        let sequels = script.sequels();
        let script = Arc::new(script);
        let (cloud, names) = Cloud::new(&script);
        World {
            cloud: Arc::new(cloud),
            names,
            trace: Arc::new(Trace::new()),
            started: Instant::now(),
            controls: Vec::new(),
            wires: Vec::new(),
            aborted: false,
            asleep: unbounded_channel(),
            holders: BTreeMap::new(),
            report: Report::default(),
            sequels,
            script,
        }
    }

    /// Drives all executions to their end, checks them, and reports.
    pub async fn run(mut self) -> Report {
        self.act().await;
        for sequel in std::mem::take(&mut self.sequels) {
            tokio::time::sleep(Duration::from_millis(sequel.pause)).await;
            drop(self.cloud.advance());
            self.script = Arc::new(self.possible(sequel));
            self.act().await;
        }
        let inside = self.cloud.look();
        self.report.lasted = inside.now;
        self.report.folds = (self.trace.fold(), inside.acts["x"].watch.fold);
        drop(inside);
        self.report
    }

    /// What is gone cannot be recovered: then the map is run again.
    fn possible(&self, sequel: Script) -> Script {
        let inside = self.cloud.look();
        let gone = |id: &String| at_once(inside.store.get(&sequel.root().sibling(id).task())).is_err();
        match sequel.recovers.as_ref().is_some_and(gone) {
            true => Script { recovers: None, ..sequel },
            false => sequel,
        }
    }

    /// One execution, from its staging to its end.
    async fn act(&mut self) {
        (self.started, self.aborted, self.wires, self.controls) = (Instant::now(), false, Vec::new(), Vec::new());
        self.stage();
        let (decision, outcomes) = self.drive().await;
        self.settle();
        self.check_outcome(&decision, &outcomes);
        self.check_calls();
        self.hold(&outcomes);
        self.check_lists();
        let mut inside = self.cloud.look();
        let act = inside.act(&self.script.id);
        let (doubles, begun) = (act.watch.doubles, act.children.begun);
        assert!(self.script.may_double() || doubles == 0, "{doubles} jobs were submitted twice, and nothing was late");
        let cached = act.watch.reused.get(&Source::Cache).map_or(0, Ranges::len);
        let taken = Ranges::union_of(act.watch.reused.values()).len() - cached;
        drop(inside);
        let report = &mut self.report;
        report.calls.extend(self.wires.iter().map(|wire| wire.calls()));
        report.reused = (report.reused.0 + cached, report.reused.1 + taken);
        report.recovered += u64::from(self.script.recovers.is_some());
        (report.begun, report.doubles) = (report.begun + begun, report.doubles + doubles);
    }

    /// Puts there what was there before the first driver.
    fn stage(&self) {
        let script = &self.script;
        let mut inside = self.cloud.look();
        script.damage(&inside.store);
        inside.stage(script);
        let mut due: BTreeMap<Source, Ranges> = BTreeMap::new();
        if script.recovers.is_some() {
            for (index, id) in &self.holders {
                due.entry(Source::Execution(id.clone())).or_default().push(OriginalIndex(*index));
            }
        } else {
            script.stage(&inside.store);
        }
        inside.act(&script.id).watch.due = due;
    }

    /// Takes in which outputs there are now: those that count, and those that came too late to.
    fn hold(&mut self, outcomes: &Outcomes) {
        let inside = self.cloud.look();
        let (act, root) = (&inside.acts[&self.script.id], self.script.root());
        let elsewhere = act.watch.reused.iter().filter_map(|(source, indices)| match source {
            Source::Execution(id) => Some(indices.iter().map(move |index| (index.0, id.clone()))),
            Source::Cache => None,
        });
        let mut holders: BTreeMap<u64, String> = elsewhere.flatten().collect();
        for index in (0..self.script.size).map(OriginalIndex) {
            let there = || self.script.outputs_due && at_once(inside.store.get(&root.outputs(index))).is_ok();
            if outcomes.get(index) == Outcome::Succeeded || there() {
                holders.entry(index.0).or_insert_with(|| self.script.id.clone());
            }
        }
        drop(inside);
        self.holders = holders;
    }

    /// Starts drivers until one has finished, and waits for all others to notice.
    async fn drive(&mut self) -> (Decision, Outcomes) {
        let mut lives = FuturesUnordered::new();
        let mut collections = FuturesUnordered::new();
        collections.extend(self.collection());
        let mut result = None;
        let mut rivals = (0..self.script.rivals).map(|rival| self.at("rival", rival, 4 * MINUTE)).collect::<Vec<_>>();
        let mut next = Some(self.started);
        while result.is_none() || !lives.is_empty() || !collections.is_empty() {
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
                Some(removed) = collections.next(), if !collections.is_empty() => self.report.removed += removed,
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

    /// The gc beside this execution.
    fn collection(&self) -> Option<Pin<Box<dyn Future<Output = u64>>>> {
        self.script.gc?;
        let gate = Gate::new(GC, &[], self.asleep.0.clone());
        let mut wire = Wire::new(GC, &self.script, &self.cloud, &self.trace, gate);
        wire.collects = true;
        Some(Box::pin(collect(Arc::new(wire), self.script.clone(), self.cloud.clone())))
    }

    /// How long it takes until somebody starts another driver.
    fn delay(&self, place: u64) -> Duration {
        if self.script.forgotten && self.wires.len() == 1 {
            return Duration::from_millis(FORGETFUL);
        }
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
        let act = &inside.acts[&self.script.id];
        let sleeps = self.script.halts.iter().map(|halt| if let How::Sleeps(ms) = halt.how { ms } else { 0 });
        let waits = 25 * MINUTE * (1 + self.wires.len() as u64) + 6 * MINUTE * act.watch.arrays();
        let away = if self.script.forgotten { FORGETFUL } else { 0 };
        let bound = 2 * HOUR + sleeps.sum::<u64>() + waits + away + act.children.work;
        let lasted = self.started.elapsed().as_millis() as u64;
        assert!(lasted < bound, "it has not ended after {lasted} ms, and should have by {bound}");
    }

    /// Lets everything happen that is still under way.
    fn settle(&self) {
        let mut inside = self.cloud.advance();
        while let Some(at) = inside.next().filter(|_| !inside.is_still()) {
            inside.advance(at);
        }
        assert_eq!((inside.model.unfinished(), inside.model.live()), (0, 0), "jobs survive their execution");
    }

    /// That where all is there already nothing of Batch is called.
    fn check_calls(&self) {
        let inside = self.cloud.look();
        let act = &inside.acts[&self.script.id];
        let all = Ranges::union_of(act.watch.reused.values()).len() == self.script.size;
        let [wire] = &self.wires[..] else { return };
        assert!(!all || !wire.has_called_batch(), "all is there already, and Batch is called");
        assert!(!all || act.children.begun == 0, "all is there already, and children run");
    }

    fn check_outcome(&self, decision: &Decision, outcomes: &Outcomes) {
        let reused = Ranges::union_of(self.cloud.look().acts[&self.script.id].watch.reused.values());
        let (oracle, policy) = (self.script.oracle(&reused), &self.script.policy);
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
                let (now, due) = (self.started.elapsed().as_millis() as u64, policy.deadline_ms);
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

    /// That every list that is there reads back: each element its own subtask's, and the packs.
    fn check_lists(&self) {
        let inside = self.cloud.look();
        let there: Vec<&Arc<Script>> = inside
            .acts
            .values()
            .map(|act| &act.script)
            .filter(|script| at_once(inside.store.get(&script.root().task())).is_ok())
            .collect();
        for script in there {
            let store: Arc<dyn Store> = inside.store.clone();
            let known = at_once(launch::read(&store, &script.root())).expect("it reads back");
            let packs = script.root().inputs(&known.record);
            for pack in 0..known.record.pack_starts.len() {
                at_once(inside.store.get(&packs.pack(pack as u32))).expect("its packs are there");
            }
            let places = Places::of(&script.root(), &known.execution);
            let indices = (0..script.size).map(OriginalIndex).filter(|_| script.outputs_due);
            for index in indices.filter(|index| known.execution.outcomes().get(*index) == Outcome::Succeeded) {
                let outputs = at_once(inside.store.get(&places.root(index).outputs(index)));
                let own = outputs.is_ok_and(|body| script.are_outputs_of(&inside.store, index.0, &body));
                assert!(own, "subtask {index} of {} has outputs that are not its own, or none", script.id);
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
