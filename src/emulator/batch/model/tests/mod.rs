//! The rules of the model, under virtual time.

mod containers;
mod definitions;
mod dependencies;
mod forgetting;
mod holding;
mod listing;
mod many;
mod places;
mod property;
mod room;
mod shares;
mod states;
mod stopping;
mod submitting;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::api::{DescribeJobDefinitions, DescribeJobs, ListJobs};
use super::reply::{JobDetail, JobList};
use super::*;

/// A model with a definition `d`, and what its effects have asked for so far.
struct Bench {
    model: Model,
    now: u64,
    started: Vec<Start>,
    signalled: Vec<(AttemptKey, Stop)>,
}

fn of<T: serde::de::DeserializeOwned>(body: Value) -> T {
    serde_json::from_value(body).unwrap()
}

fn definition(container: Value) -> Value {
    let mut properties = json!({"image": "i", "command": ["run", "Ref::what"],
        "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "128"}]});
    properties.as_object_mut().unwrap().extend(container.as_object().unwrap().clone());
    json!({"jobDefinitionName": "d", "type": "container", "containerProperties": properties})
}

impl Bench {
    fn new(slots: u32) -> Bench {
        let mut bench = Bench { model: Model::new("seed", slots), now: 1000, started: vec![], signalled: vec![] };
        bench.input(Input::Register(of(definition(json!({}))))).unwrap();
        bench
    }

    fn input(&mut self, input: Input) -> Result<Reply, Refusal> {
        let output = self.model.apply(self.now, input)?;
        for effect in output.effects {
            match effect {
                Effect::Start(start) => self.started.push(*start),
                Effect::Signal(attempts, stop) => self.signalled.extend(attempts.into_iter().map(|a| (a, stop))),
            }
        }
        Ok(output.reply)
    }

    fn submit(&mut self, more: Value) -> String {
        match self.try_submit(more) {
            Ok(Reply::Submitted(submitted)) => submitted.job_id,
            other => panic!("{other:?}"),
        }
    }

    fn try_submit(&mut self, more: Value) -> Result<Reply, Refusal> {
        let mut body = json!({"jobName": "j", "jobQueue": "batchmap", "jobDefinition": "d"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.input(Input::Submit(of(body)))
    }

    fn array(&mut self, size: u32) -> String {
        self.submit(json!({"arrayProperties": {"size": size}}))
    }

    fn run(&mut self, attempt: AttemptKey) {
        self.input(Input::Started(attempt)).unwrap();
    }

    fn end(&mut self, attempt: AttemptKey, end: End) {
        self.input(Input::Ended(attempt, end)).unwrap();
    }

    /// Takes the oldest start, runs it and ends it with the code.
    fn finish_next(&mut self, exit_code: i32) -> Start {
        let start = self.started.remove(0);
        self.run(start.attempt);
        self.end(start.attempt, End::exited(exit_code));
        start
    }

    fn detail(&self, id: &str) -> JobDetail {
        let request = DescribeJobs { jobs: vec![id.to_owned()] };
        self.model.describe_jobs(&request).unwrap().jobs.remove(0)
    }

    fn status(&self, id: &str) -> Status {
        self.detail(id).status
    }

    fn summary(&self, id: &str) -> BTreeMap<Status, u32> {
        self.detail(id).array_properties.unwrap().status_summary
    }

    fn list(&self, body: Value) -> JobList {
        self.model.list_jobs(&of::<ListJobs>(body)).unwrap()
    }

    fn stop(&mut self, id: &str, terminate: bool) {
        let request = StopJob { job_id: id.to_owned(), reason: "why".to_owned() };
        self.input(if terminate { Input::Terminate(request) } else { Input::Cancel(request) }).unwrap();
    }

    fn tick_at(&mut self, now: u64) {
        self.now = now;
        self.input(Input::Tick).unwrap();
    }
}

fn refused(result: Result<Reply, Refusal>, part: &str) {
    let message = result.expect_err("should be refused").0;
    assert!(message.contains(part), "'{message}' should say '{part}'");
}
