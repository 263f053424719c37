//! Finding jobs and definitions again.

use std::collections::BTreeSet;

use batchmap::aws::batch::JobStatus;

use crate::place::Place;

const NO_JOB: &str = "00000000-0000-4000-8000-000000000000";

pub async fn what_is_unknown_is_left_out(place: &Place) {
    let id = place.submit(&place.request("known", 2, "true").await).await;
    assert_eq!(place.batch.describe(&[]).await, Ok(vec![]));
    assert_eq!(place.batch.describe(&[NO_JOB.to_owned()]).await, Ok(vec![]));
    let asked = [format!("{id}:1"), NO_JOB.to_owned(), id.clone(), format!("{id}:2")];
    let found = place.until("children exist", async || {
        let jobs = place.batch.describe(&asked).await.expect("a description");
        (jobs.len() >= 2).then_some(jobs)
    });
    let found: BTreeSet<_> = found.await.into_iter().map(|job| job.id).collect();
    assert_eq!(found, BTreeSet::from([format!("{id}:1"), id]));
}

pub async fn jobs_are_found_by_name(place: &Place) {
    let names = ["One", "One-more", "another"].map(|name| place.name(name));
    let mut ids = Vec::new();
    for (name, size) in names.iter().zip([1, 2, 1]) {
        let mut request = place.request("", size, "true").await;
        request.name = name.clone();
        ids.push(place.submit(&request).await);
    }
    let find = async |name: &str| {
        let page = place.batch.list_named(&place.queue, name, None).await.expect("a page");
        assert_eq!(page.next, None);
        page.jobs.into_iter().map(|job| job.id).collect::<Vec<_>>()
    };
    place.until("all are listed", async || (find(&names[2]).await == ids[2..]).then_some(())).await;
    assert_eq!(find(&names[0]).await, ids[..1]);
    // Their common beginning, the newest first; parents only.
    let prefix = format!("{}-One*", place.prefix);
    let mut found = find(&prefix).await;
    assert_eq!(found.len(), 2, "{found:?}");
    found.sort();
    ids.pop();
    ids.sort();
    assert_eq!(found, ids);
    // AWS finds them in any case; what was not asked for by its own name is left out by the port.
    assert_eq!(find(&names[0].to_uppercase()).await, [""; 0]);
    assert_eq!(find(&place.name("never-submitted")).await, [""; 0]);
    for id in &ids {
        place.ended(id).await;
    }
    assert_eq!(find(&prefix).await.len(), 2, "ended ones too");
}

pub async fn lists_go_on_where_they_stopped(place: &Place) {
    if !place.cheap {
        return crate::skipped("thousands of children: they cost money here");
    }
    let parent = place.submit(&place.request("pages", 2500, "sleep 600").await).await;
    place.batch.terminate(&parent, "to be listed").await.expect("terminated");
    place.ended(&parent).await;
    let (mut sizes, mut ids, mut token) = (Vec::new(), BTreeSet::new(), None);
    loop {
        let page = place.batch.list_children(&parent, JobStatus::Failed, token.as_deref()).await.expect("a page");
        sizes.push(page.jobs.len());
        ids.extend(page.jobs.into_iter().map(|job| job.id));
        token = page.next;
        if token.is_none() {
            break;
        }
    }
    assert_eq!((sizes.as_slice(), ids.len()), ([1000, 1000, 500].as_slice(), 2500));
    let name = place.name("many");
    let mut submitted = Vec::new();
    for number in 0..120 {
        let mut request = place.request("", 1, "sleep 600").await;
        request.name = format!("{name}-{number}");
        let id = place.submit(&request).await;
        place.batch.terminate(&id, "to be listed").await.expect("terminated");
        submitted.push(id);
    }
    submitted.reverse();
    let first = place.batch.list_named(&place.queue, &format!("{name}-*"), None).await.expect("a page");
    let second =
        place.batch.list_named(&place.queue, &format!("{name}-*"), first.next.as_deref()).await.expect("a page");
    assert_eq!((first.jobs.len(), second.jobs.len(), second.next), (100, 20, None));
    let listed: Vec<_> = first.jobs.into_iter().chain(second.jobs).map(|job| job.id).collect();
    assert_eq!(listed, submitted, "the newest first");
}

pub async fn a_definition_is_found_by_its_name(place: &Place) {
    let name = place.name("definition");
    assert_eq!(place.batch.find_definition(&name).await, Ok(None));
    let found = async |arn: Option<&str>| {
        let found = place.batch.find_definition(&name).await.expect("an answer");
        (found.as_deref() == arn).then_some(())
    };
    let first = place.register(&name).await;
    place.until("the first is found", async || found(Some(&first)).await).await;
    // The same content once more is another revision all the same.
    let second = place.register(&name).await;
    assert!(first.ends_with(&format!("/{name}:1")) && second.ends_with(&format!("/{name}:2")), "{first}, {second}");
    place.until("the newest is found", async || found(Some(&second)).await).await;
    let mut request = place.request("by-name", 1, "true").await;
    for definition in [name.clone(), format!("{name}:1"), second.clone()] {
        (request.name, request.definition) = (place.name("by-name"), definition);
        place.submit(&request).await;
    }
    place.beyond.deregister(&second).await;
    place.until("the older is found", async || found(Some(&first)).await).await;
    place.beyond.deregister(&first).await;
    place.until("none is found", async || found(None).await).await;
    for definition in [name.clone(), first] {
        (request.name, request.definition) = (place.name("gone"), definition);
        crate::refusals::refused(place, &request).await;
    }
}

/// What is not there is left out, and no names are no question.
pub async fn a_queue_names_its_environments(place: &Place) {
    assert_eq!(place.batch.queues(&[]).await, Ok(Vec::new()));
    assert_eq!(place.batch.environments(&[]).await, Ok(Vec::new()));
    let asked = [place.queue.clone(), place.name("none")];
    let queues = place.batch.queues(&asked).await.expect("a description");
    let [queue] = queues.as_slice() else { panic!("one queue is there: {queues:?}") };
    assert!(place.queue == queue.name || place.queue == queue.arn, "{queue:?}");
    assert_eq!((queue.state.as_str(), queue.status.as_str()), ("ENABLED", "VALID"));
    assert!(!queue.environments.is_empty());
    assert_eq!(place.batch.queues(std::slice::from_ref(&queue.arn)).await.expect("by its ARN"), queues);
    let environments = place.batch.environments(&queue.environments).await.expect("a description");
    let mut arns: Vec<&String> = environments.iter().map(|environment| &environment.arn).collect();
    let mut named: Vec<&String> = queue.environments.iter().collect();
    arns.sort();
    named.sort();
    assert_eq!(arns, named);
    for environment in environments {
        assert!(!environment.name.is_empty() && !environment.kind.is_empty(), "{environment:?}");
        assert!(environment.max_vcpus.is_some(), "{environment:?}");
        assert!(["ENABLED", "DISABLED"].contains(&environment.state.as_str()), "{environment:?}");
    }
}
