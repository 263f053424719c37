//! Batch and the bucket under virtual time: the emulator's model, an in-memory store, the requests on their way there and
//! the children under way.
//!
//! Nothing runs by itself: whoever has waited calls [`Cloud::advance`], and what was due in between happens in the order
//! of its time. So a run is the same every time, and every step can be looked at.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use batchmap::aws::batch::SubmitRequest;
use batchmap::aws::memory::MemoryStore;
use batchmap::emulator::batch::ask;
use batchmap::emulator::batch::model::{
    AttemptKey, Effect, End, INTERRUPTIBLE, Input, MAIN, Model, Refusal, Reply, Start, Stop,
};
use batchmap::emulator::faults::Faults;
use batchmap::map::event::Source;
use batchmap::map::layout;
use batchmap::map::ranges::Ranges;
use batchmap::run::launch::Names;
use bytes::Bytes;
use tokio::time::Instant;

use crate::children::{Children, Run, variable};
use crate::script::Script;
use crate::values::at_once;
use crate::watch::Watch;

/// When every simulation begins, in milliseconds since 1970: any time does.
pub const EPOCH_MS: u64 = 1_700_000_000_000;

/// A request as it is carried out when it arrives.
pub type Request = Box<dyn FnOnce(&mut Inside) + Send>;

enum Happening {
    Arrives(Request),
    Ends(AttemptKey),
    Storm,
}

pub struct Cloud {
    born: Instant,
    inside: Mutex<Inside>,
}

/// What is in it.
pub struct Inside {
    /// Milliseconds since the beginning.
    pub now: u64,
    /// Whether the request that is being carried out has come after its caller had given it up.
    pub late: bool,
    pub model: Model,
    pub store: Arc<MemoryStore>,
    /// Every execution so far, by its id.
    pub acts: BTreeMap<String, Act>,
    under_way: BTreeMap<AttemptKey, Run>,
    due: BTreeMap<(u64, u64), Happening>,
    /// Tells happenings of the same time apart.
    counted: u64,
    /// Drivers of the newest execution that live no more, and whether they have died.
    gone: BTreeMap<u64, bool>,
    /// Jobs that came when the execution had finished, or just before, with the drivers that submitted them.
    after_the_end: Vec<(u64, String)>,
}

/// One execution.
pub struct Act {
    pub script: Arc<Script>,
    pub watch: Watch,
    pub children: Children,
}

impl Cloud {
    /// An empty cloud, and the names that executions submit with.
    pub fn new(script: &Arc<Script>) -> (Cloud, Names) {
        let seed = script.dice.0;
        let mut inside = Inside {
            now: 0,
            late: false,
            model: Model::new(&seed.to_string(), script.slots),
            store: Arc::new(MemoryStore::standing_still("bucket", EPOCH_MS)),
            acts: BTreeMap::new(),
            under_way: BTreeMap::new(),
            due: BTreeMap::new(),
            counted: 0,
            gone: BTreeMap::new(),
            after_the_end: Vec::new(),
        };
        let Ok(Reply::Registered(registered)) = inside.apply(ask::register(&crate::definition::small("d"))) else {
            panic!("the definition is refused");
        };
        let faults = Faults::from_value(script.faults()).expect("the faults are well formed");
        inside.apply(Input::Drill(Box::new(faults.drill(seed)))).expect("a drill is never refused");
        script.storms.iter().for_each(|at| inside.plan(*at, Happening::Storm));
        let names = Names {
            definition: registered.job_definition_arn,
            queue: MAIN.to_owned(),
            interruptible_queue: Some(INTERRUPTIBLE.to_owned()),
        };
        (Cloud { born: Instant::now(), inside: Mutex::new(inside) }, names)
    }

    /// Milliseconds since the beginning.
    pub fn now(&self) -> u64 {
        self.born.elapsed().as_millis() as u64
    }

    /// The present, with everything done that was due.
    pub fn advance(&self) -> MutexGuard<'_, Inside> {
        let mut inside = self.look();
        inside.advance(self.now());
        inside
    }

    /// The state when it last moved.
    pub fn look(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request that arrives in `after` milliseconds.
    pub fn post(&self, after: u64, request: Request) {
        let at = self.now() + after;
        self.look().plan(at, Happening::Arrives(request));
    }
}

impl Inside {
    fn plan(&mut self, at: u64, happening: Happening) {
        self.counted += 1;
        self.due.insert((at, self.counted), happening);
    }

    /// Does what is due until `now`.
    pub fn advance(&mut self, now: u64) {
        while let Some(at) = self.next().filter(|at| *at <= now) {
            self.go_on(at);
            match self.due.first_key_value() {
                Some((&key, _)) if key.0 <= at => {
                    let happening = self.due.remove(&key).expect("it was just there");
                    self.happen(happening);
                }
                _ => drop(self.apply(Input::Tick)),
            }
        }
        self.go_on(now);
    }

    /// Time goes on, and the bucket's dates with it.
    fn go_on(&mut self, now: u64) {
        self.store.pass(Duration::from_millis(now.saturating_sub(self.now)));
        self.now = self.now.max(now);
    }

    /// An execution is staged.
    pub fn stage(&mut self, script: &Arc<Script>) {
        let act =
            Act { script: script.clone(), watch: Watch::new(script.clone()), children: Children::new(script.clone()) };
        self.acts.insert(script.id.clone(), act);
        self.gone.clear();
    }

