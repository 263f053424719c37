//! Compute environments.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::super::api::{
    ComputeResources, CreateComputeEnvironment, DeleteComputeEnvironment, DescribeComputeEnvironments,
    UpdateComputeEnvironment, UpdatePolicy,
};
use super::super::check::check_name;
use super::super::{Model, Refusal, ids};
use super::capacity::capacity;
use super::page::{check_range, chosen, enabled, page, state};
use super::resources::{self, Kind};
use super::{Amount, MAX_PLACES, tags};

/// The resource's kind in ARNs.
pub(super) const ARN: &str = "compute-environment";
const SERVICE_ROLE: &str = "arn:aws:iam::000000000000:role/aws-service-role/batch.amazonaws.com/AWSServiceRoleForBatch";

/// A compute environment. All share the endpoint's slots.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in super::super) struct Environment {
    /// `EC2`, `SPOT`, `FARGATE`, `FARGATE_SPOT` or `ECS_MANAGED_INSTANCES`; an unmanaged one counts as `EC2`.
    pub(in super::super) kind: String,
    /// Whether it takes new children.
    pub(in super::super) enabled: bool,
    /// What its children may have at once; when absent, the endpoint's slots alone bound them.
    pub(in super::super) capacity: Option<Amount>,
    /// What its children that are STARTING or RUNNING have.
    pub(in super::super) used: Amount,
    /// What is only told.
    pub(in super::super) details: Box<Details>,
}

/// What a description tells of an environment beside what the model uses.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(in super::super) struct Details {
    unmanaged: bool,
    unmanaged_vcpus: Option<i64>,
    service_role: Option<String>,
    resources: Option<ComputeResources>,
    update_policy: Option<UpdatePolicy>,
    eks: Option<Value>,
    ecs_settings: Option<Value>,
    context: Option<String>,
    uuid: String,
    /// Deleted, and gone as soon as its last child is.
    deleting: bool,
}

impl Environment {
    /// One of the two that every endpoint starts with. A local process reserves nothing: they give every child one slot,
    /// whatever it asks for.
    pub(super) fn built_in(seed: &str, name: &str, kind: &str, strategy: &str) -> Environment {
        let list = |entry: &str| Some(vec![entry.to_owned()]);
        let resources = ComputeResources {
            kind: Some(kind.to_owned()),
            allocation_strategy: Some(strategy.to_owned()),
            min_vcpus: Some(0),
            instance_types: list("optimal"),
            subnets: list("subnet-local"),
            security_group_ids: list("sg-local"),
            instance_role: Some("ecsInstanceRole".to_owned()),
            ..ComputeResources::default()
        };
        let details = Details {
            resources: Some(resources),
            uuid: ids::uuid(seed, &format!("{ARN}/{name}")),
            ..Details::default()
        };
        Environment {
            kind: kind.to_owned(),
            enabled: true,
            capacity: None,
            used: Amount::default(),
            details: Box::new(details),
        }
    }

    /// Whether it is one of Kubernetes, which takes no jobs here.
    pub(in super::super) fn is_eks(&self) -> bool {
        self.details.eks.is_some()
    }

    /// Whether it is deleted and waits for its last child.
    pub(in super::super) fn is_deleting(&self) -> bool {
        self.details.deleting
    }

    /// The `jobQueueType` of queues it may stand in.
    pub(super) fn queue_type(&self) -> &'static str {
        match self.group() {
            _ if self.is_eks() => "EKS",
            Kind::Ec2 => "ECS",
            Kind::Fargate => "ECS_FARGATE",
            Kind::Managed => "ECS_MANAGED_INSTANCES",
        }
    }

    pub(super) fn group(&self) -> Kind {
        Kind::of(&self.kind).unwrap_or(Kind::Ec2)
    }

    /// Whether its instances have ARM processors, when that is known.
    pub(super) fn is_arm(&self) -> Option<bool> {
        let types = self.details.resources.as_ref()?.instance_types.as_ref()?;
        super::capacity::is_arm(types)
    }

    /// Follows from its resources what it can hold.
    fn measure(&mut self) {
        let details = &self.details;
        self.capacity = match &details.resources {
            _ if details.eks.is_some() => Some(Amount::default()),
            // A built-in one that was never given a maximum.
            Some(resources) if resources.max_vcpus.is_some() => Some(capacity(self.group(), resources)),
            // Whoever makes an unmanaged one brings the instances: here the machine itself.
            _ => None,
        };
    }
}

