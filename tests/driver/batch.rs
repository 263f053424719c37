//! A small Batch whose children follow a script. It is honest: a child finds its element as the worker does, leaves in
//! S3 what the worker would leave, and its states never go back.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use batchmap::aws::batch::{
    AttemptDetail, Batch, BatchError, Definition, EnvironmentDetail, JobDetail, JobPage, JobStatus, JobSummary,
    QueueDetail, SubmitRequest,
};
use batchmap::aws::store::Store;
use batchmap::idl::core::container_error::Kind;
use batchmap::idl::core::execution_error::ErrorKind;
use batchmap::idl::core::{ContainerError, ErrorDocument, LiteralMap};
use batchmap::idl::make;
use batchmap::map::index::OriginalIndex;
use batchmap::map::layout::{self, Place, Root};
use bytes::Bytes;
use prost::Message;
use tokio::time::Instant;

use super::stock_children as stock;
use super::store::FaultyStore;

/// Children of one page of a listing: few, so that pages are turned.
const PAGE: usize = 4;

/// How one run of a subtask ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With its outputs.
    Good,
    /// With an error document: recoverable or not.
    Error { recoverable: bool },
    /// With this exit code and no document.
    Exit(i32),
    /// With its host: this Batch starts it again while the submission's attempts last, as its rules say.
    HostLost,
    /// With its host, after its outputs were written.
    HostLostLate,
    /// FAILED for this reason, before there was an exit code.
    Failed(&'static str),
    /// By somebody else's TerminateJob.
    Stopped,
    /// SUCCEEDED, with no outputs and this error document, if any.
    Hollow { document: Option<bool> },
    /// Cancelled by its queue's time limit, before it started.
    GivenUp,
    /// SUCCEEDED, with this file of these bytes and no other: of children without a worker.
    Leaves(&'static str, &'static [u8]),
}

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Too many requests.
    Throttled,
    /// Carried out, and the answer lost.
    ReplyLost,
    /// Never arrived.
    Lost,
    /// Refused.
    Refused,
    /// Nothing: this call goes through, and the next one meets the next fault.
    Pass,
    /// Accepted, and nothing comes of it.
    Ignored,
    /// Refused for want of a permission.
    Denied,
    /// Its caller is paused before it is sent, for so long; then it is carried out.
    Paused(Duration),
    /// The same, and the answer is lost.
    PausedAndLost(Duration),
    /// Its caller is paused for so long, and then reads that there were too many requests.
    PausedThrottled(Duration),
    /// Carried out at once; its caller is paused before it reads the answer.
    PausedAfter(Duration),
}

#[derive(Clone, Debug)]
struct Child {
    index: OriginalIndex,
    ends: Instant,
    ending: Ending,
    /// What it leaves is in S3.
    left: bool,
    terminated: bool,
}

#[derive(Clone, Debug)]
struct Job {
    id: String,
    name: String,
    root: Root,
    array: u32,
    /// Whether its children have no worker.
    stock: bool,
    queue: String,
    created: Instant,
    children: Vec<Child>,
    stopped_because: Option<String>,
}

/// Everything that happened, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    Submit { array: u32, size: u32, queue: String },
    Describe { jobs: usize },
    ListChildren,
    ListNamed,
    Terminate { array: u32 },
    Queues,
}

#[derive(Default)]
struct State {
    jobs: Vec<Job>,
    calls: Vec<Call>,
    faults: BTreeMap<&'static str, VecDeque<Fault>>,
    endings: BTreeMap<(u64, u32), Ending>,
    durations: BTreeMap<u64, Duration>,
    runs: BTreeMap<u64, u32>,
    attempts: Vec<u32>,
    listing_lag: Duration,
    hidden_failures: u32,
    stalled: Option<Option<String>>,
    early_end: bool,
    delay: Duration,
    queues: Vec<QueueDetail>,
    environments: Vec<EnvironmentDetail>,
}

/// The endpoint.
pub struct ScriptedBatch {
    store: Arc<FaultyStore>,
    outputs_due: bool,
    state: Mutex<State>,
}

