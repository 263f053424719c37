//! What a launch plan and an execution say of how something is run: what is taken from them, what one leaves to the other,
//! and what cannot be had. Schedules count only while a plan is active, so they are looked at when it becomes so.

use super::refuse::{identity, security};
use crate::idl::admin::execution_spec::NotificationOverrides;
use crate::idl::admin::{AuthRole, ExecutionSpec, LaunchPlanSpec, Notification, notification};
use crate::idl::core::parameter::Behavior;
use crate::idl::core::{
    ExecutionEnvAssignment, Parameter, ParameterMap, QualityOfService, SecurityContext, TypedInterface,
};
use crate::map::spec::{Fault, Faults};

/// Checks a launch plan when it is registered.
///
/// # Errors
/// Every field that asks for something that nobody here does.
pub fn check_launch_plan(spec: &LaunchPlanSpec) -> Result<(), Faults> {
    let mut faults = Faults::default();
    for (name, parameter) in spec.default_inputs.iter().flat_map(|inputs| &inputs.parameters) {
        if let Some(Behavior::ArtifactQuery(_) | Behavior::ArtifactId(_)) = parameter.behavior {
            let fix = "give it a default of its own, or none";
            let field = format!("default_inputs.{name}");
            faults.0.push(Fault::missing(field, "comes from an artifact, and batchmap keeps no artifacts", fix));
        }
    }
    let metadata = spec.entity_metadata.clone().unwrap_or_default();
    notifications("entity_metadata.notifications", &metadata.notifications, &mut faults);
    if metadata.launch_conditions.is_some() {
        let fix = "create the executions from outside";
        faults.0.push(Fault::missing("entity_metadata.launch_conditions", "batchmap reacts to no artifacts", fix));
    }
    identity("role", &spec.role, &mut faults);
    let auth = spec.auth.clone().unwrap_or_default();
    let auth = AuthRole {
        assumable_iam_role: auth.assumable_iam_role,
        kubernetes_service_account: auth.kubernetes_service_account,
    };
    roles("auth", Some(&auth), &mut faults);
    let terms = Terms {
        auth_role: spec.auth_role.as_ref(),
        security_context: spec.security_context.as_ref(),
        quality_of_service: spec.quality_of_service.as_ref(),
        environments: &spec.execution_env_assignments,
        pool: spec.cluster_assignment.as_ref().map_or("", |cluster| &cluster.cluster_pool_name),
    };
    terms.check(&mut faults);
    if let Some(policy) = &spec.concurrency_policy {
        let fix = "leave it out, and create one execution after the other";
        let field = "concurrency_policy.max";
        faults.0.push(Fault::text(field, &policy.max.to_string(), "executions do not wait for one another", fix));
    }
    faults.or(())
}

/// Checks that a launch plan may be made the active one of its name.
///
/// # Errors
/// When it has a schedule.
pub fn check_activation(spec: &LaunchPlanSpec) -> Result<(), Faults> {
    let mut faults = Faults::default();
    let schedule = spec.entity_metadata.as_ref().and_then(|metadata| metadata.schedule.as_ref());
    if schedule.is_some_and(|schedule| schedule.schedule_expression.is_some()) {
        let fix =
            "run `pyflyte run remote-launchplan` from cron or from EventBridge; a plan that is not active can be run";
        faults.0.push(Fault::missing("entity_metadata.schedule", "batchmap follows no schedules", fix));
    }
    faults.or(())
}

/// Checks what an execution says when it is created.
///
/// # Errors
/// Every field that asks for something that nobody here does.
pub fn check_execution(spec: &ExecutionSpec) -> Result<(), Faults> {
    let mut faults = Faults::default();
    if let Some(NotificationOverrides::Notifications(list)) = &spec.notification_overrides {
        notifications("spec.notifications", &list.notifications, &mut faults);
    }
    let terms = Terms {
        auth_role: spec.auth_role.as_ref(),
        security_context: spec.security_context.as_ref(),
        quality_of_service: spec.quality_of_service.as_ref(),
        environments: &spec.execution_env_assignments,
        pool: spec.cluster_assignment.as_ref().map_or("", |cluster| &cluster.cluster_pool_name),
    };
    terms.check(&mut faults);
    let label = spec.execution_cluster_label.as_ref().map_or("", |label| &label.value);
    cluster("spec.execution_cluster_label", label, &mut faults);
    faults.or(())
}

/// What launch plans and executions both say.
struct Terms<'a> {
    auth_role: Option<&'a AuthRole>,
    security_context: Option<&'a SecurityContext>,
    quality_of_service: Option<&'a QualityOfService>,
    environments: &'a [ExecutionEnvAssignment],
    pool: &'a str,
}

