//! Terminating, relaunching and recovering, and what else users do with executions.

use serde_json::json;

use crate::server::{ABORTED, FAILED, SUCCEEDED, Server};

#[test]
fn executions_are_terminated_relaunched_and_recovered() {
    let Some(server) = Server::own() else { return };
    let folder = server.traces("control");
    let said = server.client("control.py", &[&folder]).json();

    assert_eq!(said["failed"]["phase"], FAILED, "{said:#}");
    let recovered = &said["recovered"];
    assert_eq!(recovered["phase"], SUCCEEDED, "{recovered:#}");
    assert_eq!(recovered["remote"], json!([7, [2, 4, 6]]));
    assert_eq!(recovered["n0"], 7, "outputs of what was taken over are read");
    assert_eq!(recovered["nodes"], json!({"n0": 3, "n1": 3}));
    assert_eq!((recovered["mode"].as_i64(), recovered["of"].as_bool()), (Some(5), Some(true)));
    // Successful nodes and children have run once, the one that failed twice.
    assert_eq!(said["traces"], json!({"first-7": 1, "allowed-1": 1, "allowed-2": 2, "allowed-3": 1}));
    assert_eq!(recovered["jobs"]["n1"], json!([0]));

    let terminated = &said["terminated"];
    assert_eq!(terminated["phase"], ABORTED, "{terminated:#}");
    assert_eq!(terminated["cause"], "no longer needed");
    assert_eq!(terminated["nodes"], json!({"n0": 6}));
    assert_eq!(said["alive"], json!([]), "nothing of it is left with AWS Batch");

    let relaunched = &said["relaunched"];
    assert_eq!(relaunched["phase"], SUCCEEDED, "{relaunched:#}");
    assert_eq!(relaunched["remote"], json!([[1, 2]]));
    assert_eq!((relaunched["mode"].as_i64(), relaunched["of"].as_bool()), (Some(3), Some(true)));
}
