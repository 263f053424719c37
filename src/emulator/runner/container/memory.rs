//! Kills for want of memory, as the kernel tells of them.
//!
//! On control groups of the first version no engine here sees them; a descriptor that counts them does, and goes on to
//! count when the group is gone. On those of the second version engines see them, and there is nothing to do.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::eventfd::{EfdFlags, EventFd};

/// Where the memory controller of the first version is mounted.
const MOUNT: &str = "/sys/fs/cgroup/memory";
/// The end of a group is told as well, a moment after it.
const PATIENCE: Duration = Duration::from_millis(200);

/// A count of the kernel's kills in a container.
pub(super) struct Watch {
    events: EventFd,
    group: PathBuf,
    seen: u64,
}

impl Watch {
    /// Begins to count for the group of a process; none where that cannot be done.
    pub(super) fn begin(pid: u32) -> Option<Watch> {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        Watch::of(Path::new(MOUNT), group(&groups)?)
    }

    fn of(mount: &Path, group: &str) -> Option<Watch> {
        let group = mount.join(group.trim_start_matches('/'));
        // The root's own: a process that is in no group of its container's.
        if group == mount {
            return None;
        }
        let events = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).ok()?;
        let control = File::open(group.join("memory.oom_control")).ok()?;
        let order = format!("{} {}", std::os::fd::AsFd::as_fd(&events).as_raw_fd(), control.as_raw_fd());
        fs::write(group.join("cgroup.event_control"), order).ok()?;
        Some(Watch { events, group, seen: 0 })
    }

    /// Whether anything was killed; to be asked when the container is gone.
    pub(super) async fn struck(mut self) -> bool {
        self.count();
        if self.group.exists() {
            return self.seen > 0;
        }
        // The last event is the end of the group itself.
        if self.seen == 1 {
            tokio::time::sleep(PATIENCE).await;
            self.count();
        }
        self.seen > 1
    }

    fn count(&mut self) {
        self.seen += self.events.read().unwrap_or(0);
    }
}

/// The group of the memory controller in `/proc/<pid>/cgroup`.
fn group(groups: &str) -> Option<&str> {
    groups.lines().find_map(|line| {
        let (controllers, group) = line.split_once(':')?.1.split_once(':')?;
        controllers.split(',').any(|name| name == "memory").then_some(group)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_is_the_memory_controllers() {
        let groups = "9:name=systemd:/a\n4:cpu,memory:/lib/x:y\n0::/u\n";
        assert_eq!(group(groups), Some("/lib/x:y"));
        assert_eq!(group("0::/user.slice\n"), None, "the second version");
    }
}
