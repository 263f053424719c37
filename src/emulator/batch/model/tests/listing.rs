//! ListJobs and DescribeJobs.

use super::*;

#[test]
fn listing_keeps_to_the_rules() {
    let mut bench = Bench::new(2);
    let id = bench.array(2500);
    let other = bench.submit(json!({"jobName": "Other-1"}));
    bench.finish_next(0);
    bench.finish_next(3);
    bench.run(bench.started[0].attempt);
    let children = |status: Option<&str>| {
        let mut body = json!({"arrayJobId": id});
        if let Some(status) = status {
            body["jobStatus"] = json!(status);
        }
        bench.list(body)
    };
    let running = children(None);
    assert_eq!(running.job_summary_list.len(), 1, "RUNNING by default");
    assert_eq!(running.job_summary_list[0].job_id, format!("{id}:2"));
    assert_eq!(running.job_summary_list[0].array_properties.as_ref().unwrap().index, Some(2));
    let failed = children(Some("FAILED")).job_summary_list.remove(0);
    assert_eq!((failed.job_id.as_str(), failed.container.unwrap().exit_code), (format!("{id}:1").as_str(), Some(3)));
    let mut sizes = Vec::new();
    let mut seen = Vec::new();
    let mut token = None;
    loop {
        let page = bench.list(json!({"arrayJobId": id, "jobStatus": "RUNNABLE", "nextToken": token}));
        sizes.push(page.job_summary_list.len());
        seen.extend(page.job_summary_list.into_iter().map(|job| job.array_properties.unwrap().index.unwrap()));
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    assert_eq!((sizes, seen), (vec![1000, 1000, 496], (4..2500).collect()));
    let ids =
        |body: Value| -> Vec<String> { bench.list(body).job_summary_list.into_iter().map(|j| j.job_id).collect() };
    assert_eq!(ids(json!({"jobQueue": "batchmap", "jobStatus": "PENDING"})), [id.as_str()], "parents, not children");
    assert_eq!(ids(json!({"jobQueue": "batchmap"})), [""; 0]);
    let name = |value: &str| json!({"jobQueue": "batchmap", "filters": [{"name": "JOB_NAME", "values": [value]}]});
    assert_eq!(ids(name("oTHER-1")), [other.as_str()]);
    assert_eq!(ids(name("oth*")), [other.as_str()]);
    assert_eq!(ids(name("*")), [other.as_str(), id.as_str()], "the newest first, in any state");
    assert_eq!(ids(name("oth")), [""; 0]);
    let filter =
        |name: &str, value: &str| json!({"jobQueue": "batchmap", "filters": [{"name": name, "values": [value]}]});
    assert_eq!(ids(filter("JOB_DEFINITION", "d")).len(), 2);
    assert_eq!(ids(filter("JOB_DEFINITION", "arn:aws:batch:us-east-1:000000000000:job-definition/d:2")).len(), 0);
    assert_eq!(ids(filter("AFTER_CREATED_AT", "1000")).len(), 0);
    assert_eq!(ids(filter("BEFORE_CREATED_AT", "1001")).len(), 2);
    assert_eq!(ids(json!({"arrayJobId": "nope", "jobStatus": "FAILED"})), [""; 0]);
}

#[test]
fn pages_of_a_queue_go_back_in_time() {
    let mut bench = Bench::new(1);
    let mut all: Vec<String> = (0..250).map(|_| bench.submit(json!({}))).collect();
    all.reverse();
    let mut seen: Vec<String> = Vec::new();
    let mut body =
        json!({"jobQueue": "batchmap", "maxResults": 1000, "filters": [{"name": "JOB_NAME", "values": ["J*"]}]});
    loop {
        let page = bench.list(body.clone());
        assert!(page.job_summary_list.len() <= 100);
        seen.extend(page.job_summary_list.into_iter().map(|job| job.job_id));
        let Some(token) = page.next_token else { break };
        body["nextToken"] = json!(token);
    }
    assert!(seen == all);
}

#[test]
fn bad_questions_are_refused() {
    let bench = Bench::new(1);
    let queue = |more: Value| {
        let mut body = json!({"jobQueue": "batchmap"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for (body, part) in [
        (json!({}), "exactly one"),
        (queue(json!({"arrayJobId": "x"})), "exactly one"),
        (json!({"jobQueue": "nope"}), "does not exist"),
        (queue(json!({"jobStatus": "DONE"})), "jobStatus"),
        (queue(json!({"maxResults": 0})), "at least 1"),
        (queue(json!({"nextToken": "x"})), "nextToken"),
        (queue(json!({"filters": [{"name": "X", "values": ["a"]}]})), "filter name"),
        (queue(json!({"filters": [{"name": "JOB_NAME", "values": []}]})), "needs a value"),
        (queue(json!({"filters": [{"name": "AFTER_CREATED_AT", "values": ["noon"]}]})), "milliseconds"),
        (
            queue(json!({"filters": [{"name": "JOB_NAME", "values": ["a"]}, {"name": "JOB_NAME", "values": ["b"]}]})),
            "one filter",
        ),
    ] {
        let message = bench.model.list_jobs(&of(body)).unwrap_err().0;
        assert!(message.contains(part), "'{message}' should say '{part}'");
    }
    for ids in [0, 101] {
        bench.model.describe_jobs(&DescribeJobs { jobs: vec!["x".into(); ids] }).unwrap_err();
    }
    let unknown = DescribeJobs { jobs: vec!["x".into(), "x:1".into()] };
    assert_eq!(bench.model.describe_jobs(&unknown).unwrap().jobs, []);
}
