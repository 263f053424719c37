//! Compiles the protobuf messages under `proto/`, with no `protoc` needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = [
        "proto/flyteidl/core/errors.proto",
        "proto/flyteidl/core/interface.proto",
        "proto/flyteidl/core/literals.proto",
        "proto/batchmap/task.proto",
    ];
    let descriptors = protox::compile(files, ["proto"])?;
    prost_build::Config::new()
        // One order for every map, so that equal messages are equal bytes.
        .btree_map(["."])
        .compile_fds(descriptors)?;
    Ok(())
}
