//! TLS and tokens with flytekit's own settings: its two ways to a token, a token that has lost its force, wrong secrets,
//! and what a user sees who has set nothing.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::certificates::Certificates;
use crate::server::{Ran, SUCCEEDED, Server};

/// `batchmap token`: what it prints.
fn token(name: &str, file: &Path, more: &[&str]) -> String {
    let made =
        Command::new(env!("CARGO_BIN_EXE_batchmap")).args(["token", name, "--file"]).arg(file).args(more).output();
    let made = Ran::of(made.unwrap()).exits(0);
    made.out.trim().to_owned()
}

#[test]
fn flytekit_signs_in_by_either_way_over_tls() {
    let Some(made) = Certificates::make() else { return };
    let file = made.path("tokens");
    let (ann, ci) = (token("ann", &file, &[]), token("ci", &file, &["--client"]));
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.lines().count() == 2 && !text.contains(&ann) && !text.contains(&ci), "{text}");
    let path = |name: &str| made.path(name).to_str().unwrap().to_owned();
    let args = ["--tls-cert", &path("server.crt"), "--tls-key", &path("server.key"), "--tokens-file", &path("tokens")];
    let Some(server) = Server::with(&args.map(str::to_owned)) else { return };

    // The command that flytekit starts for a token: what it prints first has lost its force.
    let script = made.path("command");
    let text = format!("#!/bin/sh\nif [ -e \"$0.second\" ]; then echo {ann}; else touch \"$0.second\"; echo old; fi\n");
    std::fs::write(&script, text).unwrap();
    let mut client = server.client_command("access.py");
    client.env("CA", path("ca.crt")).env("COMMAND", format!("sh {}", script.display())).env("SECRET", &ci);
    let said = Ran::of(client.output().unwrap()).json();

    let secret = &said["ClientSecret"];
    assert_eq!(secret["phase"], SUCCEEDED, "{said:#}");
    assert_eq!((&secret["principal"], &secret["remote"]), (&json!("ci"), &json!([[]])), "{said:#}");
    assert!(secret["upload"].as_str().unwrap().starts_with("https://127.0.0.1:"), "{said:#}");
    // Once at first, and once for a token that had lost its force.
    assert_eq!((&secret["exchanged"], &secret["again"]), (&json!(2), &json!(true)), "{said:#}");
    assert_eq!(said["ExternalCommand"], json!({"domains": 3, "second": true}), "{said:#}");
    let wrong = said["wrong secret"].as_str().unwrap();
    assert!(wrong.contains("401") && wrong.contains("no such client has this secret"), "{said:#}");
    let unset = said["nothing set"].as_str().unwrap();
    assert!(unset.contains("set admin.authType to ClientSecret or ExternalCommand"), "{said:#}");

    // By the environment alone, as a user's shell has it.
    let mut run = server.pyflyte(&["run", "--remote", "--wait", "--poll-interval", "1", "values.py", "empty"]);
    let ran = Ran::of(
        run.env("FLYTE_PLATFORM_INSECURE", "false")
            .env("FLYTE_PLATFORM_CA_CERT_FILE_PATH", path("ca.crt"))
            .env("FLYTE_CREDENTIALS_AUTH_MODE", "ClientSecret")
            .env("FLYTE_CREDENTIALS_CLIENT_ID", "ci")
            .env("FLYTE_CREDENTIALS_CLIENT_SECRET", &ci)
            .output()
            .unwrap(),
    )
    .exits(0);
    let all = format!("{}{}", ran.out, ran.err);
    assert!(all.contains("/console/projects/flytesnacks/domains/development/executions/"), "{all}");
}
