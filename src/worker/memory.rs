//! Whether the kernel killed something of this container because it had used up its memory: the command is then killed, and
//! the worker lives to say so.

use std::fs;
use std::path::Path;

/// Where the kernel counts, in the second and the first version of control groups.
const COUNTS: [&str; 2] = ["/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"];
/// Where the limit is.
const LIMITS: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
/// A limit from here on is none.
const NO_LIMIT: u64 = 1 << 60;

/// How many processes it has killed so far; nothing where that is not told.
pub(super) fn kills() -> Option<u64> {
    COUNTS.iter().find_map(|file| kills_in(Path::new(file)))
}

fn kills_in(file: &Path) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

/// What this container may use, in words.
pub(super) fn limit() -> String {
    let bytes = LIMITS.iter().find_map(|file| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok());
    match bytes.filter(|bytes| *bytes < NO_LIMIT) {
        Some(bytes) => format!("than the {} MiB that it has", bytes >> 20),
        None => "than it has".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        for (text, expected) in [
            ("low 0\nhigh 0\nmax 12\noom 1\noom_kill 3\noom_group_kill 0\n", Some(3)),
            ("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n", Some(7)),
            ("oom_kill_disable 0\nunder_oom 0\n", None),
        ] {
            fs::write(&file, text).unwrap();
            assert_eq!(kills_in(&file), expected, "{text}");
        }
        assert_eq!(kills_in(&folder.path().join("absent")), None);
    }
}
