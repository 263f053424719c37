//! Bad input from a real client: the right code, a sentence that names it, and a server that lives on.

use serde_json::json;

use crate::server::{FAILED, Server};

#[test]
fn what_cannot_be_is_refused_with_its_code_and_a_sentence() {
    let Some(server) = Server::shared() else { return };
    let said = server.client::<&str>("wrong.py", &[]).json();
    for (case, code, words) in [
        ("unknown plan", "NOT_FOUND", "page.lists"),
        ("unknown execution", "NOT_FOUND", "nobody"),
        ("wrong type", "INVALID_ARGUMENT", "inputs.q"),
        ("unknown input", "INVALID_ARGUMENT", "inputs.zz"),
        ("missing input", "INVALID_ARGUMENT", "inputs.a: it is missing"),
        ("name", "INVALID_ARGUMENT", "Not_A_Name"),
    ] {
        assert_eq!(said[case][0], code, "{case}: {said:#}");
        assert!(said[case][1].as_str().unwrap().contains(words), "{case}: {said:#}");
    }
    let unequal = &said["unequal"];
    assert_eq!(unequal["phase"], FAILED, "{unequal:#}");
    let message = unequal["error"]["message"].as_str().unwrap();
    for words in ["price has 1", "quantity has 2", "the same length"] {
        assert!(message.contains(words), "{message}");
    }
    assert_eq!(said["jobs"], json!({"n0": []}), "nothing was submitted");
}