impl Model {
    pub(super) fn create_environment(&mut self, request: &CreateComputeEnvironment) -> Result<Value, Refusal> {
        let name = &request.compute_environment_name;
        check_name("computeEnvironmentName", name)?;
        if self.environments.contains_key(name) {
            return Err(Refusal(format!("Object already exists: compute environment {name}; choose another name")));
        }
        if self.environments.len() >= MAX_PLACES {
            return Err(Refusal(format!("there may be at most {MAX_PLACES} compute environments; delete one first")));
        }
        tags::check(&request.tags)?;
        let mut environment = self.build_environment(request)?;
        environment.measure();
        self.environments.insert(name.clone(), environment);
        self.set_tags(ARN, name, request.tags.clone());
        Ok(named(name))
    }

    fn build_environment(&self, request: &CreateComputeEnvironment) -> Result<Environment, Refusal> {
        let name = &request.compute_environment_name;
        let enabled = enabled(request.state.as_deref())?;
        let unmanaged = match request.kind.as_str() {
            "MANAGED" => false,
            "UNMANAGED" => true,
            other => return Err(Refusal(format!("type must be MANAGED or UNMANAGED, but was '{other}'"))),
        };
        let resources = request.compute_resources.as_deref();
        let kind = match (unmanaged, resources) {
            (false, None) => {
                return Err(Refusal("computeResources must be given for a MANAGED compute environment".to_owned()));
            }
            (true, Some(_)) => {
                return Err(Refusal(
                    "computeResources must not be given for an UNMANAGED compute environment".to_owned(),
                ));
            }
            (false, Some(resources)) => {
                resources::check(resources, request.eks_configuration.is_some())?;
                resources.kind.clone().unwrap_or_default()
            }
            (true, None) => "EC2".to_owned(),
        };
        check_kind_fields(request, unmanaged)?;
        let details = Details {
            unmanaged,
            unmanaged_vcpus: request.unmanaged_vcpus,
            service_role: request.service_role.clone(),
            resources: request.compute_resources.as_deref().cloned(),
            update_policy: None,
            eks: request.eks_configuration.clone(),
            ecs_settings: request.ecs_settings.clone(),
            context: request.context.clone(),
            uuid: ids::uuid(&self.seed, &format!("{ARN}/{name}/{}", self.now)),
            deleting: false,
        };
        Ok(Environment { kind, enabled, capacity: None, used: Amount::default(), details: Box::new(details) })
    }

    pub(super) fn update_environment(&mut self, request: &UpdateComputeEnvironment) -> Result<Value, Refusal> {
        let name = ids::name_of(ARN, &request.compute_environment);
        let known = self.environments.get(name).filter(|known| !known.is_deleting());
        let mut new = known.cloned().ok_or_else(|| missing(&request.compute_environment))?;
        if let Some(state) = request.state.as_deref() {
            new.enabled = enabled(Some(state))?;
        }
        let details = &mut *new.details;
        if let Some(update) = &request.compute_resources {
            let Some(old) = &details.resources else {
                return Err(Refusal(format!(
                    "computeResources must not be given: compute environment {name} is UNMANAGED"
                )));
            };
            let mut merged = resources::merge(old, update)?;
            // What was made with a fleet's default never had a maximum of its own.
            let unbounded = merged.max_vcpus.is_none();
            if unbounded {
                merged.max_vcpus = Some(i64::from(self.slots));
            }
            resources::check(&merged, details.eks.is_some())?;
            if unbounded {
                merged.max_vcpus = None;
            }
            new.kind = merged.kind.clone().unwrap_or_default();
            details.resources = Some(merged);
        }
        if request.unmanaged_vcpus.is_some() {
            if !details.unmanaged {
                return Err(unmanaged_only());
            }
            check_range("unmanagedvCpus", request.unmanaged_vcpus, 0, i64::from(i32::MAX))?;
            details.unmanaged_vcpus = request.unmanaged_vcpus;
        }
        if let Some(update) = &request.eks_configuration {
            update_eks(details, update)?;
        }
        if let Some(policy) = &request.update_policy {
            check_range("updatePolicy.jobExecutionTimeoutMinutes", policy.job_execution_timeout_minutes, 1, 7200)?;
            details.update_policy = Some(policy.clone());
        }
        for (kept, given) in
            [(&mut details.service_role, &request.service_role), (&mut details.context, &request.context)]
        {
            if given.is_some() {
                kept.clone_from(given);
            }
        }
        if request.ecs_settings.is_some() {
            details.ecs_settings.clone_from(&request.ecs_settings);
        }
        new.measure();
        let answer = named(name);
        self.environments.insert(name.to_owned(), new);
        Ok(answer)
    }

