//! Tags: of every kind of resource, by ARN.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::api::{TagResource, UntagResource};
use super::super::{Model, Refusal, ids};
use super::{consumable, environment, policy, queue};

const MAX_TAGS: usize = 50;

/// Tags by name.
pub(in super::super) type Tags = BTreeMap<String, String>;

/// Checks the tags of a creation.
pub(in super::super) fn check(tags: &Tags) -> Result<(), Refusal> {
    for (key, value) in tags {
        check_key(key)?;
        if value.chars().count() > 256 {
            return Err(Refusal(format!("tags '{key}' may have a value of at most 256 characters")));
        }
    }
    check_count(tags.len())
}

fn check_count(count: usize) -> Result<(), Refusal> {
    if count > MAX_TAGS {
        return Err(Refusal(format!("tags may hold at most {MAX_TAGS} entries, but has {count}")));
    }
    Ok(())
}

fn check_key(key: &str) -> Result<(), Refusal> {
    if key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
        return Err(Refusal(format!("tags key '{key}' is not valid: keys that begin with aws: are reserved")));
    }
    if !(1..=128).contains(&key.chars().count()) {
        return Err(Refusal(format!("tags key '{key}' is not valid: it must have 1 to 128 characters")));
    }
    Ok(())
}

impl Model {
    pub(super) fn set_tags(&mut self, kind: &str, name: &str, tags: Tags) {
        if !tags.is_empty() {
            self.tags.insert(key(kind, name), tags);
        }
    }

    pub(super) fn forget_tags(&mut self, kind: &str, name: &str) {
        self.tags.remove(&key(kind, name));
    }

    pub(super) fn tags_of(&self, kind: &str, name: &str) -> Value {
        self.tags.get(&key(kind, name)).map_or_else(|| json!({}), |tags| json!(tags))
    }

    pub(super) fn tag(&mut self, request: &TagResource) -> Result<Value, Refusal> {
        check(&request.tags)?;
        let tags = self.tags_at(&request.resource_arn)?;
        let more = request.tags.keys().filter(|key| !tags.contains_key(*key)).count();
        check_count(tags.len() + more)?;
        tags.extend(request.tags.clone());
        Ok(json!({}))
    }

    pub(super) fn untag(&mut self, request: &UntagResource) -> Result<Value, Refusal> {
        let count = request.tag_keys.len();
        if !(1..=MAX_TAGS).contains(&count) {
            return Err(Refusal(format!("tagKeys must hold 1 to {MAX_TAGS} keys, but holds {count}")));
        }
        request.tag_keys.iter().try_for_each(|key| check_key(key))?;
        let tags = self.tags_at(&request.resource_arn)?;
        tags.retain(|key, _| !request.tag_keys.contains(key));
        Ok(json!({}))
    }

    /// ListTagsForResource.
    ///
    /// # Errors
    /// An ARN of nothing that is here.
    pub fn list_tags(&self, arn: &str) -> Result<Value, Refusal> {
        let (kind, name) = split(arn)?;
        let tags = match kind {
            "job" => self.find(name).filter(|(_, child)| child.is_none()).map(|(job, _)| json!(self.jobs[&job].tags)),
            "job-definition" => self.revision(name).map(|definition| json!(definition.request.tags)),
            _ if self.has_place(kind, name) => Some(self.tags_of(kind, name)),
            _ => None,
        };
        tags.map(|tags| json!({ "tags": tags })).ok_or_else(|| missing(arn))
    }

    /// The tags of what an ARN names, to be changed.
    fn tags_at(&mut self, arn: &str) -> Result<&mut Tags, Refusal> {
        let (kind, name) = split(arn)?;
        let found = match kind {
            "job" => {
                let job = self.find(name).filter(|(_, child)| child.is_none()).map(|(job, _)| job);
                job.and_then(|job| self.jobs.get_mut(&job)).map(|job| &mut job.tags)
            }
            "job-definition" => self.revision_mut(name).map(|definition| &mut definition.request.tags),
            _ if self.has_place(kind, name) => Some(self.tags.entry(key(kind, name)).or_default()),
            _ => None,
        };
        found.ok_or_else(|| missing(arn))
    }

    fn has_place(&self, kind: &str, name: &str) -> bool {
        match kind {
            environment::ARN => self.environments.contains_key(name),
            queue::ARN => self.queues.contains_key(name),
            policy::ARN => self.policies.contains_key(name),
            consumable::ARN => self.consumables.contains_key(name),
            _ => false,
        }
    }
}

fn key(kind: &str, name: &str) -> String {
    format!("{kind}/{name}")
}

/// An ARN's kind and name, whatever its region and account.
fn split(arn: &str) -> Result<(&str, &str), Refusal> {
    let resource = arn.strip_prefix("arn:").and_then(|_| arn.splitn(6, ':').nth(5));
    let parts = resource.and_then(|resource| resource.split_once('/'));
    parts.ok_or_else(|| {
        Refusal(format!("resourceArn '{arn}' is not valid: give an ARN such as {}", ids::arn("job-queue", "NAME")))
    })
}

fn missing(arn: &str) -> Refusal {
    Refusal(format!(
        "resourceArn {arn} does not exist: tags belong to jobs (not to children), job definitions with their revision, job \
         queues, compute environments, scheduling policies and consumable resources"
    ))
}
