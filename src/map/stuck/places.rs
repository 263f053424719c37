//! What is wrong with a queue and its compute environments, when Batch itself says nothing of a job that waits.

use super::Stuck;
use super::sizes::largest;

/// A job queue, as DescribeJobQueues tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueDetail {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// `ENABLED` or `DISABLED`.
    pub state: String,
    /// `VALID`, `INVALID`, `CREATING`, ...
    pub status: String,
    /// Why it has that status.
    pub status_reason: Option<String>,
    /// ARNs of its compute environments, the first tried first.
    pub environments: Vec<String>,
}

/// A compute environment, as DescribeComputeEnvironments tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnvironmentDetail {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// `ENABLED` or `DISABLED`.
    pub state: String,
    /// `VALID`, `INVALID`, `UPDATING`, ...
    pub status: String,
    /// Why it has that status.
    pub status_reason: Option<String>,
    /// `EC2`, `SPOT`, `FARGATE` or `FARGATE_SPOT`; empty for an unmanaged one, whose instances are its owner's affair.
    pub kind: String,
    /// vCPUs that it may have at once.
    pub max_vcpus: Option<u32>,
    /// Types and families of its instances; empty on Fargate.
    pub instance_types: Vec<String>,
}

/// What one child asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Thousandths of a vCPU.
    pub cpu_milli: u32,
    /// MiB.
    pub memory_mib: u32,
    /// Whole GPUs.
    pub gpus: u32,
}

/// What keeps a compute environment from ever taking a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Invalid,
    Disabled,
    NoVcpus,
    TooSmall,
}

/// Why children of `shape` do not start in `queue` (absent when there is none of that name, which is `asked`), by the
/// state of the queue and of its `environments`. Nothing when both are in order: then they wait for others, or for
/// instances to come up.
pub fn find(
    asked: &str,
    queue: Option<&QueueDetail>,
    environments: &[EnvironmentDetail],
    shape: Shape,
) -> Option<Stuck> {
    let Some(queue) = queue else {
        let what = format!("job queue {asked} does not exist any more");
        return Some(stuck("QueueMissing", what, "abort the execution, and start it on another queue", None));
    };
    let name = &queue.name;
    if !["VALID", "UPDATING", "CREATING"].contains(&queue.status.as_str()) {
        let what = format!("job queue {name} is {}", queue.status);
        return Some(stuck(
            "QueueInvalid",
            what,
            "mend it, or abort and use another queue",
            queue.status_reason.clone(),
        ));
    }
    let faults: Vec<(Fault, String)> = environments.iter().filter_map(|it| fault(it, shape)).collect();
    // One that can take a child is enough.
    if faults.len() == environments.len() {
        return Some(no_environment(queue, faults, environments));
    }
    // Batch may finish what a disabled queue holds, so this is blamed last; but nobody disables one without a reason.
    (queue.state == "DISABLED").then(|| {
        let what = format!("job queue {name} is DISABLED");
        stuck("QueueDisabled", what, "enable it, or abort and use another queue", queue.status_reason.clone())
    })
}

fn no_environment(queue: &QueueDetail, mut faults: Vec<(Fault, String)>, all: &[EnvironmentDetail]) -> Stuck {
    let name = &queue.name;
    let Some((first, _)) = faults.first().cloned() else {
        let what = format!("none of job queue {name}'s compute environments exists any more");
        return stuck("EnvironmentsMissing", what, "give the queue a compute environment", None);
    };
    let alike = faults.iter().all(|(fault, _)| *fault == first);
    let (code, fix) = match first {
        _ if !alike => ("NoEnvironment", "mend one of them"),
        Fault::Invalid => ("EnvironmentInvalid", "mend it as its status reason says"),
        Fault::Disabled => ("EnvironmentDisabled", "enable it"),
        Fault::NoVcpus => ("EnvironmentWithoutVcpus", "raise its maxvCpus"),
        Fault::TooSmall => (
            "EnvironmentTooSmall",
            "raise its limits or allow larger instance types, or lower resources.cpu, resources.mem or resources.gpu",
        ),
    };
    let said = match all {
        [only] if first == Fault::Invalid => only.status_reason.clone(),
        _ => None,
    };
    let told: Vec<String> = faults.drain(..).map(|(_, text)| text).collect();
    let what = format!("no compute environment of job queue {name} can take a child: {}", told.join("; "));
    stuck(code, what, fix, said)
}

