//! The table of verdicts: every way a child can end, and what we make of it.
//!
//! Batch says only SUCCEEDED or FAILED, and it is wrong about both at times: a host can be lost after the outputs
//! were written, and a command can end with 0 and write nothing. The table is data; [`judge`] takes the first row that
//! applies, and the last row always does, so that no child can leave an execution waiting for ever.

use serde::{Deserialize, Serialize};

use super::exit::{EXIT_RECOVERABLE, EXIT_SYSTEM};
use super::status::JobStatus;
use super::stuck;

/// Who is to blame, in Flyte's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The task or its settings: running it again unchanged would end the same way, unless it said otherwise.
    User,
    /// The machinery around it.
    System,
}

/// Our judgement of a finished child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Its outputs count.
    Succeeded,
    /// It is run again while its budget lasts: the user's `retries`, or the system's.
    Retry(Origin),
    /// It has failed for good.
    Failed(Origin),
    /// We stopped it.
    Aborted,
}

/// What is seen of a subtask's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outputs {
    /// They are there: `outputs.pb` is written last and in one conditional PUT, so that to be there is to be whole.
    Present,
    /// They are due and not there.
    Absent,
    /// The task declares none.
    NotDue,
}

/// What the error document of the last attempt says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorKind {
    /// Who is to blame.
    pub origin: Origin,
    /// Whether the task asks to be run again.
    pub recoverable: bool,
}

/// Everything a judgement rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence<'a> {
    /// The child's final state; absent when Batch does not know the job any more.
    pub status: Option<JobStatus>,
    /// The container's exit code, when it got that far.
    pub exit_code: Option<i32>,
    /// The job's status reason, or the last attempt's where the job has none.
    pub status_reason: &'a str,
    /// The container's reason.
    pub reason: &'a str,
    /// Whether somebody asked Batch to end it.
    pub terminated: bool,
    /// Whether that was this execution.
    pub by_us: bool,
    /// Its outputs.
    pub outputs: Outputs,
    /// Its error document.
    pub error: Option<ErrorKind>,
    /// Whether the task has its timeouts run again (`policy.retry_timeouts`).
    pub retry_timeouts: bool,
}

impl Evidence<'_> {
    fn says(&self, text: &str) -> bool {
        self.status_reason.contains(text) || self.reason.contains(text)
    }

    fn timed_out(&self) -> bool {
        self.says("Job attempt duration exceeded timeout")
    }

    fn document(&self, origin: Origin, recoverable: bool) -> bool {
        self.error == Some(ErrorKind { origin, recoverable })
    }

    /// A start that failed for a reason that a second try will meet again.
    fn start_is_hopeless(&self) -> bool {
        const HOPELESS: [&str; 9] = [
            "not found",
            "no such file",
            "manifest unknown",
            "does not exist",
            "denied",
            "AccessDenied",
            "unauthorized",
            "no basic auth credentials",
            "exec format error",
        ];
        self.start_failed() && HOPELESS.iter().any(|text| self.says(text))
    }

    /// The container never ran: ECS's own errors, and the agent's.
    fn start_failed(&self) -> bool {
        const START: [&str; 8] = [
            "Task failed to start",
            "CannotPull",
            "CannotStart",
            "CannotCreate",
            "CannotInspect",
            "DockerTimeoutError",
            "ResourceInitializationError",
            "AGENT",
        ];
        START.iter().any(|text| self.says(text))
    }
}

