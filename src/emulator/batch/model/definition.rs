//! Job definitions.

mod check;
mod echo;
mod other;
mod shape;
mod task;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::api::{DeregisterJobDefinition, DescribeJobDefinitions, RegisterJobDefinition};
use super::places::page::{check_count, page_size, read_token, write_token};
use super::reply::{DefinitionList, Registered};
use super::{Model, Refusal, ids};

pub(super) use self::check::check_timeout;

/// A deregistered revision is kept this long: 180 days, as AWS keeps it.
const KEPT_MS: u64 = 180 * 24 * 60 * 60 * 1000;

/// A revision.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Definition {
    pub(super) request: RegisterJobDefinition,
    /// When it was deregistered: INACTIVE since.
    deregistered_at: Option<u64>,
}

impl Definition {
    fn is_active(&self) -> bool {
        self.deregistered_at.is_none()
    }

    fn is_kept(&self, now: u64) -> bool {
        self.deregistered_at.is_none_or(|at| now.saturating_sub(at) < KEPT_MS)
    }
}

/// The revisions of a name. A number is never given twice.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Revisions {
    last: u32,
    kept: BTreeMap<u32, Definition>,
}

impl Model {
    /// RegisterJobDefinition: always a new revision, even of the same content.
    pub(super) fn register(&mut self, request: RegisterJobDefinition) -> Result<Registered, Refusal> {
        check::check(&request)?;
        let now = self.now;
        for revisions in self.definitions.values_mut() {
            revisions.kept.retain(|_, definition| definition.is_kept(now));
        }
        let name = request.job_definition_name.clone();
        let revisions = self.definitions.entry(name.clone()).or_default();
        revisions.last += 1;
        let revision = revisions.last;
        revisions.kept.insert(revision, Definition { request, deregistered_at: None });
        Ok(Registered { job_definition_arn: arn(&name, revision), job_definition_name: name, revision })
    }

    /// DeregisterJobDefinition: jobs that use the revision go on.
    pub(super) fn deregister(&mut self, request: &DeregisterJobDefinition) -> Result<(), Refusal> {
        let now = self.now;
        let given = ids::name_of("job-definition", &request.job_definition);
        match self.revision_mut(given) {
            Some(definition) => {
                definition.deregistered_at.get_or_insert(now);
                Ok(())
            }
            None => Err(Refusal(format!(
                "Job definition {} does not exist; name a revision as name:revision or by its ARN",
                request.job_definition
            ))),
        }
    }

    /// A revision, active or not.
    pub(super) fn definition(&self, name: &str, revision: u32) -> Option<&Definition> {
        self.definitions.get(name)?.kept.get(&revision).filter(|definition| definition.is_kept(self.now))
    }

    /// The revision behind `name:revision`.
    pub(super) fn revision(&self, given: &str) -> Option<&Definition> {
        let (name, revision) = split(given)?;
        self.definition(name, revision)
    }

    /// The revision behind `name:revision`, to be changed.
    pub(super) fn revision_mut(&mut self, given: &str) -> Option<&mut Definition> {
        let (name, revision) = split(given)?;
        let now = self.now;
        self.definitions.get_mut(name)?.kept.get_mut(&revision).filter(|definition| definition.is_kept(now))
    }

    /// The revision a submission names: an ARN, `name:revision`, or a name for its newest active one.
    pub(super) fn active_definition(&self, given: &str) -> Result<(&Definition, u32), Refusal> {
        let short = ids::name_of("job-definition", given);
        let found = match split(short) {
            Some((name, revision)) => self.definition(name, revision).map(|definition| (definition, revision)),
            None => self.definitions.get(short).and_then(|revisions| {
                let newest = revisions.kept.iter().rev().find(|(_, definition)| definition.is_active());
                newest.map(|(revision, definition)| (definition, *revision))
            }),
        };
        match found {
            Some(found) if found.0.is_active() => Ok(found),
            Some(_) => Err(Refusal(format!("Job definition {given} is INACTIVE; register a new revision"))),
            None => Err(Refusal(format!("Job definition {given} does not exist, or has no active revision"))),
        }
    }

    /// DescribeJobDefinitions, by name and the newest revision first; what is unknown is left out.
    ///
    /// # Errors
    /// More than 100 definitions or results asked for, `jobDefinitions` beside another member, an unknown status, a token that
    /// is not ours.
    pub fn describe_job_definitions(&self, request: &DescribeJobDefinitions) -> Result<DefinitionList, Refusal> {
        if !request.job_definitions.is_empty() {
            check_alone(request)?;
            return self.named_definitions(&request.job_definitions);
        }
        let size = page_size(request.max_results)?;
        let active = match request.status.as_deref() {
            None => None,
            Some("ACTIVE") => Some(true),
            Some("INACTIVE") => Some(false),
            Some(other) => return Err(Refusal(format!("status must be ACTIVE or INACTIVE, but was '{other}'"))),
        };
        let wanted = request.job_definition_name.as_deref();
        let after = request.next_token.as_deref().map(|token| self.after(token)).transpose()?;
        // Names rise and revisions fall.
        let later = |name: &str, revision: u32| {
            after.as_ref().is_none_or(|(last, told)| name > last.as_str() || (name == last && revision < *told))
        };
        let mut matching = self
            .definitions
            .iter()
            .filter(|(name, _)| wanted.is_none_or(|wanted| wanted == name.as_str()))
            .flat_map(|(name, revisions)| revisions.kept.iter().rev().map(move |(number, kept)| (name, *number, kept)))
            .filter(|(_, _, kept)| kept.is_kept(self.now) && active.is_none_or(|active| kept.is_active() == active))
            .filter(|(name, number, _)| later(name, *number));
        let told: Vec<_> = matching.by_ref().take(size).collect();
        let next_token =
            matching.next().and(told.last()).map(|(name, number, _)| write_token(&format!("{name}:{number}")));
        Ok(DefinitionList {
            job_definitions: told.into_iter().map(|(name, number, kept)| kept.describe(name, number)).collect(),
            next_token,
        })
    }

    /// The last revision that was told, of a token.
    fn after(&self, token: &str) -> Result<(String, u32), Refusal> {
        let text = read_token(token)?;
        let (name, revision) = split(&text).ok_or_else(|| Refusal("nextToken is not valid".to_owned()))?;
        Ok((name.to_owned(), revision))
    }

    fn named_definitions(&self, given: &[String]) -> Result<DefinitionList, Refusal> {
        check_count("jobDefinitions", given.len())?;
        let find = |given: &String| -> Option<Value> {
            let (name, revision) = split(ids::name_of("job-definition", given))?;
            Some(self.definition(name, revision)?.describe(name, revision))
        };
        Ok(DefinitionList { job_definitions: given.iter().filter_map(find).collect(), next_token: None })
    }
}

/// AWS takes `jobDefinitions` with nothing else.
fn check_alone(request: &DescribeJobDefinitions) -> Result<(), Refusal> {
    let others = [
        ("jobDefinitionName", request.job_definition_name.is_some()),
        ("status", request.status.is_some()),
        ("maxResults", request.max_results.is_some()),
        ("nextToken", request.next_token.is_some()),
    ];
    match others.iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((field, _)) => {
            Err(Refusal(format!("jobDefinitions cannot be combined with {field}; leave one of the two out")))
        }
    }
}

/// A name and its revision.
fn split(given: &str) -> Option<(&str, u32)> {
    let (name, revision) = given.rsplit_once(':')?;
    Some((name, revision.parse().ok()?))
}

fn arn(name: &str, revision: u32) -> String {
    ids::arn("job-definition", &format!("{name}:{revision}"))
}
