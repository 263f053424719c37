//! Job definitions and their revisions.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::api::{
    ContainerProperties, DeregisterJobDefinition, DescribeJobDefinitions, JobTimeout, RegisterJobDefinition,
};
use super::reply::{DefinitionList, Registered};
use super::requirements::check_definition;
use super::submit::{check_environment, check_name, check_resources};
use super::{Model, Refusal, ids, retry};

/// AWS's limit on a definition's size.
const MAX_BYTES: usize = 24 * 1024;
const PAGE: usize = 100;

/// A revision.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Definition {
    pub(super) request: RegisterJobDefinition,
    pub(super) active: bool,
}

impl Definition {
    fn describe(&self, revision: u32) -> Value {
        let mut fields = match serde_json::to_value(&self.request) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        let name = format!("{}:{revision}", self.request.job_definition_name);
        fields.insert("jobDefinitionArn".to_owned(), json!(ids::arn("job-definition", &name)));
        fields.insert("revision".to_owned(), json!(revision));
        fields.insert("status".to_owned(), json!(if self.active { "ACTIVE" } else { "INACTIVE" }));
        fields.insert("containerOrchestrationType".to_owned(), json!("ECS"));
        for empty in ["parameters", "tags"] {
            fields.entry(empty).or_insert_with(|| json!({}));
        }
        if self.request.platform_capabilities.is_empty() {
            fields.insert("platformCapabilities".to_owned(), json!(["EC2"]));
        }
        Value::Object(fields)
    }
}

impl Model {
    /// RegisterJobDefinition: always a new revision, even of the same content.
    pub(super) fn register(&mut self, request: RegisterJobDefinition) -> Result<Registered, Refusal> {
        check(&request)?;
        let name = request.job_definition_name.clone();
        let revisions = self.definitions.entry(name.clone()).or_default();
        revisions.push(Definition { request, active: true });
        let revision = revisions.len() as u32;
        let arn = ids::arn("job-definition", &format!("{name}:{revision}"));
        Ok(Registered { job_definition_name: name, job_definition_arn: arn, revision })
    }

    /// The revision behind `name:revision`.
    pub(super) fn revision(&self, given: &str) -> Option<&Definition> {
        let (name, revision) = given.rsplit_once(':')?;
        self.definitions.get(name)?.get(place(revision)?)
    }

    pub(super) fn revision_mut(&mut self, given: &str) -> Option<&mut Definition> {
        let (name, revision) = given.rsplit_once(':')?;
        self.definitions.get_mut(name)?.get_mut(place(revision)?)
    }

    /// DeregisterJobDefinition: jobs that use the revision go on.
    pub(super) fn deregister(&mut self, request: &DeregisterJobDefinition) -> Result<(), Refusal> {
        let given = ids::name_of("job-definition", &request.job_definition);
        let revision = given
            .rsplit_once(':')
            .and_then(|(name, revision)| self.definitions.get_mut(name)?.get_mut(place(revision)?));
        match revision {
            Some(definition) => {
                definition.active = false;
                Ok(())
            }
            None => Err(Refusal(format!(
                "Job definition {} does not exist; name a revision as name:revision or by its ARN",
                request.job_definition
            ))),
        }
    }

    /// The revision a submission names: an ARN, `name:revision`, or a name for its newest active one.
    pub(super) fn active_definition(&self, given: &str) -> Result<(&Definition, u32), Refusal> {
        let short = ids::name_of("job-definition", given);
        let found = match short.rsplit_once(':') {
            Some((name, revision)) => self.definitions.get(name).and_then(|revisions| {
                let place = place(revision)?;
                Some((revisions.get(place)?, place as u32 + 1))
            }),
            None => self.definitions.get(short).and_then(|revisions| {
                let place = revisions.iter().rposition(|definition| definition.active)?;
                Some((&revisions[place], place as u32 + 1))
            }),
        };
        match found {
            Some(found) if found.0.active => Ok(found),
            Some(_) => Err(Refusal(format!("Job definition {given} is INACTIVE; register a new revision"))),
            None => Err(Refusal(format!("Job definition {given} does not exist"))),
        }
    }

