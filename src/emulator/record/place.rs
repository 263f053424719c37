//! Keys and names in the form in which all executions use them.

use std::fmt::Write as _;

/// The first part, after the prefix, of every key that batchmap has.
const FOLDERS: [&str; 5] = ["executions", "raw", "cache", "leases", "flyte"];

/// The bucket that an endpoint starts with.
const OWN: &str = crate::emulator::local::NAME;

/// The resource of an object: `arn:aws:s3:::{bucket}/{prefix}executions/id/task.pb`, or one outside of batchmap's layout
/// with its bucket's name and its first part only.
pub(super) fn object(bucket: &str, key: &str) -> String {
    match general(key) {
        Some(key) => format!("arn:aws:s3:::{{bucket}}/{key}"),
        None => format!("arn:aws:s3:::{bucket}/{}", outside(key)),
    }
}

/// The resource of a bucket, of which what begins with `prefix` is asked for.
pub(super) fn bucket(bucket: &str, prefix: Option<&str>) -> String {
    let ours = bucket == OWN || prefix.is_some_and(|prefix| general(prefix).is_some());
    format!("arn:aws:s3:::{}", if ours { "{bucket}" } else { bucket })
}

/// What a list is asked for begins with, in general.
pub(super) fn listed(prefix: &str) -> String {
    general(prefix).unwrap_or_else(|| outside(prefix))
}

/// A key of batchmap's layout: the configured prefix and what differs from one execution to the next by placeholders.
fn general(key: &str) -> Option<String> {
    let parts: Vec<&str> = key.split('/').collect();
    let at = parts[..parts.len().saturating_sub(1)].iter().position(|part| FOLDERS.contains(part))?;
    let (folder, rest) = (parts[at], &parts[at + 1..]);
    let mut general = format!("{{prefix}}{folder}");
    for (place, part) in rest.iter().enumerate() {
        let part = match (folder, place) {
            _ if part.is_empty() => "",
            ("executions" | "raw", 0) => "id",
            ("flyte", 0) => part,
            // Names that clients chose, and files of the user's.
            ("flyte", 1..) | ("raw" | "cache" | "leases", _) => "x",
            _ => word(part),
        };
        let _ = write!(general, "/{part}");
        // Below a user's own folder every depth is the same.
        if (folder == "flyte" || folder == "raw") && place >= 1 || (part == "x" && folder == "executions") {
            break;
        }
    }
    Some(general)
}

/// A part of a key below an execution: a word of the layout stays.
fn word(part: &str) -> &str {
    const WORDS: [&str; 18] = [
        "task.pb",
        "journal",
        "snapshots",
        "inputs",
        "arrays",
        "indices",
        "inputs.pb",
        "previous.json",
        "children",
        "outputs",
        "checkpoints",
        "subtasks",
        "outputs.pb",
        "error.pb",
        "deck.html",
        "checkpoint",
        "heartbeat",
        "manifest.json",
    ];
    if let Some(known) = WORDS.into_iter().find(|known| *known == part) {
        return known;
    }
    let stem = part.split('.').next().unwrap_or_default();
    // An attempt's name is two numbers.
    let numbered = !stem.is_empty() && stem.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    match (numbered, part.rsplit_once('.').map(|(_, end)| end)) {
        (true, None | Some("saved")) => "0",
        (true, Some("pb")) => "0.pb",
        (true, Some("idx")) => "0.idx",
        (true, Some("keys")) => "0.keys",
        _ => "x",
    }
}

/// The first part of a key that is none of batchmap's.
fn outside(key: &str) -> String {
    let first = key.split('/').next().unwrap_or_default();
    let mut plain: String = first.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).take(24).collect();
    if key.contains('/') {
        plain.push_str("/x");
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::index::OriginalIndex;
    use crate::map::layout::Root;

    #[test]
    fn the_keys_of_all_executions_are_the_same() {
        let root = Root::new("team/a", "2026-abc-0123");
        let told = |key: String| general(&key).unwrap();
        assert_eq!(told(root.task()), "{prefix}executions/id/task.pb");
        assert_eq!(told(root.journal_record(12)), "{prefix}executions/id/journal/0");
        assert_eq!(told(root.journal()), "{prefix}executions/id/journal/");
        assert_eq!(told(root.pack(3)), "{prefix}executions/id/inputs/0.pb");
        assert_eq!(told(root.pack_keys(3)), "{prefix}executions/id/inputs/0.keys");
        assert_eq!(told(root.outputs(OriginalIndex(7))), "{prefix}executions/id/subtasks/0/outputs.pb");
        assert_eq!(told(root.error(OriginalIndex(7), "000000-01")), "{prefix}executions/id/subtasks/0/0/error.pb");
        let saved = root.saved_checkpoint(OriginalIndex(7), "000000-01") + "deep/model.bin";
        assert_eq!(told(saved), "{prefix}executions/id/subtasks/0/checkpoint/0/x");
        assert_eq!(told(root.array_previous(1)), "{prefix}executions/id/arrays/0/previous.json");
        assert_eq!(told(root.children_outputs(1) + "job/3/1/outputs.pb"), "{prefix}executions/id/children/outputs/0/x");
        assert_eq!(told(root.raw() + "a/b/c"), "{prefix}raw/id/x");
        assert_eq!(told("cache/00ff".to_owned()), "{prefix}cache/x");
        assert_eq!(told("executions/".to_owned()), "{prefix}executions/");
        assert_eq!(told("p/flyte/entities/a/b/tasks/c/1".to_owned()), "{prefix}flyte/entities/x");
        assert_eq!(told("p/flyte/secret".to_owned()), "{prefix}flyte/secret");
    }

    #[test]
    fn what_is_not_of_the_layout_keeps_its_bucket() {
        assert_eq!(object("mine", "data/part-17.json"), "arn:aws:s3:::mine/data/x");
        assert_eq!(object("mine", "executions"), "arn:aws:s3:::mine/executions");
        assert_eq!(object("b", "p/raw/1/f"), "arn:aws:s3:::{bucket}/{prefix}raw/id/x");
        assert_eq!(
            (bucket("b", Some("cache/")), bucket("b", None)),
            ("arn:aws:s3:::{bucket}".into(), "arn:aws:s3:::b".into())
        );
        assert_eq!(bucket(OWN, None), "arn:aws:s3:::{bucket}");
    }
}
