//! Many jobs at once: CancelJobs, TerminateJobs, snapshots of queues, lists by consumable resource, pages.

use super::*;
use crate::emulator::batch::model::places::ConsumableKind;
use crate::emulator::batch::model::reply::Stopped;

fn stop_many(bench: &mut Bench, jobs: Vec<String>, terminate: bool) -> Result<Stopped, Refusal> {
    let request = StopJobs { jobs, reason: "why".to_owned() };
    match bench.input(if terminate { Input::TerminateMany(request) } else { Input::CancelMany(request) })? {
        Reply::Stopped(stopped) => Ok(stopped),
        other => panic!("{other:?}"),
    }
}

#[test]
fn up_to_fifty_jobs_are_stopped_at_once() {
    for terminate in [false, true] {
        let mut bench = Bench::new(2);
        let (array, plain) = (bench.array(3), bench.submit(json!({})));
        let child = format!("{array}:2");
        let ids =
            vec![plain.clone(), child.clone(), "unknown".to_owned(), "no id!".to_owned(), String::new(), array.clone()];
        let stopped = stop_many(&mut bench, ids.clone(), terminate).unwrap();
        let expected: Vec<String> = [0, 1, 2, 5].map(|n| ids[n].clone()).into();
        assert_eq!(stopped.successful, expected, "what is unknown counts as stopped");
        let codes: Vec<(&str, &str)> = stopped.errors.iter().map(|error| (error.job.as_str(), error.code)).collect();
        assert_eq!(codes, [("no id!", "ValidationException"), ("", "ValidationException")]);
        assert_eq!((bench.status(&plain), bench.status(&child)), (Status::Failed, Status::Failed));
        assert_eq!(bench.signalled.len(), if terminate { 2 } else { 0 });
        assert_eq!(bench.detail(&array).is_terminated, terminate);
    }
    let mut bench = Bench::new(1);
    for count in [0, 51] {
        assert!(stop_many(&mut bench, vec!["x".to_owned(); count], true).unwrap_err().0.contains("1 to 50"));
    }
    let no_reason = StopJobs { jobs: vec!["x".to_owned()], reason: String::new() };
    refused(bench.input(Input::CancelMany(no_reason)), "reason");
}

fn front(bench: &Bench, queue: &str) -> Vec<(String, u64)> {
    let snapshot = bench.model.get_job_queue_snapshot(&of(json!({"jobQueue": queue}))).unwrap();
    let id = |arn: String| arn.rsplit_once('/').unwrap().1.to_owned();
    snapshot.front_of_queue.jobs.into_iter().map(|job| (id(job.job_arn), job.earliest_time_at_position)).collect()
}

#[test]
fn a_snapshot_tells_who_starts_next() {
    let mut bench = Bench::new(1);
    let gate = bench.submit(json!({"retryStrategy": {"attempts": 2}, "jobQueue": INTERRUPTIBLE}));
    let waiting = bench.submit(json!({"dependsOn": [{"jobId": gate}]}));
    let array = bench.array(150);
    let fine = bench.submit(json!({"containerOverrides": {"command": ["x"]}}));
    let front_of = |bench: &Bench| front(bench, MAIN);
    assert_eq!(front_of(&bench).len(), 100);
    assert_eq!(front_of(&bench)[0], (format!("{array}:0"), 1000));
    bench.stop(&format!("{array}:1"), false);
    bench.now = 2000;
    bench.finish_next(0);
    let ids: Vec<String> = front_of(&bench).into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids[..2], [format!("{array}:0"), format!("{array}:2")], "the one that waited was submitted earlier");
    assert_eq!(bench.status(&waiting), Status::Starting);
    assert_eq!(front_of(&bench)[0].1, 2000);
    bench.stop(&array, true);
    assert_eq!(front_of(&bench), [(fine, 2000)]);
    let snapshot = bench.model.get_job_queue_snapshot(&of(json!({"jobQueue": MAIN}))).unwrap();
    assert_eq!(snapshot.front_of_queue.last_updated_at, 2000);
    assert!(snapshot.queue_utilization.fairshare_utilization.is_none());
    let unknown = bench.model.get_job_queue_snapshot(&of(json!({"jobQueue": "nope"})));
    assert!(unknown.unwrap_err().0.contains("nope does not exist"));
}

