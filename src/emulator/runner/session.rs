//! Processes by session: how a child is ended with everything it started, as a container would be.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
#[cfg(target_os = "linux")]
use nix::unistd::getsid;

/// How long to go on killing what does not die: a process stuck in the kernel must not hold its slot for ever.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends `signal` to every process of the sessions; returns how many there were. A process that changed its user
/// cannot be signalled and is counted all the same.
pub(super) fn signal(sessions: &BTreeSet<i32>, signal: Signal) -> usize {
    if sessions.is_empty() {
        return 0;
    }
    let members = members(sessions);
    for pid in &members {
        match kill(Pid::from_raw(*pid), signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => tracing::warn!(pid, %error, "cannot signal a process of a child"),
        }
    }
    members.len()
}

/// Kills the sessions until none of their processes is left.
pub(super) fn kill_all(sessions: &BTreeSet<i32>) {
    until_none(|| signal(sessions, Signal::SIGKILL));
}

/// Kills every process that has `marker` (`NAME=value`) in the environment it was started with: those that a child has
/// put into a session of their own, out of the reach of [`kill_all`].
#[cfg(target_os = "linux")]
pub(super) fn kill_marked(marker: &str) {
    let marked = |pid: i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == marker.as_bytes())
    };
    until_none(|| {
        let Ok(entries) = std::fs::read_dir("/proc") else { return 0 };
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        pids.filter(|pid| marked(*pid) && kill(Pid::from_raw(*pid), Signal::SIGKILL).is_ok()).count()
    });
}

/// Without `/proc` there is no telling whose a process is.
#[cfg(not(target_os = "linux"))]
pub(super) fn kill_marked(_marker: &str) {}

/// Kills again and again until nothing is found, because what is being killed may fork meanwhile.
fn until_none(kill: impl Fn() -> usize) {
    let begun = Instant::now();
    let mut pause = Duration::from_micros(200);
    while kill() > 0 {
        if begun.elapsed() > PATIENCE {
            tracing::warn!("processes of a child do not die");
            return;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// The living processes of the sessions. Asking the kernel for each process's session is a hundred times cheaper than reading
/// its `stat`, and this runs once for every child.
#[cfg(target_os = "linux")]
fn members(sessions: &BTreeSet<i32>) -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return groups(sessions) };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let ours = match getsid(Some(Pid::from_raw(pid))) {
            Ok(session) => sessions.contains(&session.as_raw()),
            // A security module may keep it from us: `stat` tells as well.
            Err(Errno::EPERM) => true,
            Err(_) => false,
        };
        if !ours {
            continue;
        }
        // Gone meanwhile, or another user's: neither is ours.
        let Ok(stat) = std::fs::read(format!("/proc/{pid}/stat")) else { continue };
        if session_of(&stat).is_some_and(|session| sessions.contains(&session)) {
            found.push(pid);
        }
    }
    found
}

#[cfg(not(target_os = "linux"))]
fn members(sessions: &BTreeSet<i32>) -> Vec<i32> {
    groups(sessions)
}

/// The sessions' first process groups, as `kill` takes them: the best there is without `/proc`.
fn groups(sessions: &BTreeSet<i32>) -> Vec<i32> {
    sessions.iter().map(|session| -session).filter(|group| kill(Pid::from_raw(*group), None).is_ok()).collect()
}

/// The session in `/proc/<pid>/stat`; none for a process that is dead and only waits for its parent.
#[cfg(target_os = "linux")]
fn session_of(stat: &[u8]) -> Option<i32> {
    // The name may hold anything, parentheses too: the fields begin after the last one.
    let after = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let mut fields = std::str::from_utf8(&stat[after..]).ok()?.split_ascii_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(2)?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_session_is_read_whatever_the_name() {
        assert_eq!(session_of(b"7 (a) b) 1 2) S 1 7 5 0 -1 4194560"), Some(5));
        assert_eq!(session_of(b"7 (sh) Z 1 7 5 0 -1"), None);
        assert_eq!(session_of(b"7 (sh"), None);
    }
}
