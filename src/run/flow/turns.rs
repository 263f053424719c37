//! How many nodes run at once on a server, and whose turn is next: executions take turns, so that one with thousands of
//! ready nodes keeps no other waiting.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Places for nodes. Cheap to clone; clones share the places.
#[derive(Clone, Debug)]
pub struct Turns(Option<Arc<Mutex<State>>>);

#[derive(Debug, Default)]
struct State {
    free: usize,
    /// Those that wait, by execution, in the order they came. No list is empty.
    waiting: BTreeMap<String, VecDeque<oneshot::Sender<Place>>>,
    /// The executions that have any, the next one first.
    order: VecDeque<String>,
}

/// A place, held until it is dropped.
#[derive(Debug)]
pub(super) struct Place(Option<Arc<Mutex<State>>>);

impl Turns {
    /// `places` for nodes; without a number there is one for each.
    pub fn new(places: Option<NonZeroUsize>) -> Self {
        Turns(places.map(|free| Arc::new(Mutex::new(State { free: free.get(), ..State::default() }))))
    }

    /// Waits for a place. Whoever stops waiting has no claim to one any more.
    pub(super) async fn place(&self, execution: &str) -> Place {
        let Some(shared) = &self.0 else { return Place(None) };
        let taken = {
            let mut state = locked(shared);
            if state.free > 0 {
                state.free -= 1;
                return Place(Some(shared.clone()));
            }
            let (give, taken) = oneshot::channel();
            if !state.waiting.contains_key(execution) {
                state.order.push_back(execution.to_owned());
            }
            state.waiting.entry(execution.to_owned()).or_default().push_back(give);
            taken
        };
        // The sender is dropped with the state alone, and the state is held here.
        taken.await.unwrap_or(Place(None))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(shared) = self.0.take() else { return };
        let mut place = Place(Some(shared.clone()));
        loop {
            let mut state = locked(&shared);
            let Some(next) = state.next() else {
                state.free += 1;
                place.0 = None;
                return;
            };
            drop(state);
            match next.send(place) {
                Ok(()) => return,
                Err(unwanted) => place = unwanted,
            }
        }
    }
}

impl State {
    /// Whose turn it is. Its execution goes to the end of the line.
    fn next(&mut self) -> Option<oneshot::Sender<Place>> {
        let execution = self.order.pop_front()?;
        let line = self.waiting.get_mut(&execution)?;
        let next = line.pop_front();
        if line.is_empty() {
            self.waiting.remove(&execution);
        } else {
            self.order.push_back(execution);
        }
        next
    }
}

fn locked(shared: &Arc<Mutex<State>>) -> MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::future::LocalBoxFuture;

    use super::*;

    /// Waits in line for a place, from now on.
    fn wait<'a>(turns: &'a Turns, execution: &'a str) -> LocalBoxFuture<'a, Place> {
        let mut waits = turns.place(execution).boxed_local();
        assert!((&mut waits).now_or_never().is_none());
        waits
    }

    fn turns(places: usize) -> Turns {
        Turns::new(NonZeroUsize::new(places))
    }

    #[test]
    fn executions_take_turns() {
        let turns = turns(1);
        let first = turns.place("large").now_or_never().unwrap();
        let mut large: Vec<_> = (0..3).map(|_| wait(&turns, "large")).collect();
        let mut small = wait(&turns, "small");
        drop(first);
        let second = (&mut large[0]).now_or_never().unwrap();
        assert!((&mut small).now_or_never().is_none());
        drop(second);
        // The other two of the large one were there before it.
        let third = (&mut small).now_or_never().unwrap();
        assert!((&mut large[1]).now_or_never().is_none());
        drop(third);
        let fourth = (&mut large[1]).now_or_never().unwrap();
        drop(fourth);
        assert!((&mut large[2]).now_or_never().is_some());
    }

    #[test]
    fn whoever_gives_up_takes_no_place() {
        let turns = turns(2);
        let places: Vec<_> = (0..2).map(|_| turns.place("a").now_or_never().unwrap()).collect();
        let (gone, given) = (wait(&turns, "b"), wait(&turns, "c"));
        drop(gone);
        drop(places);
        // One of the places was given to c, which gives it up unseen.
        drop(given);
        let places: Vec<_> = (0..2).map(|_| turns.place("d").now_or_never().unwrap()).collect();
        drop(wait(&turns, "d"));
        drop(places);
        assert!(turns.place("e").now_or_never().is_some());
    }

    #[test]
    fn without_a_number_nobody_waits() {
        let turns = Turns::new(None);
        let places: Vec<_> = (0..1000).map(|_| turns.place("a").now_or_never().unwrap()).collect();
        assert_eq!(places.len(), 1000);
    }
}
