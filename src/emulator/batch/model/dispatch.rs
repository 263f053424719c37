//! Who starts next: slots and compute environments are filled in the order of the queues, retried children first.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::blocked::Standstill;
use super::effect::{Effect, Start, TaskContainer};
use super::job::{Attempt, AttemptKey, Job, Status};
use super::line::Place;
use super::room::Outlook;
use super::{Model, ids};

/// A queue that somebody waits in, while children are being started.
struct Turn {
    queue: String,
    priority: i64,
    /// Whether other shares go on when the head of one cannot start.
    shares: bool,
    /// Shares whose head cannot start now.
    passed: BTreeSet<String>,
    /// The first head that cannot start, and why.
    standstill: Option<Standstill>,
}

/// The head of a queue among the heads of all; the least starts first.
type Head = (Reverse<i64>, Place, usize, String);

impl Model {
    /// Starts what can start. A head that cannot holds up its own queue only; in a queue with a scheduling policy, its share.
    pub(super) fn dispatch(&mut self, effects: &mut Vec<Effect>) {
        let mut turns = self.turns();
        let mut heads: BTreeSet<Head> = BTreeSet::new();
        for place in 0..turns.len() {
            heads.extend(self.head(&turns, place));
        }
        while let Some((_, place, turn, share)) = heads.pop_first() {
            match self.outlook(&turns[turn].queue, place.job) {
                Outlook::Fails => {
                    self.fail_unfit(place);
                    self.follow();
                }
                Outlook::Starts(environment) => {
                    let start = self.start(&turns[turn].queue, &share, place, &environment);
                    self.begin(start, effects);
                }
                Outlook::Waits(reason) => {
                    let turn = &mut turns[turn];
                    turn.standstill.get_or_insert(Standstill { job: place.job, child: place.child, reason });
                    // With no slot left, another share's head would wait as well.
                    if !turn.shares || self.live >= self.slots {
                        continue;
                    }
                    turn.passed.insert(share);
                }
            }
            heads.extend(self.head(&turns, turn));
        }
        for turn in turns {
            self.note_standstill(&turn.queue, turn.standstill);
        }
    }

    /// The queues that somebody waits in; those that nobody waits in stand still no more.
    fn turns(&mut self) -> Vec<Turn> {
        let mut turns = Vec::new();
        for (name, queue) in &mut self.queues {
            if queue.line.is_empty() {
                queue.line.blocked = None;
                continue;
            }
            turns.push(Turn {
                queue: name.clone(),
                priority: queue.priority,
                shares: queue.policy.is_some(),
                passed: BTreeSet::new(),
                standstill: None,
            });
        }
        turns
    }

    fn head(&mut self, turns: &[Turn], turn: usize) -> Option<Head> {
        let Turn { queue, priority, passed, .. } = &turns[turn];
        let (place, share) = self.next_share(queue, |name| passed.contains(name))?;
        Some((Reverse(*priority), place, turn, share))
    }

    /// Fails a child for what AWS only finds out when it would start it.
    fn fail_unfit(&mut self, place: Place) {
        let Some(job) = self.jobs.get_mut(&place.job) else { return };
        let reason = self.texts.intern(job.unfit.as_deref().unwrap_or_default());
        job.children[place.child as usize].reason = reason;
        self.settle(place.job, place.child, Status::Failed);
    }

    fn start(&mut self, queue: &str, share: &str, place: Place, environment: &str) -> Start {
        if let Some(queue) = self.queues.get_mut(queue) {
            queue.line.share(share).leave(place, &mut self.jobs);
            queue.line.moved_at = self.now;
        }
        self.take_room(place.job, place.child, environment);
        let environment = self.texts.intern(environment);
        let now = self.now;
        let job = self.jobs.get_mut(&place.job).expect("the head of the line is a job of ours");
        let record = &mut job.children[place.child as usize];
        if record.attempt > 0 {
            job.earlier.entry(place.child).or_default().push(record.last);
        }
        record.attempt += 1;
        record.last = Attempt::default();
        record.environment = environment;
        let attempt = AttemptKey { job: place.job, child: place.child, attempt: u32::from(record.attempt) };
        job.set_status(place.child, Status::Starting, now);
        self.drills.moved(place.job);
        self.describe_start(attempt)
    }

    pub(super) fn describe_start(&self, attempt: AttemptKey) -> Start {
        let job = &self.jobs[&attempt.job];
        let own = self.own_variables(job, attempt);
        let mut containers: Vec<TaskContainer> = job
            .containers
            .iter()
            .map(|container| TaskContainer {
                name: container.name.clone(),
                image: container.image.clone(),
                command: container.command.clone(),
                environment: container
                    .environment
                    .iter()
                    .map(|pair| (pair.name.clone(), pair.value.clone()))
                    .chain(own.clone())
                    .collect(),
                secrets: container.secrets.clone(),
                resources: container.requirements(),
                log_stream: ids::log_stream(
                    &job.definition.0,
                    &container.name,
                    &job.id,
                    attempt.child,
                    attempt.attempt,
                ),
                essential: container.essential,
                depends_on: container.depends_on.clone(),
                settings: container.settings.clone(),
            })
            .collect();
        let first = containers.first().cloned().unwrap_or_default();
        if containers.len() == 1 {
            containers.clear();
        }
        Start {
            attempt,
            job_id: self.child_id(attempt.job, attempt.child),
            job_name: job.name.clone(),
            image: first.image,
            command: first.command,
            environment: first.environment,
            secrets: first.secrets,
            resources: first.resources,
            log_stream: first.log_stream,
            settings: first.settings,
            containers,
        }
    }

    /// The variables that Batch itself sets.
    fn own_variables(&self, job: &Job, attempt: AttemptKey) -> Vec<(String, String)> {
        let environment = job.child(attempt.child).and_then(|child| self.texts.owned(child.environment));
        let mut own = vec![
            ("AWS_BATCH_JOB_ID".to_owned(), self.child_id(attempt.job, attempt.child)),
            ("AWS_BATCH_JOB_ATTEMPT".to_owned(), attempt.attempt.to_string()),
            ("AWS_BATCH_CE_NAME".to_owned(), environment.unwrap_or_default()),
            ("AWS_BATCH_JQ_NAME".to_owned(), job.queue.clone()),
        ];
        if job.is_array {
            own.push(("AWS_BATCH_JOB_ARRAY_INDEX".to_owned(), attempt.child.to_string()));
        }
        own
    }

    /// The id that DescribeJobs knows a child by: for a plain job's one child, the job's.
    pub(super) fn child_id(&self, key: u32, child: u32) -> String {
        let job = &self.jobs[&key];
        if job.is_array { format!("{}:{child}", job.id) } else { job.id.clone() }
    }
}
