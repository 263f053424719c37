//! Real tasks that flytekit has serialised, as batchmap's own: every fixture, and what is refused.

use std::collections::BTreeMap;
use std::time::Duration;

use batchmap::idl::core::node::Target;
use batchmap::idl::core::{LiteralMap, Node, TaskTemplate};
use batchmap::idl::make;
use batchmap::idl::types::type_name;
use batchmap::map::flyte::{self, Options, Refused, Shape};
use batchmap::map::resources::Platform;
use batchmap::map::task::{Entrypoint, Flyte, FlyteKind, MapTask, MappedSource, MinSuccess, Runner, Source};

use crate::flytekit::{Fixture, fixture};

fn options() -> Options {
    Options {
        project: "proj".to_owned(),
        domain: "development".to_owned(),
        execution: "ex".to_owned(),
        envs: BTreeMap::from([("FOO".to_owned(), "over".to_owned())]),
        ..Options::default()
    }
}

trait Convert {
    fn convert(&self) -> Result<MapTask, Refused>;
    fn task(&self) -> MapTask;
    fn refused(&self) -> String;
}

impl Convert for Fixture {
    fn convert(&self) -> Result<MapTask, Refused> {
        flyte::map_task(&self.template, &self.node, &self.inputs, &options())
    }

    #[track_caller]
    fn task(&self) -> MapTask {
        flyte::check_task(&self.template).unwrap();
        flyte::check_node(&self.template, &self.node).unwrap();
        self.convert().unwrap()
    }

    #[track_caller]
    fn refused(&self) -> String {
        self.convert().unwrap_err().to_string()
    }
}

fn kind(task: &MapTask) -> FlyteKind {
    match &task.entrypoint {
        Entrypoint::Flyte(Flyte { kind, runner: Runner::Worker, .. }) => *kind,
        other => panic!("{other:?}"),
    }
}

fn length(task: &MapTask, name: &str) -> usize {
    match &task.inputs[name].source {
        Source::Mapped(MappedSource::Literals(list)) => list.len(),
        other => panic!("{name} is {other:?}"),
    }
}

/// Every fixture: its kind, whether it is a map, and in words its inputs, its outputs and what of its policy is unusual.
const ALL: [(&str, FlyteKind, Shape, &str, &str); 25] = {
    use FlyteKind::{Container, Map, Single};
    use Shape::List;
    [
        ("batch_map", Single, List, "a: 3 x integer", "o0: string"),
        ("batch_map_legacy", Single, List, "a: 3 x integer", "o0: string"),
        ("batch_single", Single, Shape::Single, "a: integer", "o0: string"),
        ("checkpoint", Map, List, "n: 2 x integer", "o0: integer"),
        ("conc_ratio", Map, List, "a: 8 x integer", "o0: string?"),
        ("conc_ratio_legacy", Map, List, "a: 8 x integer", "o0: string?"),
        ("container", Container, Shape::Single, "x: integer", "y: integer"),
        ("dataclass", Map, List, "p: 2 x struct, scale: float", "o0: struct"),
        ("deck", Map, List, "", "o0: string"),
        ("deck_legacy", Map, List, "", "o0: string"),
        ("detect_anomalies", Map, List, "data_point: 10 x integer", "o0: boolean"),
        ("detect_anomalies_legacy", Map, List, "data_point: 10 x integer", "o0: boolean"),
        ("env", Map, List, "a: 2 x integer", "o0: string"),
        ("fail_recoverable", Map, List, "a: 2 x integer", "o0: integer"),
        ("fail_user", Map, List, "a: 2 x integer", "o0: integer"),
        ("file", Map, List, "", "o0: file"),
        ("none", Map, List, "a: 2 x integer", ""),
        ("partial_const", Map, List, "price: float, quantity: 5 x integer, shipping: float", "o0: float"),
        ("partial_literal", Map, List, "price: float, quantity: 5 x integer, shipping: float", "o0: float"),
        ("partial_literal_legacy", Map, List, "price: float, quantity: 5 x integer, shipping: float", "o0: float"),
        ("partial_taskout", Map, List, "price: float, quantity: 5 x integer, shipping: float", "o0: float"),
        ("resources", Map, List, "a: 3 x integer", "o0: string"),
        ("two_outputs", Single, Shape::Single, "a: integer", "label: string, total: integer"),
        ("zip", Map, List, "price: 3 x float, quantity: 3 x integer, shipping: 3 x float", "o0: float"),
        ("zip_legacy", Map, List, "price: 3 x float, quantity: 3 x integer, shipping: 3 x float", "o0: float"),
    ]
};