    pub fn act(&mut self, id: &str) -> &mut Act {
        self.acts.get_mut(id).expect("it is one of the seed's executions")
    }

    /// When something is due next, if anything is.
    pub fn next(&self) -> Option<u64> {
        let model = self.model.wake_at().map(|at| at.saturating_sub(EPOCH_MS));
        self.due.first_key_value().map(|(key, _)| key.0).into_iter().chain(model).min()
    }

    /// Whether nothing more will happen by itself but that Batch forgets.
    pub fn is_still(&self) -> bool {
        self.due.is_empty()
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrives(request) => request(self),
            Happening::Storm => drop(self.apply(Input::LoseHosts(Vec::new()))),
            Happening::Ends(attempt) => {
                if let Some(run) = self.under_way.remove(&attempt) {
                    let store = self.store.clone();
                    let end = self.act(&run.id).children.leave(&store, &run);
                    self.end(attempt, end);
                }
            }
        }
    }

    fn end(&mut self, attempt: AttemptKey, end: End) {
        self.apply(Input::Ended(attempt, end)).expect("reports are never refused");
    }

    /// Changes Batch, and lets children begin and end as it says.
    pub fn apply(&mut self, input: Input) -> Result<Reply, Refusal> {
        let output = self.model.apply(EPOCH_MS + self.now, input)?;
        let mut effects = VecDeque::from(output.effects);
        while let Some(effect) = effects.pop_front() {
            let inputs = match effect {
                Effect::Start(start) => vec![self.begin(&start)],
                Effect::Signal(attempts, stop) => {
                    attempts.into_iter().filter_map(|attempt| self.stop(attempt, stop)).collect()
                }
            };
            for input in inputs {
                let output = self.model.apply(EPOCH_MS + self.now, input).expect("reports are never refused");
                effects.extend(output.effects);
            }
        }
        Ok(output.reply)
    }

    /// SubmitJob by `driver`; nothing of one that arrives when the execution has finished and that driver is gone. Nobody
    /// is there then to end it: no sweep can see what comes after it, so that none is asked for it.
    pub fn submit(&mut self, id: &str, driver: u64, request: &SubmitRequest) -> Option<Result<Reply, Refusal>> {
        let finished = self.act(id).watch.is_finished();
        if finished && self.gone.contains_key(&driver) {
            return None;
        }
        let reply = self.apply(ask::submit(request));
        if let (true, Ok(Reply::Submitted(submitted))) = (finished, &reply) {
            self.after_the_end.push((driver, submitted.job_id.clone()));
        }
        Some(reply)
    }

    /// A driver is gone. One that has `died` ends nothing of what it has submitted after the end: that is let go.
    pub fn gone(&mut self, driver: u64, died: bool) {
        self.gone.insert(driver, died);
        for (_, job) in self.after_the_end.extract_if(.., |(by, _)| *by == driver).collect::<Vec<_>>() {
            if died {
                self.let_go(&job);
            }
        }
    }

    /// Ends a job of which nobody knows.
    fn let_go(&mut self, job: &str) {
        self.apply(ask::terminate(job, "nobody knows of it")).expect("it is there");
    }

    fn begin(&mut self, start: &Start) -> Input {
        let place = variable(start, layout::ENV_EXECUTION).rsplit('/').next().expect("an id");
        let (store, act) = (self.store.clone(), self.acts.get_mut(place).expect("an execution's child"));
        let run = act.children.begin(&store, start, &act.watch);
        if let Some(after) = run.lasts {
            self.plan(self.now + after, Happening::Ends(start.attempt));
        }
        self.under_way.insert(start.attempt, run);
        Input::Started(start.attempt)
    }

    fn stop(&mut self, attempt: AttemptKey, stop: Stop) -> Option<Input> {
        let run = self.under_way.remove(&attempt)?;
        // Who is killed at once has lost its host: that is no end of its own.
        if stop == Stop::Term {
            self.act(&run.id).children.stopped(&run);
        }
        Some(Input::Ended(attempt, End::exited(143)))
    }

    /// Asks the bucket, at once.
    pub fn ask<T>(&mut self, question: impl AsyncFnOnce(&MemoryStore) -> T) -> T {
        at_once(question(&self.store))
    }

    /// Takes in an object that `driver` of execution `id` has created.
    pub fn created(&mut self, id: &str, driver: u64, key: &str, body: &Bytes) {
        let act = self.acts.get_mut(id).expect("a driver has an execution");
        if !key.starts_with(&act.script.root().journal()) {
            return;
        }
        // Where a gc has removed everything, a write that comes late finds room again: that is no record any more.
        let first = act.script.root().journal_record(1);
        if self.late && act.watch.is_finished() && at_once(self.store.get(&first)).is_err() {
            return;
        }
        if !act.watch.is_begun() {
            let hits = act.script.hits(&self.store, &Ranges::union_of(act.watch.due.values()));
            if !hits.is_empty() {
                act.watch.due.insert(Source::Cache, hits);
            }
        }
        act.watch.record(body, driver);
        if act.watch.is_finished() {
            let left = act.watch.left(&self.model, driver, self.now);
            for (by, job) in left {
                if by.late || self.gone.get(&by.driver) == Some(&true) {
                    self.let_go(&job);
                } else {
                    self.after_the_end.push((by.driver, job));
                }
            }
        }
    }
}
