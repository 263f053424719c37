//! A driver's way to Batch and to the bucket.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use batchmap::aws::batch::{
    Batch, BatchError, Definition, EnvironmentDetail, JobDetail, JobPage, JobStatus, QueueDetail, SubmitRequest,
};
use batchmap::aws::logs::{LogPage, Logs, LogsError};
use batchmap::aws::pacing::Operation;
use batchmap::aws::store::{Page, Store, StoreError};
use batchmap::emulator::batch::ask;
use batchmap::emulator::batch::model::Reply;
use bytes::Bytes;

use crate::cloud::{Cloud, EPOCH_MS, Inside};
use crate::dice::Dice;
use crate::gate::Gate;
use crate::script::{SECOND, Script};
use crate::trace::Trace;
use crate::trouble::{Failing, Fate};
use crate::watch::Caller;

/// How old an answer of DescribeJobs may be.
const STALE: u64 = 20 * SECOND;

/// Submissions that a driver has under way at once.
const SUBMITS_AT_ONCE: usize = 8;

/// How old the last word of the journal may be when a submission is sent: the fence lets some seconds pass, and an answer
/// takes some.
const SIGNED: u64 = 12 * SECOND;

/// What one driver has of the world.
pub struct Wire {
    pub driver: u64,
    /// When it was started, in milliseconds from the beginning.
    pub began: u64,
    pub script: Arc<Script>,
    pub cloud: Arc<Cloud>,
    pub trace: Arc<Trace>,
    pub gate: Gate,
    /// Whether it is a gc's, and not a driver's.
    pub collects: bool,
    /// Draws for this driver's calls.
    pub dice: Dice,
    calls: AtomicU64,
    /// When it last wrote a record, or heard what records there are.
    signed: AtomicU64,
    /// When each operation of Batch was called within the last second.
    called: Mutex<BTreeMap<&'static str, VecDeque<u64>>>,
    /// What DescribeJobs has said of each job, and when.
    told: Mutex<BTreeMap<String, Vec<(u64, JobDetail)>>>,
}

