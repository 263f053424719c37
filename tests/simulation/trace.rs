//! Every call of every driver: folded into a number always, and told on request.

use std::sync::Mutex;

use crate::dice::Fold;

/// Set to see every call as it is made.
const SHOW: &str = "BATCHMAP_TEST_TRACE";

pub fn is_shown() -> bool {
    std::env::var_os(SHOW).is_some()
}

pub struct Trace {
    fold: Mutex<Fold>,
    show: bool,
}

impl Trace {
    pub fn new() -> Trace {
        Trace { fold: Mutex::default(), show: is_shown() }
    }

    /// A call, or something else that two runs must agree on.
    pub fn say(&self, line: &str) {
        self.fold.lock().unwrap().add(line);
        if self.show {
            eprintln!("{line}");
        }
    }

    pub fn fold(&self) -> Fold {
        *self.fold.lock().unwrap()
    }
}
