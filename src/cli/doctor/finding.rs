//! What a step of `batchmap doctor` has found, and how it is told.

use serde::Serialize;
use serde_json::json;

use crate::cli::Exit;
use crate::cli::status::Form;

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    /// It is as it must be.
    Ok,
    /// It works, and somebody should know.
    Warning,
    /// Executions will not run as it is.
    Failed,
    /// It could not be looked at.
    NotSeen,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// What was looked at: `bucket`, `queue`, ...
    pub(super) step: &'static str,
    /// What it came to.
    pub(super) status: Status,
    /// In a sentence.
    pub(super) what: String,
    /// What to do, where something is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<String>,
}

/// The findings so far; each is told as it comes, unless they are for a machine.
pub(super) struct Report {
    form: Form,
    pub(super) findings: Vec<Finding>,
    /// How the first failure ends the command.
    exit: Option<Exit>,
    secrets: Vec<String>,
}

impl Report {
    pub(super) fn new(form: Form) -> Self {
        Report { form, findings: Vec::new(), exit: None, secrets: secrets(std::env::vars_os()) }
    }

    pub(super) fn ok(&mut self, step: &'static str, what: impl Into<String>) {
        self.add(step, Status::Ok, what.into(), None);
    }

    pub(super) fn warn(&mut self, step: &'static str, what: impl Into<String>, fix: impl Into<String>) {
        self.add(step, Status::Warning, what.into(), Some(fix.into()));
    }

    /// What keeps executions from running; `exit` is the code that the command ends with, if it is the first.
    pub(super) fn fail(&mut self, step: &'static str, exit: Exit, what: impl Into<String>, fix: impl Into<String>) {
        self.exit.get_or_insert(exit);
        self.add(step, Status::Failed, what.into(), Some(fix.into()));
    }

    pub(super) fn unseen(&mut self, step: &'static str, what: impl Into<String>) {
        self.add(step, Status::NotSeen, what.into(), None);
    }

    fn add(&mut self, step: &'static str, status: Status, what: String, fix: Option<String>) {
        let told = |text: String| scrubbed(&text, &self.secrets);
        let finding = Finding { step, status, what: told(what), fix: fix.filter(|fix| !fix.is_empty()).map(told) };
        if self.form == Form::Text {
            out!("{}", line(&finding));
        }
        self.findings.push(finding);
    }

    /// Tells what it all comes to, and the command's exit code.
    pub(super) fn end(self) -> Exit {
        let exit = self.exit.unwrap_or(Exit::Ok);
        let of = |status| self.findings.iter().filter(|finding| finding.status == status).count();
        match self.form {
            Form::Json => out!("{:#}", json!({"healthy": exit == Exit::Ok, "findings": self.findings})),
            Form::Text => out!(
                "{} ok, {} to know of, {} failed, {} not seen",
                of(Status::Ok),
                of(Status::Warning),
                of(Status::Failed),
                of(Status::NotSeen)
            ),
        }
        exit
    }
}

fn line(finding: &Finding) -> String {
    let word = match finding.status {
        Status::Ok => "ok",
        Status::Warning => "warning",
        Status::Failed => "FAILED",
        Status::NotSeen => "not seen",
    };
    let fix = finding.fix.as_ref().map(|fix| format!("\n          fix: {fix}")).unwrap_or_default();
    format!("{word:<9} {}: {}{fix}", finding.step, finding.what)
}

/// Values of the environment that nobody may read off a terminal: by their variables' names.
fn secrets(environment: impl IntoIterator<Item = (std::ffi::OsString, std::ffi::OsString)>) -> Vec<String> {
    const NAMES: [&str; 4] = ["SECRET", "TOKEN", "PASSWORD", "CREDENTIAL"];
    let named = |name: &str| NAMES.iter().any(|part| name.to_ascii_uppercase().contains(part));
    let pairs =
        environment.into_iter().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    // A short one is a made-up key of an emulator, and a word of the text as well.
    pairs.filter(|(name, value)| named(name) && value.len() >= 12).map(|(_, value)| value).collect()
}

/// A text without the secrets in it, and without the user and password of an address.
fn scrubbed(text: &str, secrets: &[String]) -> String {
    let mut text = secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"));
    let mut from = 0;
    while let Some(at) = text[from..].find("://").map(|at| from + at + 3) {
        let end = text[at..].find(['/', '"', ' ', '?']).map_or(text.len(), |end| at + end);
        from = at;
        if let Some(user) = text[at..end].rfind('@') {
            text.replace_range(at..at + user, "***");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_repeated() {
        let variable = |name: &str, value: &str| (name.into(), value.into());
        let secrets = secrets([
            variable("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI0123"),
            variable("aws_session_token", "FwoGZXIvYXdzEXAMPLE"),
            variable("MY_TOKEN", "short"),
            variable("HOME", "/home/somebody-else"),
        ]);
        assert_eq!(secrets.len(), 2);
        let text = "key wJalrXUtnFEMI0123, FwoGZXIvYXdzEXAMPLE at \"http://me:pass@host/x\" and https://host, a@b";
        assert_eq!(scrubbed(text, &secrets), "key ***, *** at \"http://***@host/x\" and https://host, a@b");
    }

    #[test]
    fn a_finding_is_a_line_and_its_fix() {
        let (what, fix) = ("it is DISABLED".to_owned(), Some("enable it".to_owned()));
        let finding = Finding { step: "queue", status: Status::Failed, what, fix };
        assert_eq!(line(&finding), "FAILED    queue: it is DISABLED\n          fix: enable it");
    }
}
