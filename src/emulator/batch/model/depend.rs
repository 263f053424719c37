//! `dependsOn`: who waits for whom, and what becomes of those who wait when a child ends.
//!
//! The end of a child is put on a list and the list is worked off: a chain of any length of jobs that fail one after the
//! other is a loop here, never a recursion. Each end is looked up once in the index of those who wait, so a change costs
//! what it changes and not what there is.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::api::{JobDependency, SubmitJob};
use super::job::{Job, Status};
use super::{Model, Refusal};

/// AWS's limit on `dependsOn`.
const MAX: usize = 20;
const FAILED: &str = "Dependent Job failed";

/// What of a job is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Link {
    /// All of it.
    Whole,
    /// By each child, the child of its index.
    Each,
    /// One child.
    Child(u32),
}

/// Someone who waits: the job waited for, what of it, and the job that waits.
pub(super) type Wait = (u32, Link, u32);

/// What a submission waits for.
#[derive(Debug, Default)]
pub(super) struct Dependencies {
    links: BTreeSet<(u32, Link)>,
    sequential: bool,
}

impl Dependencies {
    /// Whether nothing is waited for.
    pub(super) fn is_empty(&self) -> bool {
        self.links.is_empty() && !self.sequential
    }
}

/// What a child that waits should do.
#[derive(PartialEq, Eq)]
enum Verdict {
    Wait,
    Go,
    Fail,
}

impl Model {
    /// Reads and checks `dependsOn`. `size` is the array's that is submitted.
    ///
    /// AWS does not document what it says to a job it does not know. Waiting for it would be waiting for ever, so it is
    /// refused; that holds for one that was forgotten too.
    pub(super) fn dependencies(&self, request: &SubmitJob, size: Option<u32>) -> Result<Dependencies, Refusal> {
        if request.depends_on.len() > MAX {
            return Err(Refusal(format!(
                "dependsOn may hold at most {MAX} jobs, but has {}",
                request.depends_on.len()
            )));
        }
        let mut found = Dependencies::default();
        for dependency in &request.depends_on {
            match (dependency.kind.as_deref(), dependency.job_id.as_deref().filter(|id| !id.is_empty())) {
                (Some("SEQUENTIAL"), None) if size.is_some() => found.sequential = true,
                (Some("SEQUENTIAL"), None) => {
                    return Err(Refusal(
                        "dependsOn type SEQUENTIAL is for array jobs: give arrayProperties".to_owned(),
                    ));
                }
                (Some("SEQUENTIAL"), Some(id)) => {
                    return Err(Refusal(format!(
                        "dependsOn type SEQUENTIAL is about the job itself and takes no jobId, but has '{id}'"
                    )));
                }
                (Some("N_TO_N"), Some(id)) => {
                    found.links.insert((self.partner(id, size)?, Link::Each));
                }
                (None, Some(id)) => {
                    let (key, child) = self.known(id)?;
                    found.links.insert((key, child.map_or(Link::Whole, Link::Child)));
                }
                (Some("N_TO_N") | None, None) => return Err(no_job(dependency)),
                (Some(other), _) => {
                    return Err(Refusal(format!("dependsOn type must be N_TO_N or SEQUENTIAL, but was '{other}'")));
                }
            }
        }
        Ok(found)
    }

    fn known(&self, id: &str) -> Result<(u32, Option<u32>), Refusal> {
        self.find(id).ok_or_else(|| Refusal(format!("dependsOn job {id} does not exist")))
    }

    /// The array of an N_TO_N dependency.
    fn partner(&self, id: &str, size: Option<u32>) -> Result<u32, Refusal> {
        let Some(size) = size else {
            return Err(Refusal("dependsOn type N_TO_N is for array jobs: give arrayProperties".to_owned()));
        };
        let (key, child) = self.known(id)?;
        let partner = self.jobs.get(&key).filter(|job| job.is_array && child.is_none());
        match partner.map(Job::size) {
            None => Err(Refusal(format!("dependsOn type N_TO_N needs an array job, and {id} is none"))),
            Some(other) if other != size => Err(Refusal(format!(
                "dependsOn type N_TO_N needs arrays of one size, but {id} has {other} children and this job {size}"
            ))),
            Some(_) => Ok(key),
        }
    }

    /// Has a new job, whose children are PENDING, wait for its dependencies; it goes on at once when they are done.
    pub(super) fn begin_waiting(&mut self, key: u32, found: &Dependencies) {
        let (mut waits, mut failed, mut each) = (0, false, Vec::new());
        for (dependency, link) in &found.links {
            let other = &self.jobs[dependency];
            let status = match link {
                Link::Each => {
                    each.push(*dependency);
                    other.status()
                }
                Link::Whole => other.status(),
                Link::Child(index) => other.children[*index as usize].status,
            };
            if !status.is_terminal() {
                self.dependents.insert((*dependency, *link, key));
                waits += u32::from(*link != Link::Each);
            }
            failed |= status == Status::Failed && *link != Link::Each;
        }
        let Some(job) = self.jobs.get_mut(&key) else { return };
        (job.waits, job.each, job.sequential) = (waits, each, found.sequential);
        if failed {
            self.fail_all_waiting(key);
        } else if waits == 0 {
            self.release_waiting(key);
        }
    }