#[test]
fn every_fixture_is_converted() {
    for (name, kind_due, shape, inputs, outputs) in ALL {
        let fixture = fixture(name);
        flyte::check_task(&fixture.template).unwrap_or_else(|faults| panic!("{name}: {faults}"));
        flyte::check_node(&fixture.template, &fixture.node).unwrap_or_else(|faults| panic!("{name}: {faults}"));
        assert_eq!(flyte::shape(&fixture.template, &fixture.node), shape, "{name}");
        if inputs.is_empty() {
            // Serialised without inputs.
            assert!(fixture.refused().contains("has no value"), "{name}");
            continue;
        }
        let task = fixture.convert().unwrap_or_else(|refused| panic!("{name}: {refused}"));
        assert_eq!(kind(&task), kind_due, "{name}");
        let described: Vec<String> = task
            .inputs
            .iter()
            .map(|(name, input)| {
                let literal_type = type_name(input.literal_type.as_ref().unwrap());
                match &input.source {
                    Source::Mapped(_) => format!("{name}: {} x {literal_type}", length(&task, name)),
                    Source::Bound(_) => format!("{name}: {literal_type}"),
                }
            })
            .collect();
        assert_eq!(described.join(", "), inputs, "{name}");
        let described: Vec<String> =
            task.outputs.iter().map(|(name, literal_type)| format!("{name}: {}", type_name(literal_type))).collect();
        assert_eq!(described.join(", "), outputs, "{name}");
        assert!(task.name.starts_with("proj/development/"), "{}", task.name);
        assert_eq!(task.environment["FLYTE_INTERNAL_EXECUTION_ID"], "ex");
        assert_eq!(task.environment["FOO"], "over", "the execution's variables come over the task's");
    }
}

#[test]
fn a_command_keeps_its_empty_argument_and_its_templates() {
    let task = fixture("detect_anomalies").task();
    let vars = task.command.iter().position(|word| word == "vars").unwrap();
    assert_eq!(task.command[vars + 1], "");
    assert!(task.command.contains(&"{{.input}}".to_owned()));
    assert_eq!(task.image.as_deref(), Some("ghcr.io/acme/flyte-batch:v1"));
}

#[test]
fn metadata_and_overrides_become_the_policy() {
    let task = fixture("resources").task();
    let policy = &task.policy;
    assert_eq!((policy.retries, policy.timeout), (1, Some(Duration::from_secs(300))));
    assert!(policy.interruptible && policy.retry_timeouts);
    let cache = policy.cache.as_ref().unwrap();
    assert_eq!((cache.version.as_str(), cache.overwrite, cache.by_command), ("0.1", false, false));
    // The larger of requests and limits.
    assert_eq!((task.resources.cpu_milli, task.resources.memory_mib), (1000, 500));
}