impl Terms<'_> {
    fn check(&self, faults: &mut Faults) {
        roles("auth_role", self.auth_role, faults);
        if let Some(context) = self.security_context {
            security("security_context", context, faults);
            if let Some(secret) = context.secrets.first() {
                let fix = "ask for it in the task: @task(secret_requests=[...])";
                let field = "security_context.secrets[0]";
                faults.0.push(Fault::text(field, &secret.key, "a secret is a task's", fix));
            }
        }
        if let Some(quality) = self.quality_of_service {
            quality_of_service("quality_of_service", quality, faults);
        }
        if let Some(environment) = self.environments.first() {
            let name = environment.execution_env.as_ref().map_or("", |of| &of.name);
            let fix = "leave it out: every child has a container of its own";
            let field = "execution_env_assignments[0]";
            faults.0.push(Fault::text(field, name, "batchmap keeps no environments alive", fix));
        }
        cluster("cluster_assignment.cluster_pool_name", self.pool, faults);
    }
}

/// Refuses a tier or a budget for queueing; a job waits in its queue for as long as AWS Batch lets it.
pub(in crate::map) fn quality_of_service(field: &str, quality: &QualityOfService, faults: &mut Faults) {
    use crate::idl::core::quality_of_service::{Designation, Tier};
    let fix = "leave it out; limits for jobs that wait are set in the queue";
    match &quality.designation {
        Some(Designation::Tier(tier)) if *tier != i32::from(Tier::Undefined) => {
            let name = Tier::try_from(*tier).map_or("unknown", |tier| tier.as_str_name());
            faults.0.push(Fault::text(format!("{field}.tier"), name, "batchmap knows no tiers", fix));
        }
        Some(Designation::Spec(spec)) if spec.queueing_budget.is_some() => {
            let field = format!("{field}.spec.queueing_budget");
            faults.0.push(Fault::missing(field, "batchmap gives up on no job for waiting", fix));
        }
        _ => {}
    }
}

fn roles(field: &str, role: Option<&AuthRole>, faults: &mut Faults) {
    let role = role.cloned().unwrap_or_default();
    identity(&format!("{field}.assumable_iam_role"), &role.assumable_iam_role, faults);
    identity(&format!("{field}.kubernetes_service_account"), &role.kubernetes_service_account, faults);
}

fn cluster(field: &str, value: &str, faults: &mut Faults) {
    if !value.is_empty() {
        let fix = "leave it out: there is one cluster, the queue that batchmap is set up with";
        faults.0.push(Fault::text(field, value, "is no cluster of batchmap's", fix));
    }
}

fn notifications(field: &str, notifications: &[Notification], faults: &mut Faults) {
    let Some(first) = notifications.first() else { return };
    let kind = match &first.r#type {
        Some(notification::Type::Email(_)) => "email",
        Some(notification::Type::PagerDuty(_)) => "pager_duty",
        Some(notification::Type::Slack(_)) => "slack",
        None => "",
    };
    let fix = "leave them out, and let whatever watches AWS Batch or `batchmap serve`'s metrics tell people";
    faults.0.push(Fault::text(format!("{field}[0]"), kind, "batchmap notifies nobody", fix));
}

/// The inputs that an execution of a launch plan may give: those that are not fixed, each with its default or required.
pub fn expected(spec: &LaunchPlanSpec, interface: &TypedInterface) -> ParameterMap {
    let fixed = |name: &String| spec.fixed_inputs.as_ref().is_some_and(|fixed| fixed.literals.contains_key(name));
    let default = |name: &String| spec.default_inputs.as_ref()?.parameters.get(name)?.behavior.clone();
    let inputs = interface.inputs.iter().flat_map(|inputs| &inputs.variables).filter(|(name, _)| !fixed(name));
    let parameters = inputs.map(|(name, variable)| {
        let behavior = default(name).or(Some(Behavior::Required(true)));
        (name.clone(), Parameter { var: Some(variable.clone()), behavior })
    });
    ParameterMap { parameters: parameters.collect() }
}

/// Fills in what an execution leaves to its launch plan.
pub fn inherit(spec: &mut ExecutionSpec, plan: &LaunchPlanSpec) {
    if spec.max_parallelism == 0 {
        spec.max_parallelism = plan.max_parallelism;
    }
    spec.interruptible = spec.interruptible.or(plan.interruptible);
    spec.overwrite_cache |= plan.overwrite_cache;
    let given = spec.raw_output_data_config.take().filter(|config| !config.output_location_prefix.is_empty());
    spec.raw_output_data_config = given.or_else(|| plan.raw_output_data_config.clone());
    let mut labels = plan.labels.clone().unwrap_or_default();
    labels.values.extend(spec.labels.take().unwrap_or_default().values);
    spec.labels = Some(labels);
    let mut annotations = plan.annotations.clone().unwrap_or_default();
    annotations.values.extend(spec.annotations.take().unwrap_or_default().values);
    spec.annotations = Some(annotations);
    // The later of two of one name counts.
    let mut envs = plan.envs.clone().unwrap_or_default();
    envs.values.extend(spec.envs.take().unwrap_or_default().values);
    spec.envs = Some(envs);
}