    /// Tells the ends of children to those who wait for them, and so on until nothing follows.
    pub(super) fn follow(&mut self) {
        while let Some((key, child)) = self.settled.pop_front() {
            let Some(job) = self.jobs.get_mut(&key) else { continue };
            job.followed += 1;
            let whole = (job.followed == job.size()).then(|| job.status() == Status::Succeeded);
            let succeeded = job.children[child as usize].status == Status::Succeeded;
            let next = (job.sequential && child + 1 < job.size()).then_some(child + 1);
            if let Some(next) = next {
                self.reconsider(key, next);
            }
            for waiting in self.waiting_for(key, Link::Each) {
                self.reconsider(waiting, child);
            }
            for waiting in self.waiting_for(key, Link::Child(child)) {
                self.resolved(waiting, succeeded);
            }
            if let Some(succeeded) = whole {
                for waiting in self.waiting_for(key, Link::Whole) {
                    self.resolved(waiting, succeeded);
                }
                self.job_ended(key);
            }
        }
    }

    fn job_ended(&mut self, key: u32) {
        let waits: Vec<Wait> =
            self.dependents.range((key, Link::Whole, 0)..(key + 1, Link::Whole, 0)).copied().collect();
        for wait in waits {
            self.dependents.remove(&wait);
        }
        self.leave_line(key);
        self.held.remove(&key);
        self.remember_end(key);
    }

    fn waiting_for(&self, key: u32, link: Link) -> Vec<u32> {
        if self.dependents.is_empty() {
            return Vec::new();
        }
        self.dependents.range((key, link, 0)..=(key, link, u32::MAX)).map(|(_, _, waiting)| *waiting).collect()
    }

    /// One of the jobs or children that a job waits for as a whole has ended.
    fn resolved(&mut self, key: u32, succeeded: bool) {
        let Some(job) = self.jobs.get_mut(&key) else { return };
        job.waits -= 1;
        if !succeeded {
            self.fail_all_waiting(key);
        } else if job.waits == 0 {
            self.release_waiting(key);
        }
    }

    /// Lets go of a job that waits for nothing as a whole any more.
    fn release_waiting(&mut self, key: u32) {
        let now = self.now;
        let Some(job) = self.jobs.get_mut(&key) else { return };
        let size = job.size();
        if !job.each.is_empty() || job.sequential {
            for child in 0..size {
                self.reconsider(key, child);
            }
            return;
        }
        for child in 0..size {
            if job.children[child as usize].status == Status::Pending {
                job.set_status(child, Status::Runnable, now);
            }
        }
        let released = job.count(Status::Runnable) > 0;
        self.drills.moved(key);
        // One that was cancelled meanwhile has nobody left to stand in line.
        if released {
            self.line_up_all(key);
        }
    }

    /// Looks again at a child that may have waited for another child.
    fn reconsider(&mut self, key: u32, child: u32) {
        match self.verdict(key, child) {
            Verdict::Wait => {}
            Verdict::Fail => self.fail_waiting(key, child),
            Verdict::Go => {
                let now = self.now;
                if let Some(job) = self.jobs.get_mut(&key) {
                    job.set_status(child, Status::Runnable, now);
                    self.drills.moved(key);
                }
                self.line_up(key, child);
            }
        }
    }

    fn verdict(&self, key: u32, child: u32) -> Verdict {
        let Some(job) = self.jobs.get(&key) else { return Verdict::Wait };
        if job.child(child).is_none_or(|record| record.status != Status::Pending) {
            return Verdict::Wait;
        }
        // A job that is forgotten was done: had its child failed, this one had failed with it.
        let partners = job.each.iter().filter_map(|other| self.jobs.get(other)?.child(child));
        let before = child.checked_sub(1).filter(|_| job.sequential).and_then(|before| job.child(before));
        let mut verdict = if job.waits == 0 { Verdict::Go } else { Verdict::Wait };
        for other in partners.chain(before) {
            match other.status {
                Status::Succeeded => {}
                Status::Failed => return Verdict::Fail,
                _ => verdict = Verdict::Wait,
            }
        }
        verdict
    }

    fn fail_all_waiting(&mut self, key: u32) {
        let reason = self.texts.intern(FAILED);
        let Some(job) = self.jobs.get_mut(&key) else { return };
        if job.reason.is_none() && !job.status().is_terminal() {
            job.reason = reason;
        }
        for child in 0..job.size() {
            self.fail_waiting(key, child);
        }
    }

    fn fail_waiting(&mut self, key: u32, child: u32) {
        let reason = self.texts.intern(FAILED);
        let Some(job) = self.jobs.get_mut(&key) else { return };
        if job.children[child as usize].status == Status::Pending {
            job.children[child as usize].reason = reason;
            self.settle(key, child, Status::Failed);
        }
    }

    /// Ends a child for good.
    pub(super) fn settle(&mut self, key: u32, child: u32, status: Status) {
        let now = self.now;
        let Some(job) = self.jobs.get_mut(&key) else { return };
        let record = &mut job.children[child as usize];
        if record.attempt == 0 {
            record.last.stopped_at = now;
        }
        let waited = record.status == Status::Runnable;
        job.set_status(child, status, now);
        self.drills.moved(key);
        if waited && job.count(Status::Runnable) == 0 {
            self.leave_line(key);
        }
        self.settled.push_back((key, child));
    }
}

fn no_job(dependency: &JobDependency) -> Refusal {
    let kind = dependency.kind.as_deref().unwrap_or("none");
    Refusal(format!("dependsOn entries need a jobId unless their type is SEQUENTIAL; this one's type is {kind}"))
}
