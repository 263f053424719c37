//! One task for all attempts that only take time. An attempt is its key in a heap, by when it ends, and in a table of those
//! under way: how it ends is drawn again when it does, for the same key draws the same.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::super::Report;
use super::Script;
use crate::emulator::batch::model::AttemptKey;

/// Ends attempts when their time has come. Dropping it stops it.
pub(super) struct Timer {
    shared: Arc<Shared>,
    task: AbortHandle,
}

struct Shared {
    script: Arc<Script>,
    reports: UnboundedSender<Report>,
    begun: Instant,
    table: Mutex<Table>,
    /// Told when an attempt comes that ends before all others.
    sooner: Notify,
}

#[derive(Default)]
struct Table {
    /// Milliseconds since the timer began. One that was forgotten is dropped when its time comes.
    ends: BinaryHeap<Reverse<(u64, AttemptKey)>>,
    under_way: HashSet<AttemptKey>,
    stopped: bool,
}

impl Timer {
    /// Begins, inside a tokio runtime.
    pub(super) fn begin(script: Arc<Script>, reports: UnboundedSender<Report>) -> Timer {
        let (begun, table, sooner) = (Instant::now(), Mutex::default(), Notify::new());
        let shared = Arc::new(Shared { script, reports, begun, table, sooner });
        let task = tokio::spawn(run(Arc::clone(&shared))).abort_handle();
        Timer { shared, task }
    }

    /// An attempt begins now.
    pub(super) fn start(&self, attempt: AttemptKey) {
        let (after_ms, _) = self.shared.script.draw(attempt);
        let at = self.shared.elapsed_ms().saturating_add(after_ms);
        let mut table = self.shared.table();
        if table.stopped {
            return;
        }
        let sooner = table.ends.peek().is_none_or(|Reverse((first, _))| at < *first);
        table.under_way.insert(attempt);
        table.ends.push(Reverse((at, attempt)));
        drop(table);
        if sooner {
            self.shared.sooner.notify_one();
        }
    }

    /// Forgets an attempt; whether it was under way.
    pub(super) fn forget(&self, attempt: AttemptKey) -> bool {
        self.shared.table().under_way.remove(&attempt)
    }

    /// Forgets all, and takes no more.
    pub(super) fn stop(&self) {
        *self.shared.table() = Table { stopped: true, ..Table::default() };
        self.task.abort();
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        // No step under this lock leaves the table half changed.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Reports those that have ended by now; tells when the next one ends.
    fn end_due(&self) -> Option<u64> {
        let now = self.elapsed_ms();
        let mut table = self.table();
        while let Some(Reverse((at, attempt))) = table.ends.peek().copied() {
            if at > now {
                return Some(at);
            }
            table.ends.pop();
            if table.under_way.remove(&attempt) {
                let (_, end) = self.script.draw(attempt);
                let _ = self.reports.send(Report::Ended(attempt, end));
            }
        }
        // What a burst took is given back.
        table.ends.shrink_to(1024);
        table.under_way.shrink_to(1024);
        None
    }
}

async fn run(shared: Arc<Shared>) {
    loop {
        let next = shared.end_due();
        let sleep = async {
            match next {
                Some(at) => tokio::time::sleep_until(shared.begun + Duration::from_millis(at)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = sleep => {}
            () = shared.sooner.notified() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::unbounded_channel;

    use super::super::{Script, SimulatedDuration};
    use super::*;
    use crate::emulator::batch::model::End;

    fn key(child: u32) -> AttemptKey {
        AttemptKey { job: 0, child, attempt: 1 }
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_end_in_the_order_of_their_times_and_once() {
        let script = Script { duration: SimulatedDuration::Exponential { mean_ms: 60_000.0 }, ..Script::default() };
        let script = Arc::new(script);
        let (reports, mut received) = unbounded_channel();
        let timer = Timer::begin(Arc::clone(&script), reports);
        (0..1000).for_each(|child| timer.start(key(child)));
        assert!(timer.forget(key(7)) && !timer.forget(key(7)));
        let mut expected: Vec<(u64, u32)> =
            (0..1000).filter(|child| *child != 7).map(|child| (script.draw(key(child)).0, child)).collect();
        expected.sort_unstable();
        for (_, child) in expected {
            assert_eq!(received.recv().await, Some(Report::Ended(key(child), End::exited(0))));
        }
        assert!(received.try_recv().is_err());
        timer.start(key(1));
        timer.stop();
        timer.start(key(2));
        assert!(!timer.forget(key(1)) && !timer.forget(key(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_ends_sooner_is_not_kept_waiting() {
        // The paused clock jumps to the next thing that is due: were the first slept for, an hour would pass.
        let script =
            Script { duration: SimulatedDuration::Uniform { least_ms: 0, most_ms: 7_200_000 }, ..Script::default() };
        let times = |child| script.draw(key(child)).0;
        let (late, early) = (
            (0..).find(|child| times(*child) > 3_600_000).unwrap(),
            (0..).find(|child| times(*child) < 60_000).unwrap(),
        );
        let (reports, mut received) = unbounded_channel();
        let timer = Timer::begin(Arc::new(script.clone()), reports);
        let begun = Instant::now();
        timer.start(key(late));
        tokio::task::yield_now().await;
        timer.start(key(early));
        assert_eq!(received.recv().await, Some(Report::Ended(key(early), End::exited(0))));
        assert!(begun.elapsed() < Duration::from_secs(61));
    }
}