#[test]
fn an_execution_overrules_tasks() {
    let fixture = fixture("resources");
    let options = Options {
        interruptible: Some(false),
        overwrite_cache: true,
        max_parallelism: 7,
        raw_output_prefix: Some("s3://files/raw/".to_owned()),
        labels: BTreeMap::from([("team".to_owned(), "a".to_owned())]),
        ..options()
    };
    let task = flyte::map_task(&fixture.template, &fixture.node, &fixture.inputs, &options).unwrap();
    assert!(!task.policy.interruptible);
    assert!(task.policy.cache.as_ref().unwrap().overwrite);
    assert!(!task.policy.cache.as_ref().unwrap().serialize);
    assert_eq!(task.policy.concurrency.map(u32::from), Some(7));
    assert_eq!(task.batch.tags["team"], "a");
    let Entrypoint::Flyte(flyte) = &task.entrypoint else { panic!("{:?}", task.entrypoint) };
    assert_eq!(flyte.raw_output_prefix.as_deref(), Some("s3://files/raw"));
    let wrong = Options { raw_output_prefix: Some("/tmp/raw".to_owned()), ..options };
    let refused = flyte::map_task(&fixture.template, &fixture.node, &fixture.inputs, &wrong).unwrap_err();
    assert!(refused.to_string().contains("no address in S3"), "{refused}");
}

#[test]
fn parallelism_and_ratios_of_both_kinds_of_map() {
    for name in ["conc_ratio", "conc_ratio_legacy"] {
        let task = fixture(name).task();
        assert_eq!(task.policy.concurrency.map(u32::from), Some(3), "{name}");
        assert_eq!(task.policy.min_success.of(8), 6, "{name}");
    }
    let mut counted = fixture("conc_ratio");
    let Some(Target::ArrayNode(array)) = &mut counted.node.target else { panic!("no array") };
    use batchmap::idl::core::array_node::{ParallelismOption, SuccessCriteria};
    array.success_criteria = Some(SuccessCriteria::MinSuccesses(2));
    array.parallelism_option = Some(ParallelismOption::Parallelism(0));
    array.run_all_sub_nodes = true;
    let task = counted.task();
    assert_eq!(task.policy.min_success, MinSuccess::Count(2));
    assert!(task.policy.concurrency.is_none() && task.policy.run_all_sub_nodes);
    let Some(Target::ArrayNode(array)) = &mut counted.node.target else { panic!("no array") };
    array.success_criteria = Some(SuccessCriteria::MinSuccessRatio(0.8));
    // A float of 32 bits, whose own shortest decimal counts.
    assert_eq!(counted.task().policy.min_success.of(10), 8);
    let Some(Target::ArrayNode(array)) = &mut counted.node.target else { panic!("no array") };
    array.success_criteria = Some(SuccessCriteria::MinSuccessRatio(f32::NAN));
    assert!(counted.refused().contains("array_node.min_success_ratio is NaN"), "{}", counted.refused());
}

#[test]
fn batch_options_are_honoured_and_flytekits_slips_put_right() {
    for name in ["batch_single", "batch_map", "batch_map_legacy"] {
        let task = fixture(name).task();
        assert!(task.command.contains(&"{{.outputPrefix}}".to_owned()), "{name}: {:?}", task.command);
        if name == "batch_map_legacy" {
            // Flytekit itself loses them.
            continue;
        }
        assert_eq!(task.batch.platform, Some(Platform::Ec2));
        assert_eq!((task.batch.propagate_tags, task.batch.scheduling_priority), (true, Some(1)));
        assert_eq!(task.batch.tags, BTreeMap::from([("hello".to_owned(), "world".to_owned())]));
        assert_eq!((task.resources.cpu_milli, task.resources.memory_mib), (1000, 1024));
    }
}

#[test]
fn a_raw_container_has_its_directories() {
    let task = fixture("container").task();
    assert_eq!((task.input_dir.as_deref(), task.output_dir.as_deref()), (Some("/var/inputs"), Some("/var/outputs")));
    assert_eq!(task.command[..2], ["sh", "-c"]);
    let mut wrong = fixture("container");
    let container = container(&mut wrong.template);
    container.command[2] = "echo {{.inputs.nope}} {{.Names}}".to_owned();
    assert!(wrong.refused().contains("nope is no input; name one of x"), "{}", wrong.refused());
}

