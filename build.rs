//! Compiles the protobuf messages and services under `proto/`, with no `protoc` needed.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = [
        "proto/flyteidl/core/errors.proto",
        "proto/flyteidl/core/interface.proto",
        "proto/flyteidl/core/literals.proto",
        "proto/flyteidl/event/event.proto",
        "proto/flyteidl/service/admin.proto",
        "proto/flyteidl/service/auth.proto",
        "proto/flyteidl/service/dataproxy.proto",
        "proto/flyteidl/service/identity.proto",
        "proto/flyteidl/service/signal.proto",
        "proto/batchmap/service.proto",
        "proto/batchmap/task.proto",
    ];
    let descriptors = protox::compile(files, ["proto"])?;
    prost_build::Config::new()
        // One order for every map, so that equal messages are equal bytes.
        .btree_map(["."])
        .compile_fds(descriptors.clone())?;
    // The services apart from the messages, which are plain data and know nothing of gRPC.
    let services = PathBuf::from(std::env::var("OUT_DIR")?).join("services");
    std::fs::create_dir_all(&services)?;
    tonic_prost_build::configure()
        .extern_path(".flyteidl", "crate::idl::flyteidl")
        .out_dir(services)
        .compile_fds(descriptors)?;
    Ok(())
}
