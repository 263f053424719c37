//! Ids and ARNs. Ids come from the model's seed and a counter, so the same inputs give the same ids.

/// The account of everything here: one that AWS never gives out.
const ACCOUNT: &str = "000000000000";
const REGION: &str = "us-east-1";

/// The ARN of a Batch resource: `kind` is `job`, `job-queue`, `job-definition` or `compute-environment`.
pub(super) fn arn(kind: &str, name: &str) -> String {
    format!("arn:aws:batch:{REGION}:{ACCOUNT}:{kind}/{name}")
}

/// The ARN of an attempt's task.
pub(super) fn task_arn(task: &str) -> String {
    format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task/batchmap/{task}")
}

/// The name behind `given`, which is a name or an ARN of `kind`, whatever its region and account.
pub(super) fn name_of<'a>(kind: &str, given: &'a str) -> &'a str {
    if !given.starts_with("arn:") {
        return given;
    }
    let resource = given.splitn(6, ':').nth(5).unwrap_or(given);
    resource.strip_prefix(kind).and_then(|rest| rest.strip_prefix('/')).unwrap_or(given)
}

/// The ARN of the cluster that all tasks run in.
pub(super) fn cluster_arn() -> String {
    format!("arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/batchmap")
}

/// A job id in the form of a UUID.
pub(super) fn job_id(seed: &str, number: u32) -> String {
    uuid(seed, &number.to_string())
}

/// The UUID of `what` among all that comes of one seed.
pub(super) fn uuid(seed: &str, what: &str) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&blake3::hash(format!("{seed}/{what}").as_bytes()).as_bytes()[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex(&bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// The id of an attempt's task: 32 hexadecimal digits.
pub(super) fn task_id(job_id: &str, child: u32, attempt: u32) -> String {
    hex(&blake3::hash(format!("{job_id}/{child}/{attempt}").as_bytes()).as_bytes()[..16])
}

/// The log stream of an attempt's container, in the group `/aws/batch/job`. Batch keeps 200 characters of the definition's
/// name.
pub(super) fn log_stream(definition: &str, container: &str, job_id: &str, child: u32, attempt: u32) -> String {
    let name: String = definition.chars().take(200).collect();
    format!("{name}/{container}/{}", task_id(job_id, child, attempt))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A job's id and, for a child, its index.
pub(super) fn split_child(id: &str) -> (&str, Option<u32>) {
    match id.rsplit_once(':') {
        Some((parent, index)) => match index.parse::<u32>() {
            // "01" or "+1" is no index of ours.
            Ok(number) if number.to_string() == index => (parent, Some(number)),
            _ => (id, None),
        },
        None => (id, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_arns_are_read_alike() {
        for (kind, given, name) in [
            ("job-queue", "batchmap", "batchmap"),
            ("job-queue", "arn:aws:batch:eu-west-1:1:job-queue/q", "q"),
            ("job-definition", "arn:aws:batch:us-east-1:000000000000:job-definition/d:3", "d:3"),
            (
                "job-queue",
                "arn:aws:batch:us-east-1:1:compute-environment/q",
                "arn:aws:batch:us-east-1:1:compute-environment/q",
            ),
        ] {
            assert_eq!(name_of(kind, given), name);
        }
    }

    #[test]
    fn ids_are_those_of_the_seed() {
        assert_eq!(job_id("s", 1), job_id("s", 1));
        assert_ne!(job_id("s", 1), job_id("s", 2));
        assert_ne!(job_id("s", 1), job_id("t", 1));
        assert_eq!(job_id("s", 1).len(), 36);
        assert_eq!(split_child("a-b:12"), ("a-b", Some(12)));
        assert_eq!(split_child("a-b:012"), ("a-b:012", None));
        assert_eq!(split_child("a-b"), ("a-b", None));
    }
}
