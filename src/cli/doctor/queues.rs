//! The job queues, their compute environments, and whether a child fits.

use super::Report;
use crate::aws::batch::{BatchError, EnvironmentDetail, QueueDetail};
use crate::cli::Exit;
use crate::cli::session::Session;
use crate::map::resources::Platform;
use crate::map::stuck::{self, Shape};
use crate::map::task::MapTask;

/// Whether the queues take the task's children.
pub(super) async fn check(session: &Session, task: &MapTask, report: &mut Report) -> bool {
    let target = &session.target;
    let spot = target.interruptible_queue.iter().map(|queue| ("interruptible_queue", queue));
    let named: Vec<(&'static str, &String)> = [("queue", &target.queue)].into_iter().chain(spot).collect();
    let names: Vec<String> = named.iter().map(|(_, queue)| (*queue).clone()).collect();
    let found = match session.ports.batch.queues(&names).await {
        Ok(found) => found,
        Err(error) => return unanswered("queue", "batch:DescribeJobQueues", &error, report),
    };
    let shape =
        Shape { cpu_milli: task.resources.cpu_milli, memory_mib: task.resources.memory_mib, gpus: task.resources.gpus };
    let mut all_well = true;
    for (setting, asked) in named {
        let queue = found.iter().find(|queue| queue.name == *asked || queue.arn == *asked);
        all_well &= one(session, setting, asked, queue, shape, report).await;
    }
    all_well
}

/// AWS Batch did not answer: without a permission to look, a job may run all the same.
fn unanswered(step: &'static str, action: &str, error: &BatchError, report: &mut Report) -> bool {
    if error.is_denied() {
        report.warn(step, format!("it may not be looked at: {error}"), format!("allow {action} on *"));
        return true;
    }
    let fix = "see that the address, the network and the credentials are right";
    report.fail(step, Exit::Aws, error.to_string(), fix);
    false
}

async fn one(
    session: &Session,
    setting: &'static str,
    asked: &str,
    queue: Option<&QueueDetail>,
    shape: Shape,
    report: &mut Report,
) -> bool {
    let Some(queue) = queue else {
        let what = format!("{setting} is {asked:?}: there is no such job queue in this account and region");
        let fix = format!("correct `{setting}` or the region, or make the queue: terraform/ does");
        report.fail("queue", Exit::BadInput, what, fix);
        return false;
    };
    let environments = match session.ports.batch.environments(&queue.environments).await {
        Ok(environments) => environments,
        Err(error) => return unanswered("compute", "batch:DescribeComputeEnvironments", &error, report),
    };
    // Processes of this machine are as much the one as the other.
    let wanted = (!session.is_embedded()).then(|| session.platform());
    judge((setting, asked), queue, &environments, shape, wanted, report)
}

/// Whether a queue and its environments take children of `shape`, and of the `wanted` platform.
fn judge(
    (setting, asked): (&'static str, &str),
    queue: &QueueDetail,
    environments: &[EnvironmentDetail],
    shape: Shape,
    wanted: Option<Platform>,
    report: &mut Report,
) -> bool {
    if let Some(stuck) = stuck::find(asked, Some(queue), environments, shape) {
        let said = stuck.said.map(|said| format!(" ({said})")).unwrap_or_default();
        let step = if stuck.code.starts_with("Queue") { "queue" } else { "compute" };
        report.fail(step, Exit::BadInput, format!("{setting} {asked}: {}{said}", stuck.what), stuck.fix);
        return false;
    }
    report.ok("queue", format!("{setting} {} is {} and {}", queue.name, queue.status, queue.state));
    let other = wanted.and_then(|wanted| Some((wanted, environments.iter().find(|it| !suits(it, wanted))?)));
    if let Some((wanted, other)) = other {
        let what =
            format!("{setting} {} runs on {} ({}), and platform is {wanted}", queue.name, other.kind, other.name);
        let right = if wanted == Platform::Fargate { Platform::Ec2 } else { Platform::Fargate };
        let fix =
            format!("set platform to {right}, or give a queue of {wanted}: jobs of one do not start on the other");
        report.fail("compute", Exit::BadInput, what, fix);
        return false;
    }
    for environment in environments {
        let alone = QueueDetail { environments: vec![environment.arn.clone()], ..queue.clone() };
        match stuck::find(asked, Some(&alone), std::slice::from_ref(environment), shape) {
            Some(stuck) => {
                let said = stuck.said.map(|said| format!(" ({said})")).unwrap_or_default();
                report.warn("compute", format!("{}{said}", stuck.what), stuck.fix);
            }
            None => report.ok("compute", room(environment)),
        }
    }
    true
}

/// Whether jobs of a platform run in an environment; of an unmanaged one nobody knows.
fn suits(environment: &EnvironmentDetail, wanted: Platform) -> bool {
    environment.kind.is_empty() || environment.kind.starts_with("FARGATE") == (wanted == Platform::Fargate)
}

fn room(environment: &EnvironmentDetail) -> String {
    let most = environment.max_vcpus.map(|most| format!(", up to {most} vCPUs")).unwrap_or_default();
    let kind = if environment.kind.is_empty() { "unmanaged" } else { &environment.kind };
    format!("{} ({kind}) is {} and {}{most}", environment.name, environment.status, environment.state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::{Finding, Status};
    use crate::cli::status::Form;

    const SHAPE: Shape = Shape { cpu_milli: 2000, memory_mib: 4096, gpus: 0 };

    fn environment(name: &str, status: &str) -> EnvironmentDetail {
        EnvironmentDetail {
            name: name.to_owned(),
            arn: format!("arn:{name}"),
            state: "ENABLED".to_owned(),
            status: status.to_owned(),
            status_reason: (status == "INVALID").then(|| "the service role is gone".to_owned()),
            kind: "FARGATE".to_owned(),
            max_vcpus: Some(16),
            ..EnvironmentDetail::default()
        }
    }

    fn judged(environments: &[EnvironmentDetail], wanted: Platform) -> (bool, Vec<Finding>) {
        let queue = QueueDetail {
            name: "q".to_owned(),
            state: "ENABLED".to_owned(),
            status: "VALID".to_owned(),
            ..QueueDetail::default()
        };
        let mut report = Report::new(Form::Json);
        let well = judge(("queue", "q"), &queue, environments, SHAPE, Some(wanted), &mut report);
        (well, report.findings)
    }

    #[test]
    fn an_invalid_environment_is_told_with_its_reason() {
        let (well, findings) = judged(&[environment("a", "INVALID")], Platform::Fargate);
        assert!(!well && findings[0].status == Status::Failed && findings[0].step == "compute", "{findings:?}");
        assert!(findings[0].what.ends_with("a is INVALID (the service role is gone)"), "{findings:?}");
        assert!(findings[0].fix.as_deref().unwrap().starts_with("mend it"), "{findings:?}");
        // Where another one takes jobs, it is worth a word.
        let (well, findings) = judged(&[environment("a", "INVALID"), environment("b", "VALID")], Platform::Fargate);
        let told: Vec<Status> = findings.iter().map(|finding| finding.status).collect();
        assert!(well && told == [Status::Ok, Status::Warning, Status::Ok], "{findings:?}");
    }

    #[test]
    fn the_platform_is_the_queues() {
        let (well, findings) = judged(&[environment("a", "VALID")], Platform::Ec2);
        let fix = findings[1].fix.as_deref().unwrap();
        assert!(!well && fix.starts_with("set platform to FARGATE"), "{findings:?}");
        let unmanaged = EnvironmentDetail { kind: String::new(), ..environment("u", "VALID") };
        assert!(judged(&[unmanaged], Platform::Ec2).0);
    }
}
