//! The spec parser, and the names of types.

use batchmap::idl::types::{parse_type, type_name};
use batchmap::map::spec::{self, Faults};
use batchmap::map::template;
use proptest::prelude::*;
use serde_json::json;

use crate::change::changed;
use crate::meter::metered;
use crate::{cases, corpus, seeds};

fn try_spec(bytes: &[u8]) -> bool {
    // What is no UTF-8 does not get as far as the parser.
    let text = String::from_utf8_lossy(bytes);
    metered(text.len(), || match spec::task(Some(&text), json!({}), Faults::default()) {
        Ok(task) => {
            let _ = template::input_names(&task.command);
            true
        }
        Err(faults) => {
            assert!(!faults.to_string().is_empty(), "a refusal says why");
            false
        }
    })
}

fn try_type(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    metered(text.len(), || {
        if let Ok(read) = parse_type(&text) {
            let name = type_name(&read);
            assert_eq!(parse_type(&name).as_ref().map(type_name), Ok(name), "{text:?}");
        }
    });
}

#[test]
fn the_corpus_of_specs() {
    let taken = corpus("spec").iter().filter(|(_, bytes)| try_spec(bytes)).count();
    assert!(taken >= 2, "some of the corpus is valid");
    corpus("types").iter().for_each(|(_, bytes)| try_type(bytes));
}

#[test]
fn depth_is_no_danger() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"map\":", "}]"), ("map[", "]"), ("", "?"), ("", "|a")] {
        for depth in [100, 10_000, 100_000] {
            let text = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            try_spec(text.as_bytes());
            try_spec(open.repeat(depth).as_bytes());
            try_type(text.as_bytes());
            let document = json!({"command": ["a"], "map": {"x": [1]}, "inputs": {"x": text}}).to_string();
            try_spec(document.as_bytes());
        }
    }
}

proptest! {
    #![proptest_config(cases(1500))]

    #[test]
    fn no_spec_breaks_the_parser(bytes in changed(seeds("spec"))) {
        try_spec(&bytes);
    }

    #[test]
    fn no_text_breaks_the_types(bytes in changed(seeds("types"))) {
        try_type(&bytes);
    }
}