/// One row: when it applies, the verdict, and the words for a user.
pub struct Row {
    /// The row's name: also the error's code where the child left no document.
    pub name: &'static str,
    /// Whether it applies.
    pub applies: fn(&Evidence<'_>) -> bool,
    /// The judgement.
    pub verdict: Verdict,
    /// What happened and what to do; the reasons Batch gave are added to it.
    pub explanation: &'static str,
}

const fn row(
    name: &'static str,
    verdict: Verdict,
    explanation: &'static str,
    applies: fn(&Evidence<'_>) -> bool,
) -> Row {
    Row { name, applies, verdict, explanation }
}

use Origin::{System, User};
use Verdict::{Aborted, Failed, Retry, Succeeded};

impl Row {
    /// Whether the judgement is the error document's, so that its code and its message are the ones to show.
    pub fn by_document(&self) -> bool {
        ["UserRecoverable", "UserError", "SystemRecoverable", "SystemError"].contains(&self.name)
    }
}

/// The beginnings of the status reasons after which Batch itself starts a child again: losses of host and start. A child
/// that ends with one has used all its attempts.
pub const REPEATED_STATUS: [&str; 3] = ["Host EC2", "Task failed to start", "Your Spot Task was interrupted"];

/// The beginning of the container reasons after which it does: trouble of the agent.
pub const REPEATED_REASON: &str = "AGENT";

/// Whether Batch itself starts a child again after an attempt that ended so.
pub fn batch_repeats(status_reason: &str, reason: &str) -> bool {
    REPEATED_STATUS.iter().any(|text| status_reason.starts_with(text)) || reason.starts_with(REPEATED_REASON)
}

/// The table. Order matters. Outputs outrank everything; our own termination outranks what the child said while it was
/// being stopped; what the task says of itself outranks Batch's reasons. Where Batch says that it ended the child itself,
/// that outranks what the worker makes of being stopped, for the worker cannot know why. And a reason outranks a bare
/// exit code.
#[rustfmt::skip]
pub const VERDICTS: &[Row] = &[
    row("OutputsPresent", Succeeded, "its outputs are complete",
        |e| e.outputs == Outputs::Present),
    row("NoOutputsDue", Succeeded, "it ended with exit code 0 and no outputs are due",
        |e| e.status == Some(JobStatus::Succeeded) && e.outputs == Outputs::NotDue && e.error.is_none()),
    row("TerminatedByUs", Aborted, "it was terminated by this execution",
        |e| e.terminated && e.by_us),
    row("UserRecoverable", Retry(User), "it asks to be run again",
        |e| e.document(User, true)),
    row("UserError", Failed(User), "it failed",
        |e| e.document(User, false)),
    row("QueueTimeLimit", Failed(System), "the queue's job state time limit cancelled it while it waited: raise the limit or give the queue capacity",
        |e| e.says("Canceled by JobStateTimeLimit")),
    row("TerminatedByOthers", Failed(User), "it was terminated, not by this execution",
        |e| e.terminated),
    row("Timeout", Retry(User), "its attempt ran into the timeout",
        |e| e.timed_out() && e.retry_timeouts),
    row("Timeout", Failed(User), "its attempt ran into the timeout: raise policy.timeout, or set policy.retry_timeouts",
        |e| e.timed_out()),
    row("SystemRecoverable", Retry(System), "the machinery around it failed",
        |e| e.document(System, true)),
    row("SystemError", Failed(System), "the machinery around it failed for good",
        |e| e.document(System, false)),
    row("OutputsMissing", Failed(User), "it ended with exit code 0 but left no outputs: write every declared output, or declare none",
        |e| e.status == Some(JobStatus::Succeeded)),
    row("HostLost", Retry(System), "its host was lost",
        |e| e.status_reason.starts_with("Host EC2")),
    row("SpotInterrupted", Retry(System), "Fargate Spot took its place back",
        |e| e.says("Your Spot Task was interrupted")),
    row("DependencyFailed", Failed(System), "a job that it depends on failed",
        |e| e.says("Dependent Job failed")),
    row("OverridesTooLong", Failed(User), "its command and environment are over 8192 characters: move values into inputs",
        |e| e.says("Container Overrides length must be at most")),
    row("TooManyTags", Failed(User), "the job and its definition have over 50 tags together: remove some",
        |e| e.status_reason.contains("ags") && e.status_reason.contains("50")),
    row("StartImpossible", Failed(User), "its container cannot start: check the image's name, the command and the execution role's permissions",
        |e| e.start_is_hopeless()),
    row("StartFailed", Retry(System), "its container did not start",
        |e| e.start_failed()),
    row("OutOfMemory", Failed(User), "it used more memory than it has: raise resources.mem",
        |e| e.says("OutOfMemoryError")),
    row("ExitRecoverable", Retry(User), "it ended with exit code 75: it asks to be run again",
        |e| e.exit_code == Some(EXIT_RECOVERABLE)),
    row("WorkerFailed", Retry(System), "the worker could not reach S3, neither for the inputs nor to say why",
        |e| e.exit_code == Some(EXIT_SYSTEM)),
    row("Killed", Retry(System), "it was killed (exit code 137) and nothing says why: most likely its host ran out of memory; if it goes on, raise resources.mem",
        |e| e.exit_code == Some(137)),
    row("ExitCode", Failed(User), "it ended with a non-zero exit code and left no error document",
        |e| e.exit_code.is_some_and(|code| code != 0)),
    row("Gone", Retry(System), "AWS Batch does not know the job any more (it keeps finished jobs for about seven days) and it left no outputs",
        |e| e.status.is_none()),
    row("Unknown", Failed(User), "AWS Batch ended it for a reason that batchmap does not know",
        |_| true),
];

/// The row of the table that applies to a finished child.
pub fn judge(evidence: &Evidence<'_>) -> &'static Row {
    let last = &VERDICTS[VERDICTS.len() - 1];
    VERDICTS.iter().find(|row| (row.applies)(evidence)).unwrap_or(last)
}

/// How a reason reads in a report: the row's words, then Batch's own.
pub fn describe(row: &Row, evidence: &Evidence<'_>) -> String {
    let mut text = row.explanation.to_owned();
    let mut said: Vec<&str> = Vec::new();
    for reason in [evidence.status_reason, evidence.reason] {
        // The reason of every ordinary end tells a user nothing.
        let plain = reason.is_empty() || reason == "Essential container in task exited";
        if !plain && !said.contains(&reason) {
            said.push(reason);
        }
    }
    if let Some(code) = evidence.exit_code.filter(|code| *code != 0) {
        text.push_str(&format!(" (exit code {code})"));
    }
    for reason in said {
        text.push_str(": ");
        text.push_str(reason);
        if let Some(stuck) = stuck::explain(reason) {
            text.push_str(&format!("; {}: {}", stuck.what, stuck.fix));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> Evidence<'static> {
        Evidence {
            status: Some(JobStatus::Failed),
            exit_code: Some(1),
            status_reason: "Essential container in task exited",
            reason: "",
            terminated: false,
            by_us: false,
            outputs: Outputs::Absent,
            error: None,
            retry_timeouts: false,
        }
    }

    fn document(origin: Origin, recoverable: bool) -> Option<ErrorKind> {
        Some(ErrorKind { origin, recoverable })
    }

    fn status(reason: &'static str) -> Evidence<'static> {
        Evidence { status_reason: reason, exit_code: None, ..failed() }
    }

    fn reason(reason: &'static str) -> Evidence<'static> {
        Evidence { status_reason: "Task failed to start", reason, exit_code: None, ..failed() }
    }

    /// One way of ending for every row, as Batch and the child would report it.
    fn endings() -> Vec<(&'static str, Evidence<'static>)> {
        let succeeded = Evidence { status: Some(JobStatus::Succeeded), exit_code: Some(0), ..failed() };
        vec![
            ("OutputsPresent", Evidence { outputs: Outputs::Present, ..succeeded.clone() }),
            ("OutputsPresent", Evidence { outputs: Outputs::Present, ..failed() }),
            ("OutputsPresent", Evidence { outputs: Outputs::Present, status: None, ..failed() }),
            ("NoOutputsDue", Evidence { outputs: Outputs::NotDue, ..succeeded.clone() }),
            ("TerminatedByUs", Evidence { terminated: true, by_us: true, error: document(User, true), ..failed() }),
            ("UserRecoverable", Evidence { error: document(User, true), ..failed() }),
            ("UserError", Evidence { error: document(User, false), ..failed() }),
            ("SystemRecoverable", Evidence { error: document(System, true), ..failed() }),
            ("SystemError", Evidence { error: document(System, false), ..failed() }),
            ("OutputsMissing", succeeded.clone()),
            ("UserError", Evidence { error: document(User, false), ..succeeded }),
            (
                "QueueTimeLimit",
                Evidence {
                    terminated: true,
                    ..status("Canceled by JobStateTimeLimit action due to reason: CAPACITY:INSUFFICIENT")
                },
            ),
            ("TerminatedByOthers", Evidence { terminated: true, ..status("stop it") }),
            ("Timeout", Evidence { exit_code: Some(137), ..status("Job attempt duration exceeded timeout") }),
            // The worker says that it was stopped, and Batch says why.
            ("Timeout", Evidence { error: document(System, true), ..status("Job attempt duration exceeded timeout") }),
            ("TerminatedByOthers", Evidence { terminated: true, error: document(System, true), ..status("stop it") }),
            ("UserError", Evidence { terminated: true, error: document(User, false), ..status("stop it") }),
            ("HostLost", status("Host EC2 (instance i-0123456789abcdef0) terminated.")),
            ("HostLost", Evidence { exit_code: Some(143), ..status("Host EC2 (instance i-0) terminated.") }),
            ("SpotInterrupted", status("Your Spot Task was interrupted.")),
            ("DependencyFailed", status("Dependent Job failed")),
            ("OverridesTooLong", status("Container Overrides length must be at most 8192")),
            ("TooManyTags", status("Tags can not be more than 50")),
            ("StartImpossible", reason("CannotPullContainerError: pull access denied for nope")),
            (
                "StartImpossible",
                reason("CannotStartContainerError: exec: \"nope\": executable file not found in $PATH"),
            ),
            ("StartFailed", reason("")),
            (
                "StartFailed",
                reason("DockerTimeoutError: Could not transition to created; timed out after waiting 4m0s"),
            ),
            ("StartFailed", reason("CannotPullContainerError: i/o timeout")),
            (
                "OutOfMemory",
                Evidence {
                    exit_code: Some(137),
                    reason: "OutOfMemoryError: Container killed due to memory usage",
                    ..failed()
                },
            ),
            ("ExitRecoverable", Evidence { exit_code: Some(75), ..failed() }),
            ("WorkerFailed", Evidence { exit_code: Some(76), ..failed() }),
            ("Killed", Evidence { exit_code: Some(137), ..failed() }),
            ("ExitCode", failed()),
            ("ExitCode", Evidence { outputs: Outputs::NotDue, ..failed() }),
            ("Gone", Evidence { status: None, exit_code: None, status_reason: "", ..failed() }),
            ("Unknown", status("the moon is in the wrong phase")),
        ]
    }

    #[test]
    fn every_ending_finds_its_row() {
        for (expected, evidence) in endings() {
            assert_eq!(judge(&evidence).name, expected, "{evidence:?}");
        }
    }

    #[test]
    fn a_timeout_is_run_again_where_the_task_says_so() {
        let late = |retry_timeouts| Evidence { retry_timeouts, ..status("Job attempt duration exceeded timeout") };
        assert_eq!(judge(&late(false)).verdict, Failed(User));
        assert_eq!(judge(&late(true)).verdict, Retry(User));
    }

    #[test]
    fn every_row_has_an_ending_that_reaches_it() {
        for row in VERDICTS {
            assert!(endings().iter().any(|(name, _)| *name == row.name), "{} is never reached", row.name);
        }
    }

    #[test]
    fn an_unknown_reason_is_shown_whole() {
        let evidence = status("the moon is in the wrong phase");
        assert!(describe(judge(&evidence), &evidence).ends_with(": the moon is in the wrong phase"));
    }

    #[test]
    fn a_plain_failure_shows_its_code_once() {
        assert_eq!(
            describe(judge(&failed()), &failed()),
            "it ended with a non-zero exit code and left no error document (exit code 1)"
        );
    }
}