#[test]
fn a_snapshot_is_the_order_of_starts() {
    let mut bench = Bench::new(1);
    let partner = bench.submit(json!({"arrayProperties": {"size": 3}, "jobQueue": INTERRUPTIBLE}));
    let each = json!({"arrayProperties": {"size": 3}, "dependsOn": [{"jobId": partner, "type": "N_TO_N"}]});
    bench.submit(each.clone());
    bench.submit(json!({"arrayProperties": {"size": 3}, "retryStrategy": {"attempts": 3}}));
    bench.submit(each);
    bench.model.queues.get_mut(INTERRUPTIBLE).unwrap().priority = 9;
    for code in [0, 0, 0, 1, 1] {
        bench.finish_next(code);
    }
    let told: Vec<String> = front(&bench, MAIN).into_iter().map(|(id, _)| id).collect();
    let mut seen = Vec::new();
    while !bench.started.is_empty() {
        seen.push(bench.finish_next(0).job_id);
    }
    assert_eq!(seen[1..], told[..]);
}

#[test]
fn jobs_are_listed_by_what_they_consume() {
    let mut bench = Bench::new(200);
    for name in ["a", "b"] {
        let resource = Consumable::new(ConsumableKind::Replenishable, 150);
        bench.model.consumables.insert(name.to_owned(), resource);
    }
    let uses = |name: &str| {
        let list = json!([{"consumableResource": name, "quantity": 2}]);
        json!({"jobName": format!("uses-{name}"), "consumableResourcePropertiesOverride": {"consumableResourceList": list}})
    };
    bench.submit(json!({}));
    let mut ids: Vec<String> = (0..120).map(|_| bench.submit(uses("a"))).collect();
    bench.submit(uses("b"));
    ids.reverse();
    let list = |bench: &Bench, body: Value| bench.model.list_jobs_by_consumable_resource(&of(body));
    let first = list(&bench, json!({"consumableResource": "a"})).unwrap();
    assert_eq!((first.jobs.len(), first.jobs[0].quantity), (100, 2));
    assert_eq!(first.jobs[0].job_status, Status::Runnable, "75 of them have all there is");
    bench.finish_next(0);
    let more = list(&bench, json!({"consumableResource": "a", "nextToken": first.next_token})).unwrap();
    let seen: Vec<String> = first.jobs.iter().chain(&more.jobs).map(|job| job.job_arn.clone()).collect();
    assert!(seen.iter().zip(&ids).all(|(arn, id)| arn.ends_with(id)) && seen.len() == 120);
    assert_eq!(more.next_token, None);
    let count =
        |filters: Value| list(&bench, json!({"consumableResource": "a", "filters": filters})).unwrap().jobs.len();
    let filter = |name: &str, value: &str| json!({"name": name, "values": [value]});
    assert_eq!(count(json!([filter("JOB_STATUS", "STARTING")])), 75);
    assert_eq!(count(json!([filter("JOB_STATUS", "STARTING"), filter("JOB_NAME", "other*")])), 0);
    assert_eq!(count(json!([filter("JOB_NAME", "USES-*")])), 100);
    for (body, part) in [
        (json!({"consumableResource": "c"}), "does not exist"),
        (json!({"consumableResource": "a", "filters": [filter("X", "y")]}), "filter name 'X'"),
        (json!({"consumableResource": "a", "filters": [filter("JOB_STATUS", "DONE")]}), "no job status"),
        (json!({"consumableResource": "b", "nextToken": first.next_token}), "nextToken"),
    ] {
        let message = list(&bench, body).unwrap_err().0;
        assert!(message.contains(part), "'{message}' should say '{part}'");
    }
}

#[test]
fn pages_stay_right_while_jobs_move() {
    let mut bench = Bench::new(10);
    let id = bench.array(2000);
    let mut body = json!({"arrayJobId": id, "jobStatus": "RUNNABLE", "maxResults": 700});
    let (mut seen, mut first) = (Vec::new(), None);
    loop {
        let page = bench.list(body.clone());
        seen.extend(page.job_summary_list.into_iter().map(|job| job.array_properties.unwrap().index.unwrap()));
        first = first.or(page.next_token.clone());
        let Some(token) = page.next_token else { break };
        body["nextToken"] = json!(token);
        for _ in 0..50 {
            bench.finish_next(0);
        }
    }
    let mut sorted = seen.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!((&sorted, sorted.len()), (&seen, 1990), "none twice, none left out that waited all along");
    // A token is of its list.
    let other = bench.array(3);
    let wrong = bench.model.list_jobs(&of(json!({"arrayJobId": other, "nextToken": first})));
    assert!(wrong.unwrap_err().0.contains("nextToken"));
}
