//! Nodes that run no task themselves, and decks.

use serde_json::{Value, json};

use crate::page::agrees;
use crate::server::{FAILED, Server};

#[test]
fn conditionals_and_launch_plans_give_what_a_local_run_gives_and_a_deck_is_read() {
    let Some(server) = Server::own() else { return };
    let said: Value = server.client::<&str>("kinds.py", &[]).json();
    assert_eq!(agrees(&said, "chooses"), &json!([6, 15]));
    // Succeeded is 3, skipped is 7.
    assert_eq!(said["chooses"]["within"]["n0"], json!({"n0": 7, "n1": 3}), "{said:#}");
    let refused = &said["refuses"];
    assert_eq!(refused["phase"], FAILED, "{refused:#}");
    assert!(refused["error"]["message"].as_str().unwrap().contains("it is not more than five"), "{refused:#}");
    assert_eq!(agrees(&said, "plans"), &json!([14]));
    // Mode 4 is a child of another execution.
    assert_eq!(said["plans"]["launched"], json!(["kinds.plan", 4, 7, 4, 7]), "{said:#}");
    assert_eq!((agrees(&said, "decks"), &said["decks"]["deck"]), (&json!([1]), &json!(true)));
    assert!(said["decks"]["uri"].as_str().is_some_and(|uri| uri.ends_with("/deck.html")), "{said:#}");
}
