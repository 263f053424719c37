//! What a person reads at the end: the outcome, and failures folded by index range.

use std::fmt::Write;

use super::words::children;
use crate::map::status::Phase;
use crate::map::summary::Summary;

/// Kinds of failure shown; the rest is counted.
const SHOWN: usize = 8;

/// Lines of an error shown: the first, and the last ones, where a program says why.
const LINES: usize = 8;

/// Characters of a list of index ranges shown.
const RANGES: usize = 60;

/// The report of execution `id`, for standard error.
pub fn report(id: &str, summary: &Summary) -> String {
    let mut text = String::new();
    for folded in summary.failures.iter().take(SHOWN) {
        let ranges = shorten(&folded.indices);
        let origin = match folded.origin {
            crate::map::policy::Origin::User => "",
            crate::map::policy::Origin::System => " (system)",
        };
        let _ = writeln!(text, "{} of {} failed{origin}: {ranges}: {}", folded.count, summary.size, folded.code);
        let lines: Vec<&str> = folded.message.lines().collect();
        let (head, tail) =
            if lines.len() > LINES { (1, lines.len() - (LINES - 1)) } else { (lines.len(), lines.len()) };
        let gap = (head < tail && !lines[head..tail].is_empty()).then_some("…");
        for line in lines[..head].iter().copied().chain(gap).chain(lines[tail..].iter().copied()) {
            // The message may be shortened already: one mark is enough.
            if line != "…" || !text.ends_with("    …\n") {
                let _ = writeln!(text, "    {line}");
            }
        }
        let _ = writeln!(text, "    log: batchmap logs {id} {}", folded.first);
    }
    if summary.failures.len() > SHOWN {
        let _ = writeln!(text, "... and {} further kinds of failure", summary.failures.len() - SHOWN);
    }
    text.push_str(&outcome(id, summary));
    text
}

/// The last line: how it ended.
fn outcome(id: &str, summary: &Summary) -> String {
    let counts = format!("{} of {} succeeded{}", summary.succeeded, summary.size, reused(summary));
    let reason = summary.reason.as_deref().unwrap_or_default();
    match summary.phase {
        Phase::Succeeded if summary.failed > 0 => {
            format!("{id} succeeded: {counts}, {} needed", summary.min_successes)
        }
        Phase::Succeeded => format!("{id} succeeded: {counts}"),
        Phase::Failed => format!("{id} failed: {reason} ({counts})"),
        Phase::Aborted => format!("{id} aborted: {reason} ({counts})"),
        Phase::Queued | Phase::Running => format!("{id} is not over: {counts}"),
        Phase::Succeeding => format!("{id} is succeeding: {counts}; {}", ending(summary)),
        Phase::Failing => format!("{id} is failing: {reason} ({counts}); {}", ending(summary)),
        Phase::Aborting => format!("{id} is aborting: {reason} ({counts}); {}", ending(summary)),
    }
}

/// What an execution waits for whose outcome is decided.
fn ending(summary: &Summary) -> String {
    match summary.running + summary.queued {
        0 => "its end is not confirmed yet".to_owned(),
        left => format!("{} to end", children(left)),
    }
}

/// What somebody waits for who waits for execution `id`.
pub fn awaited(id: &str, summary: &Summary) -> String {
    match summary.phase {
        Phase::Queued | Phase::Running => format!("waiting for {id}: {}", counts(summary)),
        _ => format!("waiting: {}", outcome(id, summary)),
    }
}

/// What of the successes was there before anything ran.
fn reused(summary: &Summary) -> String {
    let earlier = summary.reused - summary.cached;
    let parts = [(summary.cached, "from the cache"), (earlier, "from an earlier execution")];
    let some = parts.iter().filter(|(count, _)| *count > 0);
    some.map(|(count, whence)| format!(", {count} of {} {whence}", summary.size)).collect()
}

fn shorten(ranges: &str) -> String {
    if ranges.len() <= RANGES {
        return ranges.to_owned();
    }
    let end = ranges[..RANGES].rfind(',').unwrap_or(RANGES);
    format!("{},…", &ranges[..end])
}

/// One line of counts, for progress and status.
pub fn counts(summary: &Summary) -> String {
    let mut parts = vec![format!("{}/{} succeeded", summary.succeeded, summary.size)];
    let mut add = |count: u64, what: &str| {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    };
    add(summary.cached, "from the cache");
    add(summary.reused - summary.cached, "from an earlier execution");
    add(summary.failed, "failed");
    add(summary.settling, "ended");
    add(summary.running, "running");
    add(summary.queued, "queued");
    add(summary.waiting, "waiting");
    add(summary.dropped, "without a result");
    add(summary.held, "waiting for another's cached outputs");
    add(summary.retried, "retried");
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::policy::Origin;
    use crate::map::summary::Folded;

    #[test]
    fn failures_are_folded_and_name_their_log() {
        let folded = Folded {
            indices: "[3],[7]".to_owned(),
            count: 2,
            first: 3,
            origin: Origin::User,
            code: "USER:ExitCode".to_owned(),
            message: (1..=12).map(|line| format!("line {line}\n")).collect(),
        };
        let summary = Summary {
            phase: Phase::Succeeded,
            reused: 3,
            cached: 2,
            reason: None,
            size: 10,
            min_successes: 8,
            succeeded: 8,
            failed: 2,
            running: 0,
            settling: 0,
            queued: 0,
            waiting: 0,
            dropped: 0,
            held: 0,
            retried: 0,
            arrays: 1,
            failures: vec![folded],
            stuck: None,
            looking: None,
        };
        insta::assert_snapshot!(report("id", &summary), @r"
        2 of 10 failed: [3],[7]: USER:ExitCode
            line 1
            …
            line 6
            line 7
            line 8
            line 9
            line 10
            line 11
            line 12
            log: batchmap logs id 3
        id succeeded: 8 of 10 succeeded, 2 of 10 from the cache, 1 of 10 from an earlier execution, 8 needed
        ");
        let line = "8/10 succeeded, 2 from the cache, 1 from an earlier execution, 2 failed";
        assert_eq!(counts(&summary), line);
    }

    #[test]
    fn long_ranges_are_cut_between_two_of_them() {
        let ranges: Vec<String> = (0..100).map(|index| format!("[{}]", index * 2)).collect();
        let short = shorten(&ranges.join(","));
        assert!(short.ends_with("],…") && short.len() < RANGES + 5, "{short}");
    }
}