    pub(super) fn delete_environment(&mut self, request: &DeleteComputeEnvironment) -> Result<Value, Refusal> {
        let name = ids::name_of(ARN, &request.compute_environment);
        let users = self.queues.iter().filter(|(_, queue)| queue.environments.iter().any(|used| used == name));
        let users: Vec<&str> = users.map(|(queue, _)| queue.as_str()).collect();
        let Some(environment) = self.environments.get_mut(name) else {
            return Err(missing(&request.compute_environment));
        };
        if environment.enabled {
            return Err(Refusal(format!(
                "Cannot delete, compute environment {name} is ENABLED; set its state to DISABLED first"
            )));
        }
        if !users.is_empty() {
            return Err(Refusal(format!(
                "Cannot delete, found existing JobQueue relationship: compute environment {name} is used by {}; take it \
                 out of them or delete them first",
                users.join(", ")
            )));
        }
        environment.details.deleting = true;
        self.forget_empty_environments();
        Ok(json!({}))
    }

    /// Removes deleted environments whose last child is gone.
    pub(in super::super) fn forget_empty_environments(&mut self) {
        let gone = |environment: &Environment| environment.is_deleting() && environment.used == Amount::default();
        while let Some(name) = self.environments.iter().find(|(_, e)| gone(e)).map(|(name, _)| name.clone()) {
            self.environments.remove(&name);
            self.forget_tags(ARN, &name);
        }
    }

    /// DescribeComputeEnvironments; names that are unknown are left out.
    ///
    /// # Errors
    /// More than 100 names or results asked for, a token that is not ours.
    pub fn describe_compute_environments(&self, request: &DescribeComputeEnvironments) -> Result<Value, Refusal> {
        let all = chosen(&self.environments, "computeEnvironments", &request.compute_environments, ARN)?;
        let (told, next) = page(all.into_iter(), request.max_results, request.next_token.as_deref())?;
        let told: Vec<Value> = told.into_iter().map(|(name, environment)| self.tell(name, environment)).collect();
        let mut answer = json!({ "computeEnvironments": told });
        if let Some(next) = next {
            answer["nextToken"] = json!(next);
        }
        Ok(answer)
    }