    /// DescribeJobDefinitions, by name and the newest revision first; what is unknown is left out.
    ///
    /// # Errors
    /// More than 100 definitions or results asked for, an unknown status, a token that is not ours.
    pub fn describe_job_definitions(&self, request: &DescribeJobDefinitions) -> Result<DefinitionList, Refusal> {
        if !request.job_definitions.is_empty() {
            return self.named_definitions(&request.job_definitions);
        }
        let page = match request.max_results {
            None => PAGE,
            Some(n) => usize::try_from(n)
                .ok()
                .filter(|n| (1..=PAGE).contains(n))
                .ok_or_else(|| Refusal(format!("maxResults must be between 1 and {PAGE}, but was {n}")))?,
        };
        let active = match request.status.as_deref() {
            None => None,
            Some("ACTIVE") => Some(true),
            Some("INACTIVE") => Some(false),
            Some(other) => return Err(Refusal(format!("status must be ACTIVE or INACTIVE, but was '{other}'"))),
        };
        let skip = match request.next_token.as_deref() {
            None => 0,
            Some(token) => token.parse::<usize>().map_err(|_| Refusal("nextToken is not valid".to_owned()))?,
        };
        let wanted = request.job_definition_name.as_deref();
        let mut matching = self
            .definitions
            .iter()
            .filter(|(name, _)| wanted.is_none_or(|wanted| wanted == name.as_str()))
            .flat_map(|(_, revisions)| revisions.iter().enumerate().rev())
            .filter(|(_, definition)| active.is_none_or(|active| definition.active == active))
            .skip(skip);
        let job_definitions: Vec<Value> =
            matching.by_ref().take(page).map(|(place, definition)| definition.describe(place as u32 + 1)).collect();
        let next_token = matching.next().map(|_| (skip + page).to_string());
        Ok(DefinitionList { job_definitions, next_token })
    }

    fn named_definitions(&self, given: &[String]) -> Result<DefinitionList, Refusal> {
        if given.len() > PAGE {
            return Err(Refusal(format!("jobDefinitions may hold at most {PAGE} entries, but has {}", given.len())));
        }
        let find = |given: &String| {
            let (name, revision) = ids::name_of("job-definition", given).rsplit_once(':')?;
            let place = place(revision)?;
            Some(self.definitions.get(name)?.get(place)?.describe(place as u32 + 1))
        };
        Ok(DefinitionList { job_definitions: given.iter().filter_map(find).collect(), next_token: None })
    }
}

/// Where a revision stands among its name's.
fn place(revision: &str) -> Option<usize> {
    revision.parse::<usize>().ok()?.checked_sub(1)
}

fn check(request: &RegisterJobDefinition) -> Result<(), Refusal> {
    check_name("jobDefinitionName", &request.job_definition_name)?;
    let unsupported = [
        ("nodeProperties", request.node_properties.is_some()),
        ("eksProperties", request.eks_properties.is_some()),
        ("ecsProperties", request.ecs_properties.is_some()),
        ("consumableResourceProperties", request.consumable_resource_properties.is_some()),
    ];
    if let Some((field, _)) = unsupported.iter().find(|(_, given)| *given) {
        return Err(Refusal(format!("{field} is not yet implemented by this endpoint; use containerProperties")));
    }
    if request.kind != "container" {
        return Err(Refusal(format!("type must be container on this endpoint, but was '{}'", request.kind)));
    }
    let Some(properties) = &request.container_properties else {
        return Err(Refusal("Container properties should not be empty: give containerProperties".to_owned()));
    };
    let container = ContainerProperties::deserialize(properties)
        .map_err(|error| Refusal(format!("containerProperties is not valid: {error}")))?;
    if container.image.as_deref().unwrap_or_default().is_empty() {
        return Err(Refusal("containerProperties.image must not be empty".to_owned()));
    }
    check_environment("containerProperties.environment", &container.environment)?;
    check_resources("containerProperties.resourceRequirements", &container.resource_requirements)?;
    for platform in &request.platform_capabilities {
        if !matches!(platform.as_str(), "EC2" | "FARGATE") {
            return Err(Refusal(format!("platformCapabilities may hold EC2 or FARGATE, but holds '{platform}'")));
        }
    }
    check_definition(request)?;
    request.retry_strategy.as_ref().map_or(Ok(()), retry::check)?;
    request.timeout.as_ref().map_or(Ok(()), check_timeout)?;
    if request.tags.len() > 50 {
        return Err(Refusal(format!("tags may hold at most 50 entries, but has {}", request.tags.len())));
    }
    let bytes = serde_json::to_vec(request).map_or(0, |body| body.len());
    if bytes > MAX_BYTES {
        return Err(Refusal(format!("a job definition may have at most {MAX_BYTES} bytes, but has {bytes}")));
    }
    Ok(())
}

pub(super) fn check_timeout(timeout: &JobTimeout) -> Result<(), Refusal> {
    match timeout.attempt_duration_seconds {
        Some(seconds) if seconds < 60 => {
            Err(Refusal(format!("timeout.attemptDurationSeconds must be at least 60, but was {seconds}")))
        }
        _ => Ok(()),
    }
}
