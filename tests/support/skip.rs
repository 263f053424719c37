//! Saying aloud that a test was skipped.

use std::io::Write;

/// Says why a test is skipped, past the test runner, which keeps what a passing test prints to itself.
pub fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}
