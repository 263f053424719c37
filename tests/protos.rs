//! What `proto/flyteidl` declares is what flyteidl declares: the same names, numbers and types. A field that is wrong here
//! is wrong on the wire, where nobody says so.
//!
//! `tests/fixtures/flyteidl_descriptors.py` makes the descriptors from the published package.

use std::collections::BTreeMap;
use std::path::Path;

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};

/// Everything that is declared, one fact a line: its full name, and what there is to say of it.
type Facts = BTreeMap<String, String>;

fn facts(files: &FileDescriptorSet) -> Facts {
    let mut facts = Facts::new();
    for file in files.file.iter().filter(|file| file.package().starts_with("flyteidl.")) {
        let package = file.package();
        file.message_type.iter().for_each(|message| of_message(package, message, &mut facts));
        file.enum_type.iter().for_each(|of| of_enum(package, of, &mut facts));
        for service in &file.service {
            for rpc in &service.method {
                let (streamed, streams) = (rpc.client_streaming(), rpc.server_streaming());
                let words = format!("rpc {} -> {} ({streamed}, {streams})", rpc.input_type(), rpc.output_type());
                facts.insert(format!("{package}.{}/{}", service.name(), rpc.name()), words);
            }
        }
    }
    facts
}

fn of_message(outer: &str, message: &DescriptorProto, facts: &mut Facts) {
    let name = format!("{outer}.{}", message.name());
    facts.insert(name.clone(), "message".to_owned());
    for field in &message.field {
        let words = of_field(field, message);
        facts.insert(format!("{name}.{}", field.name()), words);
    }
    message.nested_type.iter().for_each(|inner| of_message(&name, inner, facts));
    message.enum_type.iter().for_each(|of| of_enum(&name, of, facts));
}

fn of_field(field: &FieldDescriptorProto, message: &DescriptorProto) -> String {
    let kind = match field.r#type() {
        Type::Message | Type::Enum => field.type_name().to_owned(),
        plain => plain.as_str_name().to_owned(),
    };
    let repeated = if field.label() == Label::Repeated { "repeated " } else { "" };
    let oneof = field.oneof_index.and_then(|at| message.oneof_decl.get(usize::try_from(at).ok()?));
    let oneof = oneof.map(|oneof| format!(" of {}", oneof.name())).unwrap_or_default();
    format!("{repeated}{kind} = {}{oneof}", field.number())
}

fn of_enum(outer: &str, of: &EnumDescriptorProto, facts: &mut Facts) {
    let name = format!("{outer}.{}", of.name());
    facts.insert(name.clone(), "enum".to_owned());
    for value in &of.value {
        facts.insert(format!("{name}.{}", value.name()), format!("= {}", value.number()));
    }
}

fn published() -> Facts {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/flyteidl-1.16.8.fds.bin");
    facts(&FileDescriptorSet::decode(std::fs::read(file).unwrap().as_slice()).unwrap())
}

fn ours() -> Facts {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let mut files = Vec::new();
    protos(&home.join("flyteidl"), &mut files);
    assert!(files.len() > 10, "the walk must have found the declarations");
    facts(&protox::compile(files, [home]).unwrap())
}

fn protos(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            protos(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
}

#[test]
fn what_is_declared_is_what_flyteidl_declares() {
    let (published, ours) = (published(), ours());
    assert!(published.len() > 1500 && ours.len() > 1000, "{} and {}", published.len(), ours.len());
    let differing = ours.iter().filter(|(name, words)| published.get(*name) != Some(words));
    let differing: Vec<String> = differing
        .map(|(name, words)| {
            let due = published.get(name).map_or("nothing", String::as_str);
            format!("{name}: {words}; flyteidl has {due}")
        })
        .collect();
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

/// Fields that are left out of the messages here, because nothing here could honour them. Whoever registers something
/// gets it back without them.
const LEFT_OUT: [&str; 6] = [
    "flyteidl.admin.ExecutionMetadata.artifact_ids",
    "flyteidl.admin.NodeExecutionGetDataResponse.dynamic_workflow",
    "flyteidl.admin.TaskExecutionClosure.log_context",
    "flyteidl.admin.TaskNodeMetadata.catalog_key",
    "flyteidl.event.ExternalResourceInfo.log_context",
    "flyteidl.event.TaskExecutionMetadata.resource_pool_info",
];

/// Of a message that stands here, every other field: one that is left out by mistake is lost without a word.
#[test]
fn what_is_left_out_is_known() {
    let (published, ours) = (published(), ours());
    let missing = published.keys().filter(|name| !ours.contains_key(*name) && !name.contains('/'));
    let of_ours = |name: &&String| name.rsplit_once('.').is_some_and(|(of, _)| ours.contains_key(of));
    let missing: Vec<&str> = missing.filter(of_ours).map(String::as_str).collect();
    assert_eq!(missing, LEFT_OUT);
}

/// The test would find something.
#[test]
fn a_wrong_number_is_seen() {
    let mut ours = ours();
    let field = ours.get_mut("flyteidl.core.Literal.collection").unwrap();
    let wrong = field.replace("= 2", "= 3");
    assert_ne!(*field, wrong);
    *field = wrong;
    let published = published();
    let differing: Vec<&String> = ours.keys().filter(|name| published.get(*name) != ours.get(*name)).collect();
    assert_eq!(differing, ["flyteidl.core.Literal.collection"]);
}