fn container(template: &mut TaskTemplate) -> &mut batchmap::idl::core::Container {
    match &mut template.target {
        Some(batchmap::idl::core::task_template::Target::Container(container)) => container,
        other => panic!("{other:?}"),
    }
}

#[test]
fn unequal_lists_are_the_users_fault_by_flytes_code() {
    let mut fixture = fixture("zip");
    fixture.inputs.literals.insert("price".to_owned(), make::collection(vec![make::float(1.0)]));
    let refused = fixture.convert().unwrap_err();
    assert_eq!(refused.code, "InvalidArrayLength");
    assert!(refused.to_string().contains("price has 1, quantity has 3, shipping has 3"), "{refused}");
}

#[test]
fn an_empty_list_is_a_map_of_nothing() {
    let mut fixture = fixture("detect_anomalies");
    fixture.inputs.literals.insert("data_point".to_owned(), make::collection(vec![]));
    assert_eq!(length(&fixture.task(), "data_point"), 0);
}

#[test]
fn attributes_of_dataclasses_go_where_any_type_is_wanted() {
    let packed = |bytes: &[u8]| make::binary(bytes.to_vec(), "msgpack");
    let mut fixture = fixture("zip");
    for name in ["quantity", "price", "shipping"] {
        fixture.inputs.literals.insert(name.to_owned(), packed(&[0x92, 1, 2]));
    }
    assert_eq!(length(&fixture.task(), "price"), 2);
    fixture.inputs.literals.insert("price".to_owned(), packed(&[3]));
    assert!(fixture.refused().contains("inputs.price"), "{}", fixture.refused());
}

#[test]
fn a_bound_input_may_hold_a_list() {
    let mut fixture = fixture("zip");
    let Some(Target::ArrayNode(array)) = &mut fixture.node.target else { panic!("no array") };
    array.bound_inputs.push("price".to_owned());
    fixture.inputs.literals.insert("price".to_owned(), make::collection(vec![make::float(1.0)]));
    let task = fixture.task();
    assert!(matches!(task.inputs["price"].source, Source::Bound(_)));
    assert_eq!(type_name(task.inputs["price"].literal_type.as_ref().unwrap()), "[float]");
}

#[test]
fn inputs_that_do_not_fit_are_named() {
    let mut fixture = fixture("zip");
    fixture.inputs.literals.insert("extra".to_owned(), make::integer(1));
    fixture.inputs.literals.insert("quantity".to_owned(), make::collection(vec![make::integer(1), make::string("x")]));
    fixture.inputs.literals.insert("price".to_owned(), make::float(1.0));
    fixture.inputs.literals.remove("shipping");
    let message = fixture.refused();
    for part in [
        "inputs.extra: is no input",
        "inputs.quantity[1] is \"x\": it is a string; expected integer",
        "inputs.price is 1.0: is no list",
        "inputs.shipping: has no value",
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }
}

