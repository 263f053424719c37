//! How a container ended, from what its engine says of it: pure.

use super::Quit;
use crate::emulator::batch::model::ContainerEnd;

/// What an engine is asked about a container that is over.
pub(super) const FORMAT: &str =
    "{{.State.Status}}\t{{.State.ExitCode}}\t{{.State.OOMKilled}}\t{{.State.StartedAt}}\t{{.State.Error}}";

/// As ECS says it.
const OUT_OF_MEMORY: &str = "OutOfMemoryError: Container killed due to memory usage";
/// The most that AWS tells of a reason.
const MAX_REASON: usize = 255;

/// A container as [`FORMAT`] tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    running: bool,
    exit_code: i32,
    oom_killed: bool,
    started: bool,
    error: String,
}

impl State {
    pub(super) fn parse(line: &str) -> Option<State> {
        let mut fields = line.trim_end_matches('\n').splitn(5, '\t');
        let mut field = || fields.next();
        let (status, code, oom, started) = (field()?, field()?, field()?, field()?);
        Some(State {
            running: status == "running",
            exit_code: code.parse().ok()?,
            oom_killed: oom == "true",
            // Year 1 stands for never.
            started: !started.starts_with("0001-"),
            error: field().unwrap_or_default().to_owned(),
        })
    }
}

/// What is known of a container that is over.
#[derive(Clone, Debug)]
pub(super) struct Over<'a> {
    /// The exit code of the engine's `run`; none when a signal ended it.
    pub(super) client: Option<i32>,
    /// Absent when the container is not there, and not asked for after an exit code of 0.
    pub(super) state: Option<State>,
    /// The last of what was printed: the engine's own words when the container never ran.
    pub(super) printed: &'a [u8],
    /// Whether its control group has told of a kill for want of memory.
    pub(super) out_of_memory: bool,
    /// How it was told to stop.
    pub(super) quit: Quit,
}

impl Over<'_> {
    /// How it ended, as ECS would tell it.
    pub(super) fn judge(&self) -> ContainerEnd {
        if self.client == Some(0) {
            return ContainerEnd { ran: true, exit_code: Some(0), reason: None };
        }
        match &self.state {
            None => failed(self.quit, complaint(self.printed)),
            Some(state) if !state.started => {
                let error = if state.error.is_empty() { complaint(self.printed) } else { tidy(&state.error) };
                failed(self.quit, error)
            }
            Some(state) if state.running => ContainerEnd {
                ran: true,
                exit_code: Some(137),
                reason: (self.quit == Quit::Not)
                    .then(|| "CannotInspectContainerError: the engine's client died before the container".to_owned()),
            },
            Some(state) => {
                let code = state.exit_code;
                // An engine on older control groups does not see the kernel's kill; nobody else here sends SIGKILL.
                let killed = code == 137 && self.quit == Quit::Not;
                let oom = state.oom_killed || self.out_of_memory || killed;
                ContainerEnd { ran: true, exit_code: Some(code), reason: oom.then(|| OUT_OF_MEMORY.to_owned()) }
            }
        }
    }
}

/// One that never ran.
fn failed(quit: Quit, why: String) -> ContainerEnd {
    if quit != Quit::Not {
        return never("the job was stopped before its command began");
    }
    let lower = why.to_ascii_lowercase();
    if ["image not known", "no such image"].iter().any(|text| lower.contains(text)) {
        return unpulled(&why);
    }
    never(&why)
}

/// One that could not start.
pub(super) fn never(why: &str) -> ContainerEnd {
    let reason = shorten(&format!("CannotStartContainerError: {why}"));
    ContainerEnd { ran: false, exit_code: None, reason: Some(reason) }
}

/// One whose image is not to be had.
pub(super) fn unpulled(why: &str) -> ContainerEnd {
    let reason = shorten(&format!("CannotPullContainerError: {why}"));
    ContainerEnd { ran: false, exit_code: None, reason: Some(reason) }
}

fn shorten(text: &str) -> String {
    text.chars().take(MAX_REASON).collect()
}

/// What an engine complains of on standard error: its last line, without its preface.
pub(super) fn complaint(printed: &[u8]) -> String {
    let text = String::from_utf8_lossy(printed);
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let error = lines().rfind(|line| line.starts_with("Error: ") || line.starts_with("docker: "));
    match error.or_else(|| lines().next_back()) {
        Some(line) => tidy(line),
        None => "the engine does not say why".to_owned(),
    }
}

fn tidy(line: &str) -> String {
    let line = line.trim().trim_start_matches("docker: ").trim_start_matches("Error: ");
    line.trim_start_matches("Error response from daemon: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(client: i32, state: Option<&str>, printed: &'static str) -> Over<'static> {
        let state = state.map(|line| State::parse(line).unwrap());
        Over { client: Some(client), state, printed: printed.as_bytes(), out_of_memory: false, quit: Quit::Not }
    }

    const AT: &str = "2026-01-02 03:04:05.6 +0000 UTC";

    fn exited(code: i32, oom: bool) -> String {
        format!("exited\t{code}\t{oom}\t{AT}\t\n")
    }

    #[test]
    fn exit_codes_are_the_containers_own() {
        for code in [0, 1, 75, 125, 126, 127] {
            let end = over(code, Some(&exited(code, false)), "Error: of the command's").judge();
            assert_eq!(end, ContainerEnd { ran: true, exit_code: Some(code), reason: None }, "{code}");
        }
    }

    #[test]
    fn what_never_ran_says_why() {
        let created = "created\t0\tfalse\t0001-01-01 00:00:00 +0000 UTC\t";
        let docker = "created\t127\tfalse\t0001-01-01T00:00:00Z\tno such file or directory";
        for (client, state, printed, reason) in [
            (
                127,
                Some(created),
                "WARN x\nError: runc: no such file\n",
                "CannotStartContainerError: runc: no such file",
            ),
            (127, Some(docker), "docker: else", "CannotStartContainerError: no such file or directory"),
            (125, None, "Error: x: image not known", "CannotPullContainerError: x: image not known"),
            (
                125,
                None,
                "docker: Error response from daemon: No such image: n:latest.",
                "CannotPullContainerError: No such image: n:latest.",
            ),
            (125, None, "", "CannotStartContainerError: the engine does not say why"),
        ] {
            let end = over(client, state, printed).judge();
            assert_eq!((end.ran, end.exit_code, end.reason.as_deref()), (false, None, Some(reason)));
        }
    }

    #[test]
    fn out_of_memory_is_told_by_the_engine_the_kernel_or_the_code() {
        let oom = Some(OUT_OF_MEMORY);
        for (code, told, kernel, quit, reason) in [
            (137, false, false, Quit::Not, oom),
            (137, false, false, Quit::Term, None),
            (137, true, false, Quit::Term, oom),
            (1, true, false, Quit::Not, oom),
            (1, false, true, Quit::Not, oom),
            (143, false, false, Quit::Not, None),
        ] {
            let line = exited(code, told);
            let end = Over { out_of_memory: kernel, quit, ..over(code, Some(&line), "") }.judge();
            assert_eq!((end.exit_code, end.reason.as_deref()), (Some(code), reason));
        }
    }

    #[test]
    fn a_long_reason_is_cut_as_aws_cuts_it() {
        assert_eq!(never(&"é".repeat(400)).reason.unwrap().chars().count(), MAX_REASON);
        assert_eq!(complaint(b"\n"), "the engine does not say why");
        assert_eq!(State::parse("exited\tx\tfalse\t-\t"), None);
    }
}