/// What DescribeJobs says of a child.
fn of_child(child: JobSummary) -> JobDetail {
    let attempt = AttemptDetail { exit_code: child.exit_code, reason: child.reason, ..AttemptDetail::default() };
    JobDetail {
        id: child.id,
        name: child.name,
        status: child.status,
        status_reason: child.status_reason,
        summary: BTreeMap::new(),
        attempts: vec![attempt],
        log_stream: None,
        cancelled: child.cancelled,
        terminated: child.terminated,
    }
}

impl ScriptedBatch {
    pub fn new(store: Arc<FaultyStore>, outputs_due: bool) -> Self {
        ScriptedBatch { store, outputs_due, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Run `run` (from 0) of subtask `index` ends so; every other one ends well.
    pub fn ends(&self, index: u64, run: u32, ending: Ending) {
        self.state().endings.insert((index, run), ending);
    }

    /// Subtask `index` takes this long instead of a second.
    pub fn takes(&self, index: u64, duration: Duration) {
        self.state().durations.insert(index, duration);
    }

    /// The next calls of `operation` (`SubmitJob`, `DescribeJobs`, `ListJobs`, `TerminateJob`) meet these faults.
    pub fn fail(&self, operation: &'static str, faults: impl IntoIterator<Item = Fault>) {
        self.state().faults.entry(operation).or_default().extend(faults);
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// Listings by name show a job only this long after its submission.
    pub fn listings_lag(&self, lag: Duration) {
        self.state().listing_lag = lag;
    }

    /// The next `times` listings of failed children are empty.
    pub fn hide_failures(&self, times: u32) {
        self.state().hidden_failures = times;
    }

    /// No child starts any more, and the parents say so with this reason, or with none.
    pub fn stall(&self, reason: Option<&str>) {
        self.state().stalled = Some(reason.map(str::to_owned));
    }

    /// Children start again, as if they had never waited.
    pub fn go_on(&self) {
        self.state().stalled = None;
    }

    /// A parent that was terminated is FAILED at once, half a minute before its children are.
    pub fn early_end(&self, early: bool) {
        self.state().early_end = early;
    }

    /// Descriptions come only so long after they were asked for.
    pub fn answers_after(&self, delay: Duration) {
        self.state().delay = delay;
    }

    /// What there is to be told of a queue and its environments.
    pub fn places(&self, queue: QueueDetail, environments: Vec<EnvironmentDetail>) {
        let mut state = self.state();
        (state.queues, state.environments) = (vec![queue], environments);
    }

    /// Somebody submits a job of this name to queue `q`: children of no subtask that run for so long, unless ended. Its id.
    pub fn submitted_elsewhere(&self, name: &str, children: u32, duration: Duration) -> String {
        let (mut state, now) = (self.state(), Instant::now());
        let id = format!("stray-{}", state.jobs.len());
        let ends = now + duration;
        let child = Child { index: OriginalIndex(0), ends, ending: Ending::Exit(1), left: true, terminated: false };
        let (children, queue) = (vec![child; children as usize], "q".to_owned());
        let (name, array, root) = (name.to_owned(), u32::MAX, Root::new("", "stray"));
        state.jobs.push(Job {
            id: id.clone(),
            name,
            root,
            array,
            stock: false,
            queue,
            created: now,
            children,
            stopped_because: None,
        });
        id
    }

    /// Whether a job has children that have not ended.
    pub fn is_alive(&self, id: &str) -> bool {
        let now = Instant::now();
        let state = self.state();
        state.jobs.iter().any(|job| job.id == id && job.children.iter().any(|child| !child.is_over(now)))
    }

    /// Batch forgets every job, as it does after about seven days.
    pub fn forget(&self) {
        self.state().jobs.clear();
    }

    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    pub fn count(&self, matches: impl Fn(&Call) -> bool) -> usize {
        self.calls().iter().filter(|call| matches(call)).count()
    }

    pub fn submits(&self) -> usize {
        self.count(|call| matches!(call, Call::Submit { .. }))
    }

    /// How often each subtask has run.
    pub fn runs(&self) -> BTreeMap<u64, u32> {
        self.state().runs.clone()
    }

    /// The attempts that each submission allowed Batch.
    pub fn attempts(&self) -> Vec<u32> {
        self.state().attempts.clone()
    }

    /// Children that have not ended.
    pub fn alive(&self) -> usize {
        let now = Instant::now();
        self.state().jobs.iter().flat_map(|job| &job.children).filter(|child| !child.is_over(now)).count()
    }

    fn fault(&self, operation: &'static str) -> Option<Fault> {
        self.state().faults.get_mut(operation)?.pop_front().filter(|fault| *fault != Fault::Pass)
    }

    /// Fails as `fault` says, unless the call is carried out all the same.
    fn refuse(operation: &'static str, fault: Fault) -> BatchError {
        match fault {
            Fault::Throttled | Fault::PausedThrottled(_) => {
                BatchError::Throttled { operation, message: "slow down".to_owned() }
            }
            Fault::Lost | Fault::ReplyLost | Fault::Paused(_) | Fault::PausedAndLost(_) | Fault::PausedAfter(_) => {
                BatchError::Unknown { operation, message: "timeout".to_owned() }
            }
            Fault::Refused | Fault::Ignored | Fault::Pass => {
                BatchError::Refused { operation, code: "ClientException".to_owned(), message: "no".to_owned() }
            }
            Fault::Denied => {
                BatchError::Refused { operation, code: "AccessDeniedException".to_owned(), message: "no".to_owned() }
            }
        }
    }

    /// Lets every child that has ended by now leave its traces.
    async fn settle(&self) {
        let now = Instant::now();
        let mut left = Vec::new();
        {
            let mut state = self.state();
            for job in &mut state.jobs {
                let (root, array) = (job.root.clone(), job.array);
                let (stock, id) = (job.stock, job.id.clone());
                for (at, child) in job.children.iter_mut().enumerate() {
                    if !child.is_over(now) || std::mem::replace(&mut child.left, true) || child.terminated {
                        continue;
                    }
                    let own = stock.then(|| stock::place(&root, array, &id, at));
                    left.push((root.clone(), array, child.index, child.ending, own));
                }
            }
        }
        for (root, array, index, ending, own) in left {
            match ending {
                Ending::Good | Ending::HostLostLate if self.outputs_due => {
                    let key = own.map_or_else(|| root.outputs(index), |own| own + "outputs.pb");
                    self.store.memory.put(&key, outputs(index)).await.unwrap();
                }
                Ending::Leaves(name, body) => {
                    let key = own.expect("a worker leaves no such thing") + name;
                    self.store.memory.put(&key, Bytes::from_static(body)).await.unwrap();
                }
                Ending::Error { recoverable } | Ending::Hollow { document: Some(recoverable) } => {
                    let key = own.map_or_else(|| root.error(index, &layout::attempt(array, 1)), |own| own + "error.pb");
                    self.store.memory.put(&key, document(recoverable).into()).await.unwrap();
                }
                _ => {}
            }
        }
    }

    /// The subtasks of a submission, found as the worker finds them.
    async fn subtasks(&self, request: &SubmitRequest) -> (Root, u32, Vec<OriginalIndex>) {
        if stock::is_stock(request) {
            return stock::subtasks(&self.store.memory, request).await;
        }
        let (_, root) = Root::parse(&request.environment[layout::ENV_EXECUTION]).unwrap();
        let array: u32 = request.environment[layout::ENV_ARRAY].parse().unwrap();
        let mut subtasks = Vec::new();
        match request.environment[layout::ENV_PLACE].parse().unwrap() {
            Place::Range { first, .. } => {
                subtasks.extend((0..u64::from(request.size)).map(|child| OriginalIndex(first.0 + child)));
            }
            Place::List => {
                let list = self.store.memory.get(&root.array_indices(array)).await.expect("the list is there first");
                for entry in list.chunks_exact(layout::INDICES_WIDTH as usize) {
                    subtasks.push(OriginalIndex(u64::from_le_bytes(entry[..8].try_into().unwrap())));
                }
            }
        }
        assert_eq!(subtasks.len(), request.size as usize, "as many subtasks as children");
        (root, array, subtasks)
    }

    /// A new job of these subtasks; its id.
    fn create(&self, request: &SubmitRequest, root: Root, array: u32, subtasks: Vec<OriginalIndex>) -> String {
        let stock = stock::is_stock(request);
        let now = Instant::now();
        let mut state = self.state();
        let mut children = Vec::new();
        for index in subtasks {
            let state = &mut *state;
            let run = state.runs.entry(index.0).or_insert(0);
            let mut ending = Ending::HostLost;
            for _ in 0..request.attempts {
                ending = state.endings.get(&(index.0, *run)).copied().unwrap_or(Ending::Good);
                *run += 1;
                if ending != Ending::HostLost {
                    break;
                }
            }
            let ends = now + state.durations.get(&index.0).copied().unwrap_or(Duration::from_secs(1));
            children.push(Child { index, ends, ending, left: false, terminated: false });
        }
        let id = format!("job-{}", state.jobs.len());
        let (name, queue) = (request.name.clone(), request.queue.clone());
        state.jobs.push(Job {
            id: id.clone(),
            name,
            root,
            array,
            stock,
            queue,
            created: now,
            children,
            stopped_because: None,
        });
        id
    }
}

/// A job none of whose children may start.
fn stalled(detail: JobDetail, reason: Option<&Option<String>>) -> JobDetail {
    let Some(reason) = reason.filter(|_| !detail.status.is_terminal()) else { return detail };
    let waits = |status| if status == JobStatus::Running { JobStatus::Runnable } else { status };
    let summary = detail.summary.into_iter().map(|(status, count)| (waits(status), count)).collect();
    JobDetail { status: waits(detail.status), status_reason: reason.clone(), summary, ..detail }
}

/// What a child leaves: its own index.
pub fn outputs(index: OriginalIndex) -> Bytes {
    let literals = [("o0".to_owned(), make::integer(index.0 as i64))].into();
    LiteralMap { literals }.encode_to_vec().into()
}

fn document(recoverable: bool) -> Vec<u8> {
    let kind = if recoverable { Kind::Recoverable } else { Kind::NonRecoverable };
    let error = ContainerError {
        code: "ValueError".to_owned(),
        message: "it broke".to_owned(),
        kind: kind.into(),
        origin: ErrorKind::User.into(),
        ..Default::default()
    };
    ErrorDocument { error: Some(error) }.encode_to_vec()
}

impl Child {
    fn is_over(&self, now: Instant) -> bool {
        self.terminated || self.ends <= now
    }

    fn status(&self, now: Instant) -> JobStatus {
        match self.ending {
            _ if !self.is_over(now) => JobStatus::Running,
            Ending::Good | Ending::Hollow { .. } | Ending::Leaves(..) if !self.terminated => JobStatus::Succeeded,
            _ => JobStatus::Failed,
        }
    }

    fn exit_code(&self) -> Option<i32> {
        match self.ending {
            _ if self.terminated => Some(143),
            Ending::Good | Ending::Hollow { .. } | Ending::Leaves(..) => Some(0),
            Ending::Stopped => Some(143),
            Ending::Error { .. } => Some(1),
            Ending::Exit(code) => Some(code),
            Ending::HostLost | Ending::HostLostLate | Ending::GivenUp | Ending::Failed(_) => None,
        }
    }
}

impl Job {
    fn reason(&self, child: &Child) -> Option<String> {
        match child.ending {
            _ if child.terminated => self.stopped_because.clone(),
            Ending::HostLost | Ending::HostLostLate => Some("Host EC2 (instance i-0) terminated.".to_owned()),
            Ending::Failed(reason) => Some(reason.to_owned()),
            Ending::Stopped => Some("somebody else's words".to_owned()),
            Ending::GivenUp => Some(
                "Canceled by JobStateTimeLimit action due to reason: CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"
                    .to_owned(),
            ),
            _ => Some("Essential container in task exited".to_owned()),
        }
    }

    fn detail(&self, now: Instant) -> JobDetail {
        let over = self.children.iter().all(|child| child.is_over(now));
        let failed = self.children.iter().any(|child| child.status(now) == JobStatus::Failed);
        let (mut summary, mut attempts) = (BTreeMap::new(), Vec::new());
        let mut status = match (over, failed) {
            (false, _) => JobStatus::Pending,
            (true, false) => JobStatus::Succeeded,
            (true, true) => JobStatus::Failed,
        };
        let mut status_reason = None;
        match self.children.as_slice() {
            [child] => {
                status = child.status(now);
                status_reason = self.reason(child).filter(|_| over);
                if over {
                    attempts.push(AttemptDetail { exit_code: child.exit_code(), ..Default::default() });
                }
            }
            children => children.iter().for_each(|child| *summary.entry(child.status(now)).or_insert(0) += 1),
        }
        JobDetail {
            id: self.id.clone(),
            name: self.name.clone(),
            status,
            status_reason,
            summary,
            attempts,
            log_stream: None,
            cancelled: false,
            terminated: self.stopped_because.is_some()
                || matches!(self.children.as_slice(), [child] if over && child.ending == Ending::Stopped),
        }
    }

    fn summary(&self, at: usize, now: Instant) -> JobSummary {
        let child = &self.children[at];
        JobSummary {
            id: format!("{}:{at}", self.id),
            name: self.name.clone(),
            status: child.status(now),
            status_reason: self.reason(child),
            exit_code: child.exit_code(),
            reason: None,
            cancelled: false,
            terminated: child.terminated || child.ending == Ending::Stopped,
        }
    }
}

#[async_trait]
impl Batch for ScriptedBatch {
    async fn submit(&self, request: &SubmitRequest) -> Result<String, BatchError> {
        let (root, array, subtasks) = self.subtasks(request).await;
        let call = Call::Submit { array, size: request.size, queue: request.queue.clone() };
        self.state().calls.push(call);
        self.state().attempts.push(request.attempts);
        let fault = self.fault("SubmitJob");
        match fault {
            Some(Fault::Paused(pause) | Fault::PausedAndLost(pause)) => tokio::time::sleep(pause).await,
            Some(fault @ Fault::PausedThrottled(pause)) => {
                tokio::time::sleep(pause).await;
                return Err(Self::refuse("SubmitJob", fault));
            }
            None | Some(Fault::ReplyLost | Fault::PausedAfter(_)) => {}
            Some(fault) => return Err(Self::refuse("SubmitJob", fault)),
        }
        let id = self.create(request, root, array, subtasks);
        match fault {
            Some(Fault::PausedAfter(pause)) => tokio::time::sleep(pause).await,
            None | Some(Fault::Paused(_)) => {}
            Some(fault) => return Err(Self::refuse("SubmitJob", fault)),
        }
        Ok(id)
    }

    async fn describe(&self, ids: &[String]) -> Result<Vec<JobDetail>, BatchError> {
        self.settle().await;
        self.state().calls.push(Call::Describe { jobs: ids.len() });
        let delay = self.state().delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        match self.fault("DescribeJobs") {
            Some(Fault::Paused(pause)) => tokio::time::sleep(pause).await,
            Some(fault) => return Err(Self::refuse("DescribeJobs", fault)),
            None => {}
        }
        let (now, state) = (Instant::now(), self.state());
        let asked = state.jobs.iter().filter(|job| ids.contains(&job.id));
        let told = asked.map(|job| {
            let mut detail = stalled(job.detail(now), state.stalled.as_ref());
            if state.early_end && job.stopped_because.is_some() {
                detail.status = JobStatus::Failed;
            }
            detail
        });
        let children = state.jobs.iter().flat_map(|job| (0..job.children.len()).map(move |at| (job, at)));
        let children = children.filter(|(job, at)| ids.contains(&format!("{}:{at}", job.id)));
        Ok(told.chain(children.map(|(job, at)| of_child(job.summary(at, now)))).collect())
    }

    async fn list_children(&self, parent: &str, status: JobStatus, token: Option<&str>) -> Result<JobPage, BatchError> {
        self.settle().await;
        self.state().calls.push(Call::ListChildren);
        if let Some(fault) = self.fault("ListJobs") {
            return Err(Self::refuse("ListJobs", fault));
        }
        let (now, mut state) = (Instant::now(), self.state());
        if status == JobStatus::Failed && state.hidden_failures > 0 {
            state.hidden_failures -= 1;
            return Ok(JobPage::default());
        }
        let from: usize = token.map_or(0, |token| token.parse().unwrap());
        let job = state.jobs.iter().find(|job| job.id == parent).expect("the driver asks about its own");
        // Newest first, as AWS does.
        let all: Vec<usize> =
            (0..job.children.len()).rev().filter(|&at| job.children[at].status(now) == status).collect();
        let jobs = all.iter().skip(from).take(PAGE).map(|&at| job.summary(at, now)).collect();
        Ok(JobPage { jobs, next: (all.len() > from + PAGE).then(|| (from + PAGE).to_string()) })
    }

    async fn list_named(&self, queue: &str, name: &str, token: Option<&str>) -> Result<JobPage, BatchError> {
        self.state().calls.push(Call::ListNamed);
        if let Some(fault) = self.fault("ListJobs") {
            return Err(Self::refuse("ListJobs", fault));
        }
        let (now, state) = (Instant::now(), self.state());
        // Without regard to case, as AWS does.
        let (wanted, prefix) = (name.trim_end_matches('*').to_lowercase(), name.ends_with('*'));
        let named = |job: &Job| match prefix {
            true => job.name.to_lowercase().starts_with(&wanted),
            false => job.name.to_lowercase() == wanted,
        };
        let seen = |job: &&Job| job.created + state.listing_lag <= now && job.queue == queue && named(job);
        let from: usize = token.map_or(0, |token| token.parse().unwrap());
        let all = state.jobs.iter().rev().filter(seen).count();
        let found = state.jobs.iter().rev().filter(seen).skip(from).take(PAGE).map(|job| {
            let JobDetail { id, name, status, .. } = job.detail(now);
            let (status_reason, exit_code, reason) = (None, None, None);
            JobSummary { id, name, status, status_reason, exit_code, reason, cancelled: false, terminated: false }
        });
        Ok(JobPage { jobs: found.collect(), next: (all > from + PAGE).then(|| (from + PAGE).to_string()) })
    }

    async fn terminate(&self, id: &str, reason: &str) -> Result<(), BatchError> {
        self.settle().await;
        match self.fault("TerminateJob") {
            Some(Fault::Ignored) => {
                let mut state = self.state();
                let array = state.jobs.iter().find(|job| job.id == id).expect("the driver ends its own").array;
                state.calls.push(Call::Terminate { array });
                return Ok(());
            }
            Some(fault) => return Err(Self::refuse("TerminateJob", fault)),
            None => {}
        }
        let (now, mut state) = (Instant::now(), self.state());
        let early = state.early_end;
        let Some(job) = state.jobs.iter_mut().find(|job| job.id == id) else { return Ok(()) };
        for child in job.children.iter_mut().filter(|child| !child.is_over(now)) {
            if early {
                (child.ends, child.ending) = (now + Duration::from_secs(30), Ending::Exit(143));
            } else {
                child.terminated = true;
            }
        }
        job.stopped_because = Some(reason.to_owned());
        let array = job.array;
        state.calls.push(Call::Terminate { array });
        Ok(())
    }

    async fn find_definition(&self, _name: &str) -> Result<Option<String>, BatchError> {
        Ok(None)
    }

    async fn register(&self, definition: &Definition) -> Result<String, BatchError> {
        Ok(definition.name.clone())
    }

    async fn queues(&self, names: &[String]) -> Result<Vec<QueueDetail>, BatchError> {
        self.state().calls.push(Call::Queues);
        if let Some(fault) = self.fault("DescribeJobQueues") {
            return Err(Self::refuse("DescribeJobQueues", fault));
        }
        Ok(self.state().queues.iter().filter(|queue| names.contains(&queue.name)).cloned().collect())
    }

    async fn environments(&self, names: &[String]) -> Result<Vec<EnvironmentDetail>, BatchError> {
        if let Some(fault) = self.fault("DescribeComputeEnvironments") {
            return Err(Self::refuse("DescribeComputeEnvironments", fault));
        }
        Ok(self.state().environments.iter().filter(|known| names.contains(&known.arn)).cloned().collect())
    }
}