#[test]
fn what_batch_has_no_words_for_is_refused_at_registration() {
    use batchmap::idl::core::resources::ResourceEntry;
    use batchmap::idl::core::{
        ExtendedResources, GpuAccelerator, Resources, Secret, SecurityContext, SharedMemory, TaskMetadata,
    };
    type Change = fn(&mut TaskTemplate);
    fn asked(template: &mut TaskTemplate, name: i32, value: &str) {
        let entry = ResourceEntry { name, value: value.to_owned() };
        container(template).resources = Some(Resources { requests: vec![entry], limits: vec![] });
    }
    fn metadata(template: &mut TaskTemplate) -> &mut TaskMetadata {
        template.metadata.get_or_insert_default()
    }
    let changes: [(Change, &str); 15] = [
        (|t| t.r#type = "spark".to_owned(), "type is spark"),
        (|t| t.target = None, "target: the task has no container"),
        (|t| metadata(t).is_eager = true, "metadata.is_eager"),
        (|t| metadata(t).pod_template_name = "p".to_owned(), "metadata.pod_template_name is p"),
        (|t| asked(t, 1, "-1"), "container.resources.requests.cpu is \"-1\""),
        (|t| asked(t, 3, "lots"), "container.resources.requests.memory is \"lots\": is no quantity"),
        (|t| asked(t, 2, "0.5"), "container.resources.requests.gpu"),
        (|t| asked(t, 5, "100Gi"), "container.resources.requests.ephemeral_storage"),
        (
            |t| container(t).set_architecture(batchmap::idl::core::container::Architecture::ArmV6),
            "container.architecture is ARM_V6",
        ),
        (
            |t| {
                let secret = Secret { group: "g".to_owned(), key: "k".to_owned(), ..Secret::default() };
                t.security_context = Some(SecurityContext { secrets: vec![secret], ..SecurityContext::default() });
            },
            "security_context.secrets[0] is g/k",
        ),
        (
            |t| {
                let gpu_accelerator = Some(GpuAccelerator { device: "nvidia-l4".to_owned(), ..Default::default() });
                t.extended_resources = Some(ExtendedResources { gpu_accelerator, ..ExtendedResources::default() });
            },
            "extended_resources.gpu_accelerator is nvidia-l4",
        ),
        (
            |t| {
                let shared_memory = Some(SharedMemory { mount_path: "/mnt".to_owned(), ..SharedMemory::default() });
                t.extended_resources = Some(ExtendedResources { shared_memory, ..ExtendedResources::default() });
            },
            "extended_resources.shared_memory.mount_path is /mnt",
        ),
        (
            |t| {
                metadata(t).discoverable = true;
            },
            "metadata.discovery_version",
        ),
        (|t| container(t).image = "a b".to_owned(), "container.image is a b"),
        (
            |t| {
                container(t).args.clear();
            },
            "container.command: is empty",
        ),
    ];
    for (change, expected) in changes {
        let mut template = fixture("detect_anomalies").template;
        change(&mut template);
        let message = flyte::check_task(&template).unwrap_err().to_string();
        assert!(message.contains(expected), "{expected} in {message}");
        assert!(message.contains("; "), "a fix in {message}");
    }
}

#[test]
fn a_secret_is_a_variable_that_batch_fills_in_from_its_arn() {
    use batchmap::idl::core::secret::MountType;
    use batchmap::idl::core::{Secret, SecurityContext};
    const TOKEN: &str = "arn:aws:secretsmanager:eu-central-1:000000000000:secret:team/token-AbCdEf";
    const PARAMETER: &str = "arn:aws:ssm:eu-central-1:000000000000:parameter/name";
    let with = |secrets: Vec<Secret>| {
        let mut fixture = fixture("detect_anomalies");
        fixture.template.security_context = Some(SecurityContext { secrets, ..SecurityContext::default() });
        fixture
    };
    let named =
        |key: &str, env_var: &str| Secret { key: key.to_owned(), env_var: env_var.to_owned(), ..Secret::default() };
    let grouped = Secret { group: "db".to_owned(), group_version: "v1".to_owned(), ..named(PARAMETER, "") };
    let secrets = with(vec![named(TOKEN, "TOKEN"), grouped]).task().batch.secrets;
    // Where the task gives no name, it is the one that flytekit looks for.
    let looked_for = format!("_FSEC_DB_V1_{}", PARAMETER.to_uppercase());
    let expected = [("TOKEN".to_owned(), TOKEN.to_owned()), (looked_for, PARAMETER.to_owned())];
    assert_eq!(secrets, BTreeMap::from(expected));
    let mut file = named(TOKEN, "TOKEN");
    file.set_mount_requirement(MountType::File);
    for (secrets, field) in [
        (vec![file], "security_context.secrets[0].mount_requirement"),
        (vec![named(TOKEN, "T"), named(PARAMETER, "T")], "security_context.secrets[1].env_var is T"),
        (vec![named(TOKEN, "AWS_BATCH_X")], "security_context.secrets[0].env_var is AWS_BATCH_X"),
        (vec![named("arn:aws:s3:::bucket", "")], "security_context.secrets[0] is "),
        (vec![named("arn:aws:ssm:eu-central-1:000000000000:parameter/", "")], "security_context.secrets[0] is "),
    ] {
        let message = with(secrets).refused();
        assert!(message.contains(field) && message.contains("; "), "{field} in {message}");
    }
}

#[test]
fn a_node_that_is_no_task_is_refused_by_its_id() {
    let whole = fixture("detect_anomalies");
    let mut node = whole.node.clone();
    let Some(Target::ArrayNode(array)) = &mut node.target else { panic!("no array") };
    array.node.as_mut().unwrap().target = Some(Target::WorkflowNode(Default::default()));
    let message = flyte::check_node(&whole.template, &node).unwrap_err().to_string();
    assert!(message.contains("node n0: array_node.node: maps a launch plan or a workflow; map a task"), "{message}");
    // A map's task run by itself has nobody to put its list together.
    let alone = Node { target: whole_task(&whole.node), ..whole.node.clone() };
    let message = flyte::check_node(&whole.template, &alone).unwrap_err().to_string();
    assert!(message.contains("made for an ArrayNode"), "{message}");
}

fn whole_task(node: &Node) -> Option<Target> {
    match &node.target {
        Some(Target::ArrayNode(array)) => array.node.as_ref()?.target.clone(),
        _ => None,
    }
}

#[test]
fn a_pod_of_one_container_is_a_container() {
    use batchmap::idl::core::{K8sPod, task_template};
    use prost_types::value::Kind;
    fn value(json: &serde_json::Value) -> prost_types::Value {
        use serde_json::Value;
        let kind = match json {
            Value::Null => Kind::NullValue(0),
            Value::Bool(flag) => Kind::BoolValue(*flag),
            Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap()),
            Value::String(text) => Kind::StringValue(text.clone()),
            Value::Array(list) => Kind::ListValue(prost_types::ListValue { values: list.iter().map(value).collect() }),
            Value::Object(_) => Kind::StructValue(object(json)),
        };
        prost_types::Value { kind: Some(kind) }
    }
    fn object(json: &serde_json::Value) -> prost_types::Struct {
        let fields = json.as_object().unwrap().iter().map(|(name, field)| (name.clone(), value(field))).collect();
        prost_types::Struct { fields }
    }
    let mut fixture = fixture("detect_anomalies");
    let args = container(&mut fixture.template).args.clone();
    let mut pod = |spec: serde_json::Value| {
        let pod = K8sPod { pod_spec: Some(object(&spec)), ..K8sPod::default() };
        fixture.template.target = Some(task_template::Target::K8sPod(pod));
        fixture.convert()
    };
    let primary = serde_json::json!({
        "name": "primary", "image": "i:1", "args": args, "env": [{"name": "A", "value": "1"}],
        "resources": {"requests": {"cpu": "2", "memory": "1Gi"}}
    });
    let task = pod(serde_json::json!({"containers": [primary]})).unwrap();
    assert_eq!((task.image.as_deref(), task.environment["A"].as_str()), (Some("i:1"), "1"));
    assert_eq!((task.resources.cpu_milli, task.resources.memory_mib), (2000, 1024));
    for (spec, expected) in [
        (serde_json::json!({"containers": [primary, primary]}), "k8s_pod.pod_spec.containers: has 2 containers"),
        (serde_json::json!({"containers": [primary], "volumes": [{"name": "v"}]}), "k8s_pod.pod_spec.volumes"),
    ] {
        let message = pod(spec).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn what_a_single_subtask_gives_is_no_list() {
    let list = LiteralMap { literals: [("o0".to_owned(), make::collection(vec![make::integer(1)]))].into() };
    assert_eq!(flyte::unlisted(list).literals["o0"], make::integer(1));
}