impl Wire {
    pub fn new(driver: u64, script: &Arc<Script>, cloud: &Arc<Cloud>, trace: &Arc<Trace>, gate: Gate) -> Wire {
        Wire {
            driver,
            began: cloud.now(),
            script: script.clone(),
            cloud: cloud.clone(),
            trace: trace.clone(),
            gate,
            collects: false,
            dice: Dice(script.dice.bits("driver", &[driver])),
            calls: AtomicU64::new(0),
            signed: AtomicU64::new(0),
            called: Mutex::default(),
            told: Mutex::default(),
        }
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Whether it has called Batch at all.
    pub fn has_called_batch(&self) -> bool {
        !self.called.lock().unwrap().is_empty()
    }

    /// A call about `key` tells whether somebody else has gone on by now, if it is the journal's.
    fn sign(&self, key: &str) {
        if key.starts_with(&self.script.root().journal()) {
            self.signed.fetch_max(self.cloud.now(), Ordering::Relaxed);
        }
    }

    /// That a submission follows a look at the journal: whoever has slept since the last one looks again.
    fn check_signed(&self, name: &str) {
        let age = self.cloud.now() - self.signed.load(Ordering::Relaxed);
        assert!(age <= SIGNED, "driver {} submits {name}, and has not looked at the journal for {age} ms", self.driver);
    }

    /// That no second has more calls of an operation of Batch than its lane lets through. Between its turn and its sending a
    /// submission asks the journal, which takes more or less time: so many as are under way at once may come together.
    fn check_pace(&self, operation: &'static str) {
        let lane = match operation {
            "SubmitJob" => Operation::Submit,
            "DescribeJobs" => Operation::Describe,
            "ListJobs" => Operation::List,
            "TerminateJob" => Operation::Terminate,
            "DescribeJobDefinitions" | "DescribeJobQueues" | "DescribeComputeEnvironments" => Operation::Other,
            _ => return,
        };
        let now = self.cloud.now();
        let mut called = self.called.lock().unwrap();
        let times = called.entry(operation).or_default();
        times.push_back(now);
        times.retain(|at| at + 1000 > now);
        let most = lane.share() as usize + if lane == Operation::Submit { SUBMITS_AT_ONCE } else { 1 };
        let fine = !self.script.paced || times.len() <= most;
        assert!(fine, "driver {} calls {operation} {} times in a second", self.driver, times.len());
    }

    /// One call about `key`: what `made` does happens when it arrives, whether or not the driver lives to see it.
    async fn call<T, E>(
        &self,
        operation: &'static str,
        key: &str,
        made: impl FnOnce(&mut Inside) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: Failing + Send + 'static,
    {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        self.check_pace(operation);
        self.gate.pass(call, false).await;
        let repeated = ["Get", "GetRange", "List", "ListDirectories", "Put", "DeleteMany"].contains(&operation);
        let fate = Fate::draw(&self.script, self.dice, call, self.cloud.now(), repeated);
        let slow = if self.dice.hits("slow", &[call], 2) { 10 } else { 1 };
        let (there, back) = (self.dice.roll("there", &[call], slow * 200), self.dice.roll("back", &[call], slow * 200));
        let late = if let Fate::Late(late) = fate { late } else { 0 };
        let answer = Arc::new(Mutex::new(None));
        if !matches!(fate, Fate::Throttled | Fate::Lost | Fate::Denied) {
            let place = answer.clone();
            let request = move |inside: &mut Inside| {
                inside.late = late > 0;
                *place.lock().unwrap() = Some(made(inside));
            };
            self.cloud.post(if late > 0 { there + back + late } else { there }, Box::new(request));
        }
        tokio::time::sleep(Duration::from_millis(there + back)).await;
        drop(self.cloud.advance());
        let answer = match fate {
            Fate::Carried => answer.lock().unwrap().take().expect("it has arrived"),
            _ => Err(E::told(fate, operation, key)),
        };
        let (now, driver, well) = (self.cloud.now(), self.driver, answer.is_ok());
        self.trace.say(&format!("{now:>9} driver {driver} call {call} {operation} {key} {fate:?} {well}"));
        self.gate.pass(call, true).await;
        answer
    }

    /// An answer of DescribeJobs as somebody might give it who has not heard of everything yet.
    fn grow_old(&self, call: u64, details: Vec<JobDetail>) -> Vec<JobDetail> {
        let mut told = self.told.lock().unwrap();
        let now = self.cloud.now();
        let mut answer = Vec::new();
        for detail in details {
            let before = told.entry(detail.id.clone()).or_default();
            before.retain(|(at, _)| at + STALE > now);
            let stale = self.dice.hits("stale", &[call, before.len() as u64], self.script.trouble.stale);
            match before.get(self.dice.roll("stale/which", &[call], before.len() as u64) as usize) {
                Some((_, old)) if stale => answer.push(old.clone()),
                _ => answer.push(detail.clone()),
            }
            before.push((now, detail));
        }
        answer
    }
}

#[async_trait]
impl Batch for Wire {
    async fn submit(&self, request: &SubmitRequest) -> Result<String, BatchError> {
        self.check_signed(&request.name);
        let request = request.clone();
        let (name, id, driver, began) = (request.name.clone(), self.script.id.clone(), self.driver, self.began);
        self.call("SubmitJob", &name, move |inside| match inside.submit(&id, driver, &request) {
            None => Err(BatchError::Unknown { operation: "SubmitJob", message: "too late".to_owned() }),
            Some(Ok(Reply::Submitted(submitted))) => {
                let watch = &mut inside.acts.get_mut(&id).expect("a driver has an execution").watch;
                let by = Caller { driver, began, late: inside.late };
                watch.submitted((&request.name, request.size), &submitted.job_id, &inside.model, by, inside.now);
                Ok(submitted.job_id)
            }
            Some(other) => panic!("a submission is refused: {other:?}"),
        })
        .await
    }

    async fn describe(&self, ids: &[String]) -> Result<Vec<JobDetail>, BatchError> {
        let (call, ids) = (self.calls(), ids.to_vec());
        let answer = self.call("DescribeJobs", "", move |inside| ask::describe(&inside.model, &ids)).await?;
        Ok(if self.script.trouble.stale > 0 { self.grow_old(call, answer) } else { answer })
    }

    async fn list_children(&self, parent: &str, status: JobStatus, token: Option<&str>) -> Result<JobPage, BatchError> {
        let (parent, token) = (parent.to_owned(), token.map(str::to_owned));
        let list = move |inside: &mut Inside| ask::list_children(&inside.model, &parent, status, token.as_deref());
        self.call("ListJobs", "children", list).await
    }

    async fn list_named(&self, queue: &str, name: &str, token: Option<&str>) -> Result<JobPage, BatchError> {
        let (queue, wanted, token) = (queue.to_owned(), name.to_owned(), token.map(str::to_owned));
        let list = move |inside: &mut Inside| ask::list_named(&inside.model, &queue, &wanted, token.as_deref());
        self.call("ListJobs", name, list).await
    }

    async fn terminate(&self, id: &str, reason: &str) -> Result<(), BatchError> {
        let (job, reason, own) = (id.to_owned(), reason.to_owned(), self.script.id.clone());
        self.call("TerminateJob", id, move |inside| {
            inside.act(&own).watch.terminates(&job);
            match inside.apply(ask::terminate(&job, &reason)) {
                Ok(_) => Ok(()),
                Err(refusal) => panic!("a termination is refused: {refusal}"),
            }
        })
        .await
    }

    async fn find_definition(&self, name: &str) -> Result<Option<String>, BatchError> {
        let wanted = name.to_owned();
        let find = move |inside: &mut Inside| ask::find_definition(&inside.model, &wanted);
        self.call("DescribeJobDefinitions", name, find).await
    }

    async fn register(&self, definition: &Definition) -> Result<String, BatchError> {
        panic!("{} is registered already", definition.name)
    }

    async fn queues(&self, names: &[String]) -> Result<Vec<QueueDetail>, BatchError> {
        let names = names.to_vec();
        self.call("DescribeJobQueues", "", move |inside| ask::queues(&inside.model, &names)).await
    }

    async fn environments(&self, names: &[String]) -> Result<Vec<EnvironmentDetail>, BatchError> {
        let names = names.to_vec();
        self.call("DescribeComputeEnvironments", "", move |inside| ask::environments(&inside.model, &names)).await
    }
}

#[async_trait]
impl Store for Wire {
    fn bucket(&self) -> &str {
        "bucket"
    }

    async fn put(&self, key: &str, body: Bytes) -> Result<(), StoreError> {
        let name = key.to_owned();
        self.call("Put", key, move |inside| inside.ask(async |store| store.put(&name, body).await)).await
    }

    async fn put_new(&self, key: &str, body: Bytes) -> Result<(), StoreError> {
        self.sign(key);
        let (name, id, driver) = (key.to_owned(), self.script.id.clone(), self.driver);
        let put = move |inside: &mut Inside| {
            inside.ask(async |store| store.put_new(&name, body.clone()).await)?;
            inside.created(&id, driver, &name, &body);
            Ok(())
        };
        self.call("PutNew", key, put).await
    }

    async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        let name = key.to_owned();
        self.call("Get", key, move |inside| inside.ask(async |store| store.get(&name).await)).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let name = key.to_owned();
        self.call("GetRange", key, move |inside| inside.ask(async |store| store.get_range(&name, range).await)).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, StoreError> {
        let (under, after) = (prefix.to_owned(), after.map(str::to_owned));
        let list = move |inside: &mut Inside| inside.ask(async |store| store.list(&under, after.as_deref()).await);
        let page = self.call("List", prefix, list).await;
        // Between a look and what follows it there is a moment that nothing closes: a sleep within is one of those.
        self.sign(prefix);
        page
    }

    async fn list_directories(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let under = prefix.to_owned();
        let list = move |inside: &mut Inside| inside.ask(async |store| store.list_directories(&under).await);
        self.call("ListDirectories", prefix, list).await
    }

    async fn delete_many(&self, keys: &[String]) -> Result<(), StoreError> {
        let (keys, collects) = (keys.to_vec(), self.collects);
        let first = keys.first().cloned().unwrap_or_default();
        let delete = move |inside: &mut Inside| {
            keys.iter().filter(|_| collects).for_each(|key| inside.check_unneeded(key));
            inside.ask(async |store| store.delete_many(&keys).await)
        };
        self.call("DeleteMany", &first, delete).await
    }

    async fn now(&self) -> Result<u64, StoreError> {
        self.call("Now", "", |inside| Ok(EPOCH_MS + inside.now)).await
    }

    async fn upload(&self, key: &str, _file: &Path) -> Result<(), StoreError> {
        panic!("a driver uploads no file, and not {key}")
    }

    async fn download(&self, key: &str, _file: &Path) -> Result<(), StoreError> {
        panic!("a driver downloads no file, and not {key}")
    }
}

/// Nobody asks for logs while driving.
pub struct NoLogs;

#[async_trait]
impl Logs for NoLogs {
    async fn page(&self, group: &str, stream: &str, _token: Option<&str>) -> Result<LogPage, LogsError> {
        Err(LogsError::NotFound { group: group.to_owned(), stream: stream.to_owned() })
    }
}
