//! Consumable resources: what jobs may hold beside vCPUs and memory, such as licences.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::api::{
    CreateConsumableResource, DeleteConsumableResource, DescribeConsumableResource, Filter, ListConsumableResources,
    UpdateConsumableResource,
};
use super::super::check::check_name;
use super::super::retry::glob;
use super::super::{Model, Refusal, ids};
use super::page::page;
use super::tags;

/// The resource's kind in ARNs.
pub(in super::super) const ARN: &str = "consumable-resource";
const MAX_RESOURCES: usize = 50_000;
/// How long a client token is known.
const TOKEN_MS: u64 = 8 * 60 * 60 * 1000;

/// What becomes of units that a job took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(in super::super) enum ConsumableKind {
    /// They are free again when its attempt is over.
    Replenishable,
    /// They are gone.
    NonReplenishable,
}

impl ConsumableKind {
    fn name(self) -> &'static str {
        match self {
            ConsumableKind::Replenishable => "REPLENISHABLE",
            ConsumableKind::NonReplenishable => "NON_REPLENISHABLE",
        }
    }
}

/// A consumable resource. A child takes its units when it moves to STARTING.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Consumable {
    pub(in super::super) kind: ConsumableKind,
    /// All units, whoever has them. A unit that a job used up is taken off here.
    pub(in super::super) total: u64,
    /// Units of children that are STARTING or RUNNING. More than `total` once that was lowered below them.
    pub(in super::super) in_use: u64,
    /// The children that have units, by job and index. A resource that is made anew under an old name knows none of the
    /// children that took from the old one, so they give nothing back to it.
    pub(in super::super) holders: BTreeSet<(u32, u32)>,
    /// What is only told or remembered.
    pub(in super::super) record: Record,
}

/// What is told of a consumable resource, and the updates it remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Record {
    created_at: u64,
    /// Updates with a client token, and when: the same one again changes nothing.
    updates: Vec<(u64, UpdateConsumableResource)>,
}

impl Consumable {
    /// One that nobody has units of.
    pub(in super::super) fn new(kind: ConsumableKind, total: u64) -> Consumable {
        Consumable { kind, total, in_use: 0, holders: BTreeSet::new(), record: Record::default() }
    }

    /// Units that the next child may take.
    pub(in super::super) fn available(&self) -> u64 {
        self.total.saturating_sub(self.in_use)
    }

    /// Has a child, by job and index, take units.
    pub(in super::super) fn take(&mut self, child: (u32, u32), quantity: u64) {
        if quantity > 0 && self.holders.insert(child) {
            self.in_use = self.in_use.saturating_add(quantity);
        }
    }

    /// Has a child give back what it took from this very resource; what is used up is gone.
    pub(in super::super) fn give_back(&mut self, child: (u32, u32), quantity: u64) {
        if !self.holders.remove(&child) {
            return;
        }
        self.in_use = self.in_use.saturating_sub(quantity);
        if self.kind == ConsumableKind::NonReplenishable {
            self.total = self.total.saturating_sub(quantity);
        }
    }
}

impl Model {
    pub(super) fn create_consumable(&mut self, request: &CreateConsumableResource) -> Result<Value, Refusal> {
        let name = &request.consumable_resource_name;
        check_name("consumableResourceName", name)?;
        if self.consumables.contains_key(name) {
            return Err(Refusal(format!("Object already exists: consumable resource {name}; choose another name")));
        }
        if self.consumables.len() >= MAX_RESOURCES {
            return Err(Refusal(format!(
                "there may be at most {MAX_RESOURCES} consumable resources; delete one first"
            )));
        }
        let kind = match request.resource_type.as_deref() {
            None | Some("REPLENISHABLE") => ConsumableKind::Replenishable,
            Some("NON_REPLENISHABLE") => ConsumableKind::NonReplenishable,
            Some(other) => {
                return Err(Refusal(format!(
                    "resourceType must be REPLENISHABLE or NON_REPLENISHABLE, but was '{other}'"
                )));
            }
        };
        let total = not_negative("totalQuantity", request.total_quantity.unwrap_or(0))?;
        tags::check(&request.tags)?;
        let record = Record { created_at: self.now, ..Record::default() };
        self.consumables.insert(name.clone(), Consumable { record, ..Consumable::new(kind, total) });
        self.set_tags(ARN, name, request.tags.clone());
        Ok(json!({ "consumableResourceName": name, "consumableResourceArn": ids::arn(ARN, name) }))
    }

    pub(super) fn update_consumable(&mut self, request: &UpdateConsumableResource) -> Result<Value, Refusal> {
        let name = ids::name_of(ARN, &request.consumable_resource);
        let now = self.now;
        let Some(consumable) = self.consumables.get_mut(name) else {
            return Err(missing(&request.consumable_resource));
        };
        if !consumable.remembers(request, now)? {
            let total = consumable.changed(request)?;
            consumable.total = total;
            if request.client_token.is_some() {
                consumable.record.updates.push((now, request.clone()));
            }
        }
        Ok(json!({
            "consumableResourceName": name,
            "consumableResourceArn": ids::arn(ARN, name),
            "totalQuantity": consumable.total,
        }))
    }

