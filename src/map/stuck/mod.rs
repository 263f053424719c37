//! Why work does not start, in words, with what to do: what AWS Batch says of the job at the head of a blocked queue and,
//! where it says nothing, what is found in its queue and compute environments.

mod places;
mod sizes;

use std::fmt;

use serde::Serialize;

pub use places::{EnvironmentDetail, QueueDetail, Shape, find};

/// Why children wait and do not start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stuck {
    /// AWS's code, or the name of the finding.
    pub code: String,
    /// What holds them up.
    pub what: String,
    /// What to do about it.
    pub fix: String,
    /// AWS's own words.
    pub said: Option<String>,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.fix)?;
        match &self.said {
            Some(said) => write!(f, " (AWS Batch says: {said})"),
            None => Ok(()),
        }
    }
}

/// One row: what a status reason begins with, what it means, and what to do.
pub struct Row {
    /// AWS's code, or the beginning that several share.
    pub code: &'static str,
    /// What holds the job up.
    pub what: &'static str,
    /// What to do about it.
    pub fix: &'static str,
}

const fn row(code: &'static str, what: &'static str, fix: &'static str) -> Row {
    Row { code, what, fix }
}

/// The table of the reasons that Batch gives. Order matters: a code stands before the beginning it shares with others.
#[rustfmt::skip]
pub const REASONS: &[Row] = &[
    row("MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE",
        "no compute environment of the queue may ever have as many vCPUs as one child asks for",
        "raise maxvCpus of a compute environment, or lower resources.cpu"),
    row("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT",
        "no instance type of the queue's compute environments has the vCPUs, memory and GPUs that one child asks for",
        "allow larger instance types there, or lower resources.cpu, resources.mem or resources.gpu (an instance keeps \
         some of its memory for itself)"),
    row("MISCONFIGURATION:SERVICE_ROLE_PERMISSIONS",
        "the service role of a compute environment lacks a permission, so that AWS Batch cannot start instances",
        "give the compute environment the role AWSServiceRoleForBatch, or its own role the policy AWSBatchServiceRole"),
    row("MISCONFIGURATION:EC2_INSTANCE_CONFIGURATION_UNSUPPORTED",
        "EC2 does not take the instances that a compute environment describes",
        "check that its instance types exist in the Region and go with its image (architecture), launch template and \
         subnets"),
    row("MISCONFIGURATION:",
        "something in the queue's compute environments is set so that the job can never start",
        "mend what AWS Batch names"),
    row("CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY",
        "AWS has no free instance of the types that the queue's compute environments allow",
        "wait, or allow more instance types, more subnets (availability zones), or on-demand beside spot"),
    row("CAPACITY:",
        "AWS lacks the capacity that the job asks for",
        "wait, or allow more instance types, more subnets (availability zones), or on-demand beside spot"),
    row("ACTION_REQUIRED",
        "the queue or its compute environments need somebody to act before the job can start",
        "do what AWS Batch names: enable or mend the compute environments of the queue"),
    row("UNDETERMINED",
        "the job holds its queue up, and AWS Batch does not know why",
        "look at the compute environments' status, at the ECS cluster's instances and at the Auto Scaling group's \
         activity; instances that cannot reach ECS (subnet, security group, instance role) are the usual cause"),
];

/// What AWS puts before the reason when a queue's time limit has cancelled a job for it.
const LIMIT: &str = "Canceled by JobStateTimeLimit action due to reason: ";

/// What a status reason says about waiting, if it is about that; also that of a job which the queue's time limit
/// cancelled for it.
pub fn explain(reason: &str) -> Option<Stuck> {
    let blamed = reason.strip_prefix(LIMIT).unwrap_or(reason);
    let row = REASONS.iter().find(|row| blamed.starts_with(row.code))?;
    // A reason is a code, and perhaps a sentence after " - ".
    let code = blamed.split(" - ").next().unwrap_or(blamed).trim_end();
    let (what, fix) = (row.what.to_owned(), row.fix.to_owned());
    Some(Stuck { code: code.to_owned(), what, fix, said: Some(reason.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One reason for every row, as Batch gives it.
    const SAID: [(&str, &str); 10] = [
        (
            "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE",
            "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE - CE(s) associated with the job queue cannot meet it.",
        ),
        ("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT", "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - too high"),
        ("MISCONFIGURATION:SERVICE_ROLE_PERMISSIONS", "MISCONFIGURATION:SERVICE_ROLE_PERMISSIONS"),
        (
            "MISCONFIGURATION:EC2_INSTANCE_CONFIGURATION_UNSUPPORTED",
            "MISCONFIGURATION:EC2_INSTANCE_CONFIGURATION_UNSUPPORTED - no",
        ),
        ("MISCONFIGURATION:", "MISCONFIGURATION:SOMETHING_NEW - it is wrong"),
        ("CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY", "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - none left"),
        ("CAPACITY:", "CAPACITY:SOMETHING_NEW"),
        ("ACTION_REQUIRED", "ACTION_REQUIRED - CE(s) associated with the job queue are invalid."),
        ("UNDETERMINED", "UNDETERMINED - root cause is undetermined."),
        (
            "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY",
            "Canceled by JobStateTimeLimit action due to reason: CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY",
        ),
    ];

    #[test]
    fn every_reason_finds_its_row() {
        for (code, said) in SAID {
            let row = REASONS.iter().find(|row| row.code == code).unwrap();
            let found = explain(said).unwrap();
            assert_eq!((found.what.as_str(), found.fix.as_str()), (row.what, row.fix), "{said}");
            assert_eq!(found.said.as_deref(), Some(said));
        }
    }

    #[test]
    fn every_row_has_a_reason_that_reaches_it() {
        for row in REASONS {
            assert!(SAID.iter().any(|(code, _)| *code == row.code), "{} is never reached", row.code);
        }
    }

    #[test]
    fn a_new_code_is_told_by_its_own_name() {
        assert_eq!(
            explain("MISCONFIGURATION:SOMETHING_NEW - it is wrong").unwrap().code,
            "MISCONFIGURATION:SOMETHING_NEW"
        );
    }

    #[test]
    fn other_reasons_say_nothing_about_waiting() {
        for reason in ["", "Essential container in task exited", "Host EC2 (instance i-0) terminated.", "capacity:"] {
            assert_eq!(explain(reason), None, "{reason}");
        }
    }

    #[test]
    fn it_reads_as_a_sentence_with_what_to_do() {
        let text = explain("CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - none").unwrap().to_string();
        assert_eq!(
            text,
            "AWS has no free instance of the types that the queue's compute environments allow: wait, or allow more \
             instance types, more subnets (availability zones), or on-demand beside spot (AWS Batch says: \
             CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - none)"
        );
    }
}