    fn tell(&self, name: &str, environment: &Environment) -> Value {
        let details = &environment.details;
        let (status, reason) = match details.deleting {
            true => ("DELETING", "ComputeEnvironment waits for its last job"),
            false => ("VALID", "ComputeEnvironment Healthy"),
        };
        let mut fields = json!({
            "computeEnvironmentName": name,
            "computeEnvironmentArn": ids::arn(ARN, name),
            "tags": self.tags_of(ARN, name),
            "type": if details.unmanaged { "UNMANAGED" } else { "MANAGED" },
            "state": state(environment.enabled),
            "status": status,
            "statusReason": reason,
            "serviceRole": details.service_role.as_deref().unwrap_or(SERVICE_ROLE),
            "containerOrchestrationType": if environment.is_eks() { "EKS" } else { "ECS" },
            "uuid": details.uuid,
        });
        let mut more = |field: &str, value: Option<Value>| {
            if let Some(value) = value {
                fields[field] = value;
            }
        };
        more("unmanagedvCpus", details.unmanaged_vcpus.map(Value::from));
        more("updatePolicy", details.update_policy.as_ref().map(|policy| json!(policy)));
        more("eksConfiguration", details.eks.clone());
        more("ecsSettings", details.ecs_settings.clone());
        more("context", details.context.clone().map(Value::from));
        more("ecsClusterArn", (!environment.is_eks()).then(|| json!(ids::cluster_arn())));
        more(
            "computeResources",
            details.resources.as_ref().map(|resources| self.tell_resources(environment, resources)),
        );
        fields
    }

    fn tell_resources(&self, environment: &Environment, resources: &ComputeResources) -> Value {
        let mut told = resources.clone();
        // What a built-in one may have at once.
        told.max_vcpus = told.max_vcpus.or(Some(i64::from(self.slots)));
        for list in [&mut told.subnets, &mut told.security_group_ids] {
            list.get_or_insert_default();
        }
        told.tags.get_or_insert_default();
        if environment.group() == Kind::Ec2 {
            let used = environment.used.milli_vcpus.div_ceil(1000);
            let least = *told.min_vcpus.get_or_insert(0);
            let desired = told.desired_vcpus.unwrap_or(0).max(least);
            told.desired_vcpus = Some(desired.max(i64::try_from(used).unwrap_or(i64::MAX)));
            if told.ec2_configuration.as_ref().is_none_or(Vec::is_empty) {
                let image = if environment.is_eks() { "EKS_AL2023" } else { "ECS_AL2023" };
                told.ec2_configuration = Some(vec![json!({ "imageType": image })]);
            }
        }
        json!(told)
    }
}

fn named(name: &str) -> Value {
    json!({ "computeEnvironmentName": name, "computeEnvironmentArn": ids::arn(ARN, name) })
}

fn missing(given: &str) -> Refusal {
    Refusal(format!("{given} does not exist: there is no compute environment of that name"))
}

fn unmanaged_only() -> Refusal {
    Refusal("unmanagedvCpus may only be given for an UNMANAGED compute environment".to_owned())
}

/// What one type must have and the other must not.
fn check_kind_fields(request: &CreateComputeEnvironment, unmanaged: bool) -> Result<(), Refusal> {
    check_range("unmanagedvCpus", request.unmanaged_vcpus, 0, i64::from(i32::MAX))?;
    if !unmanaged && request.unmanaged_vcpus.is_some() {
        return Err(unmanaged_only());
    }
    if unmanaged && request.service_role.as_deref().unwrap_or_default().is_empty() {
        return Err(Refusal("serviceRole must be given for an UNMANAGED compute environment".to_owned()));
    }
    let Some(eks) = &request.eks_configuration else { return Ok(()) };
    for field in ["eksClusterArn", "kubernetesNamespace"] {
        if eks.get(field).and_then(Value::as_str).unwrap_or_default().is_empty() {
            return Err(Refusal(format!("eksConfiguration.{field} must be given")));
        }
    }
    if unmanaged {
        return Err(Refusal("type must be MANAGED with eksConfiguration, but was 'UNMANAGED'".to_owned()));
    }
    Ok(())
}

fn update_eks(details: &mut Details, update: &Value) -> Result<(), Refusal> {
    let Some(Value::Object(kept)) = &mut details.eks else {
        return Err(Refusal("eksConfiguration may only be given for a compute environment of EKS".to_owned()));
    };
    let empty = Map::new();
    let given = update.as_object().unwrap_or(&empty);
    if let Some(field) = given.keys().find(|field| *field != "accessEntry") {
        return Err(Refusal(format!("eksConfiguration.{field} cannot change; only accessEntry can")));
    }
    kept.extend(given.clone());
    Ok(())
}