    /// DeleteConsumableResource. Jobs that need it and have not started wait for one of its name; what runs goes on.
    pub(super) fn delete_consumable(&mut self, request: &DeleteConsumableResource) -> Result<Value, Refusal> {
        let name = ids::name_of(ARN, &request.consumable_resource);
        if self.consumables.remove(name).is_none() {
            return Err(missing(&request.consumable_resource));
        }
        self.forget_tags(ARN, name);
        Ok(json!({}))
    }

    /// DescribeConsumableResource.
    ///
    /// # Errors
    /// It does not exist.
    pub fn describe_consumable_resource(&self, request: &DescribeConsumableResource) -> Result<Value, Refusal> {
        let name = ids::name_of(ARN, &request.consumable_resource);
        let found = self.consumables.get(name).ok_or_else(|| missing(&request.consumable_resource))?;
        let mut fields = tell(name, found);
        fields["availableQuantity"] = json!(found.available());
        fields["createdAt"] = json!(found.record.created_at);
        fields["tags"] = self.tags_of(ARN, name);
        Ok(fields)
    }

    /// ListConsumableResources, by name.
    ///
    /// # Errors
    /// Another filter than one of CONSUMABLE_RESOURCE_NAME, more than 100 results asked for, a token that is not ours.
    pub fn list_consumable_resources(&self, request: &ListConsumableResources) -> Result<Value, Refusal> {
        let wanted = request.filters.iter().map(patterns).collect::<Result<Vec<_>, Refusal>>()?;
        let keep = |name: &str| {
            let name = name.to_lowercase();
            wanted.iter().all(|any| any.iter().any(|pattern| glob(pattern, &name)))
        };
        let matching = self.consumables.iter().filter(|(name, _)| keep(name));
        let (told, next) = page(matching, request.max_results, request.next_token.as_deref())?;
        let told: Vec<Value> = told.into_iter().map(|(name, found)| tell(name, found)).collect();
        let mut answer = json!({ "consumableResources": told });
        if let Some(next) = next {
            answer["nextToken"] = json!(next);
        }
        Ok(answer)
    }
}

impl Consumable {
    /// Whether this very update was made before; forgets those that are too old.
    fn remembers(&mut self, request: &UpdateConsumableResource, now: u64) -> Result<bool, Refusal> {
        self.record.updates.retain(|(at, _)| now.saturating_sub(*at) < TOKEN_MS);
        let Some(token) = &request.client_token else { return Ok(false) };
        if !(1..=64).contains(&token.len()) {
            return Err(Refusal(format!("clientToken '{token}' is not valid: it must have 1 to 64 characters")));
        }
        match self.record.updates.iter().find(|(_, known)| known.client_token == request.client_token) {
            None => Ok(false),
            Some((_, known)) if known.operation == request.operation && known.quantity == request.quantity => Ok(true),
            Some(_) => Err(Refusal(format!(
                "clientToken '{token}' was given with another update in the last 8 hours; give a new token"
            ))),
        }
    }

    /// The total after an update.
    fn changed(&self, request: &UpdateConsumableResource) -> Result<u64, Refusal> {
        let Some(quantity) = request.quantity else {
            return Err(Refusal("quantity must be given: the new total, or by how much it changes".to_owned()));
        };
        let quantity = not_negative("quantity", quantity)?;
        let refuse = |what: &str| Refusal(format!("quantity {quantity} {what}; the total is {}", self.total));
        match request.operation.as_deref() {
            Some("SET") => Ok(quantity),
            Some("ADD") => {
                let total = self.total.checked_add(quantity).filter(|total| i64::try_from(*total).is_ok());
                total.ok_or_else(|| refuse("is too much to add"))
            }
            Some("REMOVE") => self.total.checked_sub(quantity).ok_or_else(|| refuse("is more than there is to remove")),
            other => {
                let other = other.unwrap_or_default();
                Err(Refusal(format!("operation must be SET, ADD or REMOVE, but was '{other}'")))
            }
        }
    }
}

fn tell(name: &str, found: &Consumable) -> Value {
    json!({
        "consumableResourceArn": ids::arn(ARN, name),
        "consumableResourceName": name,
        "totalQuantity": found.total,
        "inUseQuantity": found.in_use,
        "resourceType": found.kind.name(),
    })
}

fn patterns(filter: &Filter) -> Result<Vec<String>, Refusal> {
    if filter.name != "CONSUMABLE_RESOURCE_NAME" {
        return Err(Refusal(format!("filters name must be CONSUMABLE_RESOURCE_NAME, but was '{}'", filter.name)));
    }
    if filter.values.is_empty() {
        return Err(Refusal("filters CONSUMABLE_RESOURCE_NAME needs a value".to_owned()));
    }
    Ok(filter.values.iter().map(|value| value.to_lowercase()).collect())
}

fn not_negative(field: &str, value: i64) -> Result<u64, Refusal> {
    u64::try_from(value).map_err(|_| Refusal(format!("{field} must not be negative, but was {value}")))
}

fn missing(given: &str) -> Refusal {
    Refusal(format!("{given} does not exist: there is no consumable resource of that name"))
}
