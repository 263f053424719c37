//! Whether Batch itself starts a job again: `retryStrategy` with `evaluateOnExit`.

use super::Refusal;
use super::api::{EvaluateOnExit, RetryStrategy};

/// Checks a strategy as AWS does when it is given.
pub(super) fn check(strategy: &RetryStrategy) -> Result<(), Refusal> {
    let refuse = |message: String| Err(Refusal(message));
    match strategy.attempts {
        Some(attempts) if !(1..=10).contains(&attempts) => {
            return refuse(format!("retryStrategy.attempts must be between 1 and 10, but was {attempts}"));
        }
        None if !strategy.evaluate_on_exit.is_empty() => {
            return refuse("RetryAttempts must be provided with retry strategy".to_owned());
        }
        _ => {}
    }
    if strategy.evaluate_on_exit.len() > 5 {
        return refuse(format!(
            "retryStrategy.evaluateOnExit may hold at most 5 entries, but has {}",
            strategy.evaluate_on_exit.len()
        ));
    }
    strategy.evaluate_on_exit.iter().try_for_each(check_row)
}

fn check_row(row: &EvaluateOnExit) -> Result<(), Refusal> {
    if !["RETRY", "EXIT"].iter().any(|action| action.eq_ignore_ascii_case(&row.action)) {
        return Err(Refusal(format!("evaluateOnExit.action must be RETRY or EXIT, but was '{}'", row.action)));
    }
    let reason = |c: char| c.is_ascii_alphanumeric() || c.is_whitespace() || matches!(c, '.' | ':');
    let conditions: [(_, _, &dyn Fn(char) -> bool); 3] = [
        ("onStatusReason", &row.on_status_reason, &reason),
        ("onReason", &row.on_reason, &reason),
        ("onExitCode", &row.on_exit_code, &|c: char| c.is_ascii_digit()),
    ];
    for (field, pattern, allowed) in conditions {
        let Some(pattern) = pattern else { continue };
        let body = pattern.strip_suffix('*').unwrap_or(pattern);
        if pattern.chars().count() > 512 || !body.chars().all(allowed) {
            return Err(Refusal(format!(
                "evaluateOnExit.{field} '{pattern}' is not valid: at most 512 letters, digits, '.', ':' or spaces \
                 (digits only for onExitCode), and an optional '*' at the end"
            )));
        }
    }
    Ok(())
}

/// What an attempt left to judge by; what is absent counts as empty, so `*` matches it.
pub(super) struct Ending<'a> {
    pub(super) status_reason: &'a str,
    pub(super) reason: &'a str,
    pub(super) exit_code: Option<i32>,
}

/// Whether a failed attempt, the `attempt`-th, is followed by another.
pub(super) fn again(strategy: &RetryStrategy, attempt: u32, ending: &Ending<'_>) -> bool {
    let allowed = strategy.attempts.unwrap_or(1);
    if i64::from(attempt) >= allowed {
        return false;
    }
    let first = strategy.evaluate_on_exit.iter().find(|row| matches(row, ending));
    // No match retries.
    first.is_none_or(|row| row.action.eq_ignore_ascii_case("RETRY"))
}

fn matches(row: &EvaluateOnExit, ending: &Ending<'_>) -> bool {
    let code = ending.exit_code.map(|code| code.to_string()).unwrap_or_default();
    [(&row.on_status_reason, ending.status_reason), (&row.on_reason, ending.reason), (&row.on_exit_code, &code)]
        .into_iter()
        .all(|(pattern, text)| pattern.as_deref().is_none_or(|pattern| glob(pattern, text)))
}

/// Whether a text is the pattern, or begins with it when it ends in `*`.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => text.starts_with(prefix),
        None => pattern == text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(status_reason: Option<&str>, reason: Option<&str>, code: Option<&str>, action: &str) -> EvaluateOnExit {
        EvaluateOnExit {
            on_status_reason: status_reason.map(str::to_owned),
            on_reason: reason.map(str::to_owned),
            on_exit_code: code.map(str::to_owned),
            action: action.to_owned(),
        }
    }

    #[test]
    fn the_first_row_that_matches_decides() {
        let host = row(Some("Host EC2*"), None, None, "retry");
        let exit = row(None, Some("*"), None, "EXIT");
        let both = row(Some("Essential*"), None, Some("13*"), "RETRY");
        let none = Vec::new();
        let lost = Ending { status_reason: "Host EC2 (instance i-1) terminated.", reason: "", exit_code: None };
        let code = |n| Ending { status_reason: "Essential container in task exited", reason: "", exit_code: Some(n) };
        for (rows, attempts, attempt, ending, expected) in [
            (&none, Some(3), 1, code(1), true),
            (&none, Some(3), 3, code(1), false),
            (&none, None, 1, code(1), false),
            (&vec![host.clone(), exit.clone()], Some(3), 1, lost, true),
            (&vec![host.clone(), exit.clone()], Some(3), 2, code(1), false),
            (&vec![exit.clone(), host.clone()], Some(3), 1, code(1), false),
            // No match retries.
            (&vec![host.clone()], Some(3), 1, code(1), true),
            // All conditions of a row must hold.
            (&vec![both.clone(), exit.clone()], Some(2), 1, code(137), true),
            (&vec![both.clone(), exit.clone()], Some(2), 1, code(1), false),
        ] {
            let strategy = RetryStrategy { attempts, evaluate_on_exit: rows.clone() };
            assert_eq!(again(&strategy, attempt, &ending), expected, "{strategy:?} at {attempt}");
        }
    }

    #[test]
    fn a_strategy_is_checked_when_it_is_given() {
        let ok = row(None, Some("*"), None, "exit");
        for (attempts, rows, fault) in [
            (Some(0), vec![], "between 1 and 10"),
            (Some(11), vec![], "between 1 and 10"),
            (None, vec![ok.clone()], "RetryAttempts must be provided"),
            (Some(2), vec![ok.clone(); 6], "at most 5"),
            (Some(2), vec![row(None, None, Some("1a"), "EXIT")], "onExitCode"),
            (Some(2), vec![row(None, Some("a*b"), None, "EXIT")], "onReason"),
            (Some(2), vec![row(Some(&"x".repeat(513)), None, None, "EXIT")], "onStatusReason"),
            (Some(2), vec![row(None, None, None, "STOP")], "action"),
        ] {
            let error = check(&RetryStrategy { attempts, evaluate_on_exit: rows }).unwrap_err();
            assert!(error.0.contains(fault), "{error} should name {fault}");
        }
        check(&RetryStrategy { attempts: Some(10), evaluate_on_exit: vec![ok; 5] }).unwrap();
        check(&RetryStrategy::default()).unwrap();
    }
}
