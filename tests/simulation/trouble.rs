//! What happens to calls on their way.

use batchmap::aws::batch::BatchError;
use batchmap::aws::store::StoreError;

use crate::dice::Dice;
use crate::script::{MINUTE, SECOND, Script};

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Carried,
    Throttled,
    /// It never arrives.
    Lost,
    /// It arrives, and nobody hears of it.
    Unanswered,
    /// So does it, and the SDK asks again by itself: a conditional write then meets what it has written.
    Repeated,
    /// It arrives so many milliseconds after its caller has given it up.
    Late(u64),
    /// The credentials have run out for a moment.
    Denied,
}

impl Fate {
    /// Draws what happens to call number `call` at `now`. Of a call that the SDK repeats
    /// it is rare that all tries fail.
    pub fn draw(script: &Script, dice: Dice, call: u64, now: u64, repeated: bool) -> Fate {
        if script.outage.as_ref().is_some_and(|outage| outage.contains(&now)) {
            return Fate::Lost;
        }
        if repeated && !dice.hits("every try", &[call], 10) {
            return Fate::Carried;
        }
        let trouble = &script.trouble;
        let most = dice.pick("late/most", &[call], &[SECOND, 20 * SECOND, 10 * MINUTE]);
        let late = 1 + dice.roll("late", &[call], most);
        let mut left = dice.roll("fate", &[call], 100);
        for (percent, fate) in [
            (trouble.throttled, Fate::Throttled),
            (trouble.lost, Fate::Lost),
            (trouble.unanswered, Fate::Unanswered),
            (trouble.unanswered, Fate::Repeated),
            (trouble.late, Fate::Late(late)),
            (trouble.credentials, Fate::Denied),
        ] {
            if left < percent {
                return fate;
            }
            left -= percent;
        }
        Fate::Carried
    }
}

/// The errors of a port.
pub trait Failing: Sized {
    /// What the caller is told of a call that had this fate.
    fn told(fate: Fate, operation: &'static str, key: &str) -> Self;
}

impl Failing for BatchError {
    fn told(fate: Fate, operation: &'static str, _key: &str) -> Self {
        match fate {
            Fate::Throttled => BatchError::Throttled { operation, message: "too many requests".to_owned() },
            Fate::Denied => BatchError::Unauthenticated { operation, message: "the token has expired".to_owned() },
            other => BatchError::Unknown { operation, message: format!("{other:?}") },
        }
    }
}

impl Failing for StoreError {
    fn told(fate: Fate, operation: &'static str, key: &str) -> Self {
        let (bucket, key) = ("bucket".to_owned(), key.to_owned());
        match (fate, operation) {
            (Fate::Repeated, "PutNew") => StoreError::AlreadyExists { bucket, key },
            (other, _) => StoreError::Unreachable { operation, bucket, key, message: format!("{other:?}") },
        }
    }
}
