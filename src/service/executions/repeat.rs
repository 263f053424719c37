//! Executions without a name, and clients that repeat every failed call three times.
//!
//! A client that names its execution may repeat the call: the name is taken then. `pyflyte run` names none, so a call
//! whose outcome nobody knows (S3 was out of reach in the middle of it, or the client's connection broke) would be
//! repeated under another name, and run twice. So the name that such a call was given is kept for a while, and the same
//! request of the same caller gets it again.
//!
//! A call that was answered with success is forgotten at once: whoever runs the same thing three times in a row means
//! that, and no time between two equal requests tells them from a repetition. What remains: an answer that was written
//! and never arrived, and a repetition that reaches another server. There is nothing in such a request that would tell.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prost::Message;
use tokio::time::Instant;

/// How long a name is kept: clients repeat at once, and a try may take as long as S3 is waited for.
const KEPT: Duration = Duration::from_secs(120);

/// Names kept at most; beyond, the oldest goes.
const AT_MOST: usize = 10_000;

/// What is told from what: the caller, the call and all that it asks for.
pub(super) type Asked = [u8; 32];

/// What `caller` asks for.
pub(super) fn asked(caller: Option<&str>, call: &str, request: &impl Message) -> Asked {
    let mut hasher = blake3::Hasher::new();
    for part in [caller.unwrap_or_default(), call] {
        hasher.update(&(part.len() as u64).to_be_bytes()).update(part.as_bytes());
    }
    *hasher.update(&request.encode_to_vec()).finalize().as_bytes()
}

/// Names of executions of which nobody knows whether they exist.
#[derive(Default)]
pub(super) struct Repeats(Mutex<BTreeMap<Asked, (Instant, String)>>);

/// One call that makes an execution. Unless it is settled, its name is kept for the next.
pub(super) struct Try<'r> {
    repeats: &'r Repeats,
    asked: Asked,
    name: String,
    settled: bool,
    /// Whether the name is that of an earlier call, so that the execution may be there.
    pub(super) again: bool,
}

impl Repeats {
    /// Begins a call: under the name that an earlier one has left, or under `new`.
    pub(super) fn begin(&self, asked: Asked, new: String) -> Try<'_> {
        let mut kept = self.kept();
        kept.retain(|_, (since, _)| since.elapsed() < KEPT);
        // Taken away: another equal request meanwhile is another execution.
        let earlier = kept.remove(&asked).map(|(_, name)| name);
        let again = earlier.is_some();
        Try { repeats: self, asked, name: earlier.unwrap_or(new), settled: false, again }
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<Asked, (Instant, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Try<'_> {
    /// The execution's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The outcome is known, and about to be told.
    pub(super) fn settle(mut self) {
        self.settled = true;
    }
}

impl Drop for Try<'_> {
    /// Also when the client has gone, and the call with it.
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        let mut kept = self.repeats.kept();
        if kept.len() >= AT_MOST
            && let Some(oldest) = kept.iter().min_by_key(|(_, (since, _))| *since).map(|(asked, _)| *asked)
        {
            kept.remove(&oldest);
        }
        kept.insert(self.asked, (Instant::now(), std::mem::take(&mut self.name)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::idl::admin::ExecutionCreateRequest;

    #[test]
    fn callers_calls_and_requests_are_told_apart() {
        let request = |name: &str| ExecutionCreateRequest { name: name.to_owned(), ..Default::default() };
        let all = [
            asked(None, "create", &request("")),
            asked(Some("create"), "", &request("")),
            asked(Some("ann"), "create", &request("")),
            asked(None, "relaunch", &request("")),
            asked(None, "create", &request("x")),
        ];
        let different: std::collections::BTreeSet<Asked> = all.into_iter().collect();
        assert_eq!(different.len(), all.len());
        assert_eq!(asked(None, "create", &request("")), all[0]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_name_of_a_call_without_an_outcome_is_taken_by_the_next() {
        let repeats = Repeats::default();
        let begin = |new: &str| repeats.begin([1; 32], new.to_owned());
        drop(begin("a"));
        let (second, meanwhile) = (begin("b"), begin("c"));
        assert_eq!((second.name(), second.again), ("a", true));
        assert_eq!((meanwhile.name(), meanwhile.again), ("c", false));
        second.settle();
        meanwhile.settle();
        let third = begin("d");
        assert_eq!((third.name(), third.again), ("d", false), "what has succeeded is not repeated");
        drop(third);
        assert!(!repeats.begin([2; 32], "e".to_owned()).again);
        tokio::time::advance(KEPT).await;
        assert!(!begin("f").again);
    }
}
