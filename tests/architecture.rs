//! The house's rules, read off the source: which room may know which, and what may stand where.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Each room and the rooms it may import from.
const ROOMS: &[(&str, &[&str])] = &[
    ("idl", &[]),
    ("map", &["idl"]),
    ("aws", &["idl", "map"]),
    ("run", &["idl", "map", "aws"]),
    ("emulator", &["idl", "map", "aws", "run"]),
    ("worker", &["idl", "map", "aws", "run"]),
    ("service", &["idl", "map", "aws", "run"]),
    ("cli", &["idl", "map", "aws", "run", "emulator", "worker", "service"]),
];

/// A source file: its room, its path under `src/`, and its lines without comments and without its tests.
struct Source {
    room: String,
    path: String,
    lines: Vec<(usize, String)>,
}

fn sources() -> Vec<Source> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&src, &mut files);
    assert!(files.len() > 20, "the walk must have found the sources");
    files
        .into_iter()
        .map(|file| {
            let path = file.strip_prefix(&src).unwrap().to_string_lossy().replace('\\', "/");
            let room = path.split_once('/').map_or("", |(room, _)| room).to_owned();
            let text = fs::read_to_string(&file).unwrap();
            let own = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            let lines = own
                .lines()
                .enumerate()
                .filter(|(_, line)| !line.trim_start().starts_with("//"))
                .map(|(at, line)| (at + 1, line.to_owned()))
                .collect();
            Source { room, path, lines }
        })
        .filter(|source| !is_test(&source.path))
        .collect()
}

fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The rooms named after `crate::` in a line.
fn rooms_named(line: &str) -> Vec<String> {
    line.split("crate::")
        .skip(1)
        .map(|rest| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect())
        .collect()
}

fn check(rule: &str, broken: Vec<String>) {
    assert!(broken.is_empty(), "{rule}:\n{}", broken.join("\n"));
}

#[test]
fn a_room_imports_only_from_rooms_to_its_left() {
    let allowed: BTreeMap<&str, &[&str]> = ROOMS.iter().copied().collect();
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| !source.room.is_empty()) {
        let Some(allowed) = allowed.get(source.room.as_str()) else {
            broken.push(format!("{}: no such room in the design", source.path));
            continue;
        };
        for (at, line) in &source.lines {
            for room in rooms_named(line) {
                let known = ROOMS.iter().any(|(name, _)| *name == room);
                if known && room != source.room && !allowed.contains(&room.as_str()) {
                    broken.push(format!("{}:{at}: {} imports from {room}", source.path, source.room));
                }
            }
        }
    }
    check("the arrows of the design", broken);
}

#[test]
fn only_the_ports_and_the_emulator_name_the_sdk_or_the_s3_server() {
    let names = ["aws_sdk_", "aws_config", "aws_smithy", "s3s::"];
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| source.room != "aws" && source.room != "emulator") {
        for (at, line) in &source.lines {
            if names.iter().any(|name| line.contains(name)) {
                broken.push(format!("{}:{at}: {}", source.path, line.trim()));
            }
        }
    }
    check("SDK types stay behind the ports", broken);
}

#[test]
fn only_the_command_line_prints() {
    let prints = ["println!(", "print!(", "eprintln!(", "eprint!(", "dbg!("];
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| source.room != "cli") {
        for (at, line) in &source.lines {
            if prints.iter().any(|print| line.contains(print)) {
                broken.push(format!("{}:{at}: {}", source.path, line.trim()));
            }
        }
    }
    check("a library does not print", broken);
}

#[test]
fn decisions_are_pure() {
    let impure = [
        "std::fs",
        "std::env",
        "std::net",
        "std::process",
        "Instant",
        "SystemTime",
        "tokio",
        "async ",
        "HashMap",
        "HashSet",
        "rand::",
    ];
    let mut broken = Vec::new();
    let model = "emulator/batch/model/";
    let all = sources();
    assert!(all.iter().any(|source| source.path.starts_with(model)), "the model has moved: name its new place");
    let pure = |source: &&Source| source.room == "map" || source.room == "idl" || source.path.starts_with(model);
    for source in all.iter().filter(pure) {
        for (at, line) in &source.lines {
            // `env!("OUT_DIR")` is read by the compiler, not by the program.
            if impure.iter().any(|name| line.contains(name)) && !line.contains("env!(\"OUT_DIR\")") {
                broken.push(format!("{}:{at}: {}", source.path, line.trim()));
            }
        }
    }
    check(
        "map/, idl/ and the emulator's model know no clock, file, environment, runtime, chance or unordered map",
        broken,
    );
}

#[test]
fn files_stay_readable() {
    let mut broken = Vec::new();
    for source in sources() {
        let lines = source.lines.last().map_or(0, |(at, _)| *at);
        if lines > 500 {
            broken.push(format!("{}: {lines} lines without its tests", source.path));
        }
    }
    check("no file over 500 lines", broken);
}

#[test]
fn main_only_calls_the_library() {
    let main = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/main.rs")).unwrap();
    assert!(main.lines().count() < 30, "main.rs parses, calls the library and exits");
}

/// Every row of README's table of promises names the test that holds it, as "[`test`](file)".
#[test]
fn every_promise_names_its_test() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(home.join("README.md")).unwrap();
    let section = readme.split("## What it promises").nth(1).expect("README has its promises");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| ")).skip(2).collect();
    assert!(rows.len() > 10, "the table must have been found");
    let mut broken = Vec::new();
    for row in rows {
        let named: Vec<(&str, &str)> = row
            .split("[`")
            .skip(1)
            .filter_map(|link| link.split_once("`](").and_then(|(test, rest)| Some((test, rest.split_once(')')?.0))))
            .collect();
        if named.is_empty() {
            broken.push(format!("{row}: no test"));
        }
        for (test, file) in named {
            let text = fs::read_to_string(home.join(file)).unwrap_or_default();
            if !text.contains(&format!("fn {test}(")) {
                broken.push(format!("{file} has no {test}"));
            }
        }
    }
    check("every promise in README names a test that exists", broken);
}