fn stuck(code: &str, what: String, fix: &str, said: Option<String>) -> Stuck {
    Stuck { code: code.to_owned(), what, fix: fix.to_owned(), said }
}

/// What keeps `environment` from ever taking a child of `shape`.
fn fault(environment: &EnvironmentDetail, shape: Shape) -> Option<(Fault, String)> {
    let name = &environment.name;
    if !["VALID", "UPDATING", "CREATING"].contains(&environment.status.as_str()) {
        return Some((Fault::Invalid, format!("{name} is {}", environment.status)));
    }
    if environment.state == "DISABLED" {
        return Some((Fault::Disabled, format!("{name} is DISABLED")));
    }
    if environment.max_vcpus == Some(0) {
        return Some((Fault::NoVcpus, format!("{name} has maxvCpus 0")));
    }
    too_small(environment, shape).map(|text| (Fault::TooSmall, format!("{name} {text}")))
}

fn too_small(environment: &EnvironmentDetail, shape: Shape) -> Option<String> {
    let asked = shape.cpu_milli.div_ceil(1000);
    if let Some(most) = environment.max_vcpus.filter(|most| u64::from(*most) * 1000 < u64::from(shape.cpu_milli)) {
        return Some(format!("has maxvCpus {most}, and a child asks for {asked}"));
    }
    if environment.kind.starts_with("FARGATE") {
        return (shape.gpus > 0).then(|| "is of Fargate, which has no GPUs".to_owned());
    }
    let largest = largest(&environment.instance_types);
    if let Some(most) = largest.vcpus.filter(|most| *most < asked) {
        return Some(format!("has no instance type of more than {most} vCPUs, and a child asks for {asked}"));
    }
    // An instance keeps some of its memory for itself, so all of it is too much already.
    if let Some(most) = largest.memory_mib.filter(|most| *most <= u64::from(shape.memory_mib)) {
        let mib = shape.memory_mib;
        return Some(format!("has no instance type of more than {most}Mi of memory, and a child asks for {mib}Mi"));
    }
    (shape.gpus > 0 && largest.gpus == Some(false)).then(|| "has no instance type with GPUs".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> QueueDetail {
        QueueDetail {
            name: "q".to_owned(),
            state: "ENABLED".to_owned(),
            status: "VALID".to_owned(),
            ..QueueDetail::default()
        }
    }

    fn environment() -> EnvironmentDetail {
        EnvironmentDetail {
            name: "e".to_owned(),
            state: "ENABLED".to_owned(),
            status: "VALID".to_owned(),
            kind: "EC2".to_owned(),
            max_vcpus: Some(16),
            instance_types: vec!["m5.xlarge".to_owned()],
            ..EnvironmentDetail::default()
        }
    }

    const SHAPE: Shape = Shape { cpu_milli: 2000, memory_mib: 4096, gpus: 0 };

    fn found(queue: &QueueDetail, environments: &[EnvironmentDetail], shape: Shape) -> (String, String) {
        let stuck = find("q", Some(queue), environments, shape).expect("a finding");
        (stuck.code, stuck.what)
    }

    #[test]
    fn a_queue_in_order_is_not_blamed() {
        assert_eq!(find("q", Some(&queue()), &[environment()], SHAPE), None);
        let updating = EnvironmentDetail { status: "UPDATING".to_owned(), ..environment() };
        assert_eq!(find("q", Some(&queue()), &[updating], SHAPE), None);
        let unmanaged =
            EnvironmentDetail { kind: String::new(), max_vcpus: None, instance_types: vec![], ..environment() };
        assert_eq!(find("q", Some(&queue()), &[unmanaged], Shape { gpus: 1, ..SHAPE }), None);
        // One that can take a child is enough.
        let disabled = EnvironmentDetail { state: "DISABLED".to_owned(), ..environment() };
        assert_eq!(find("q", Some(&queue()), &[disabled, environment()], SHAPE), None);
    }

    #[test]
    fn queues() {
        assert_eq!(find("q", None, &[], SHAPE).unwrap().code, "QueueMissing");
        let disabled = QueueDetail { state: "DISABLED".to_owned(), ..queue() };
        assert_eq!(found(&disabled, &[environment()], SHAPE).0, "QueueDisabled");
        let why = Some("no permission".to_owned());
        let invalid = QueueDetail { status: "INVALID".to_owned(), status_reason: why.clone(), ..queue() };
        let stuck = find("q", Some(&invalid), &[environment()], SHAPE).unwrap();
        assert_eq!((stuck.code.as_str(), stuck.said), ("QueueInvalid", why));
        assert_eq!(found(&queue(), &[], SHAPE).0, "EnvironmentsMissing");
    }

    #[test]
    fn environments_by_their_state() {
        let disabled = EnvironmentDetail { state: "DISABLED".to_owned(), ..environment() };
        let invalid =
            EnvironmentDetail { status: "INVALID".to_owned(), status_reason: Some("role".to_owned()), ..environment() };
        let without = EnvironmentDetail { max_vcpus: Some(0), ..environment() };
        assert_eq!(
            found(&queue(), std::slice::from_ref(&disabled), SHAPE),
            (
                "EnvironmentDisabled".to_owned(),
                "no compute environment of job queue q can take a child: e is DISABLED".to_owned()
            )
        );
        let stuck = find("q", Some(&queue()), std::slice::from_ref(&invalid), SHAPE).unwrap();
        assert_eq!((stuck.code.as_str(), stuck.said.as_deref()), ("EnvironmentInvalid", Some("role")));
        assert_eq!(found(&queue(), std::slice::from_ref(&without), SHAPE).0, "EnvironmentWithoutVcpus");
        let (code, what) = found(&queue(), &[disabled, invalid, without], SHAPE);
        assert_eq!(code, "NoEnvironment");
        assert!(what.ends_with("e is DISABLED; e is INVALID; e has maxvCpus 0"), "{what}");
    }

    #[test]
    fn environments_by_what_fits() {
        let too_small = |environment: EnvironmentDetail, shape: Shape, word: &str| {
            let (code, what) = found(&queue(), &[environment], shape);
            assert_eq!(code, "EnvironmentTooSmall");
            assert!(what.contains(word), "{what}");
        };
        let cpu = |cpu_milli| Shape { cpu_milli, ..SHAPE };
        too_small(
            EnvironmentDetail { max_vcpus: Some(1), ..environment() },
            SHAPE,
            "maxvCpus 1, and a child asks for 2",
        );
        too_small(environment(), cpu(8000), "no instance type of more than 4 vCPUs");
        too_small(environment(), Shape { memory_mib: 16 * 1024, ..SHAPE }, "16384Mi of memory");
        too_small(environment(), Shape { gpus: 1, ..SHAPE }, "GPUs");
        let fargate = EnvironmentDetail { kind: "FARGATE_SPOT".to_owned(), instance_types: vec![], ..environment() };
        too_small(fargate.clone(), Shape { gpus: 1, ..SHAPE }, "Fargate");
        assert_eq!(find("q", Some(&queue()), &[fargate], SHAPE), None);
        let families = EnvironmentDetail { instance_types: vec!["p4d".to_owned(), "m5".to_owned()], ..environment() };
        assert_eq!(find("q", Some(&queue()), &[families], Shape { gpus: 8, ..SHAPE }), None);
    }
}
