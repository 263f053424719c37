//! Scheduling policies.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::api::{
    CreateSchedulingPolicy, DeleteSchedulingPolicy, DescribeSchedulingPolicies, FairsharePolicy,
    ListSchedulingPolicies, ShareAttributes, UpdateSchedulingPolicy,
};
use super::super::check::check_name;
use super::super::{Model, Refusal, ids};
use super::page::{check_count, check_range, page};
use super::tags;

/// The resource's kind in ARNs.
pub(super) const ARN: &str = "scheduling-policy";
const MAX_SHARES: usize = 500;

/// A scheduling policy.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(in super::super) struct Policy {
    /// As it was given; defaults stand for what is absent.
    pub(in super::super) fairshare: Option<FairsharePolicy>,
}

impl Model {
    pub(super) fn create_policy(&mut self, request: &CreateSchedulingPolicy) -> Result<Value, Refusal> {
        let name = &request.name;
        check_name("name", name)?;
        if self.policies.contains_key(name) {
            return Err(Refusal(format!("Object already exists: scheduling policy {name}; choose another name")));
        }
        refuse_quota(request.quota_share_policy.as_ref())?;
        let fairshare = request.fairshare_policy.as_ref().map(checked).transpose()?;
        tags::check(&request.tags)?;
        self.policies.insert(name.clone(), Policy { fairshare });
        self.set_tags(ARN, name, request.tags.clone());
        Ok(json!({ "name": name, "arn": ids::arn(ARN, name) }))
    }

    pub(super) fn update_policy(&mut self, request: &UpdateSchedulingPolicy) -> Result<Value, Refusal> {
        refuse_quota(request.quota_share_policy.as_ref())?;
        let fairshare = request.fairshare_policy.as_ref().map(checked).transpose()?;
        let name = ids::name_of(ARN, &request.arn);
        let Some(policy) = self.policies.get_mut(name) else { return Err(missing(&request.arn)) };
        if fairshare.is_some() {
            policy.fairshare = fairshare;
        }
        Ok(json!({}))
    }

    pub(super) fn delete_policy(&mut self, request: &DeleteSchedulingPolicy) -> Result<Value, Refusal> {
        let name = ids::name_of(ARN, &request.arn);
        if !self.policies.contains_key(name) {
            return Err(missing(&request.arn));
        }
        let user = self.queues.iter().find(|(_, queue)| queue.policy.as_deref() == Some(name));
        if let Some((queue, _)) = user {
            return Err(Refusal(format!(
                "Cannot delete, scheduling policy {name} is used by job queue {queue}; delete the queue or give it another \
                 policy first"
            )));
        }
        self.policies.remove(name);
        self.forget_tags(ARN, name);
        Ok(json!({}))
    }

    /// DescribeSchedulingPolicies; ARNs that are unknown are left out.
    ///
    /// # Errors
    /// No ARN, or more than 100.
    pub fn describe_scheduling_policies(&self, request: &DescribeSchedulingPolicies) -> Result<Value, Refusal> {
        if request.arns.is_empty() {
            return Err(Refusal("arns must hold 1 to 100 ARNs of scheduling policies, but is empty".to_owned()));
        }
        check_count("arns", request.arns.len())?;
        let tell = |arn: &String| {
            let name = ids::name_of(ARN, arn);
            let policy = self.policies.get(name)?;
            let mut fields = json!({ "name": name, "arn": ids::arn(ARN, name), "tags": self.tags_of(ARN, name) });
            if let Some(fairshare) = &policy.fairshare {
                fields["fairsharePolicy"] = json!(fairshare);
            }
            Some(fields)
        };
        Ok(json!({ "schedulingPolicies": request.arns.iter().filter_map(tell).collect::<Vec<Value>>() }))
    }

    /// ListSchedulingPolicies: their ARNs, by name.
    ///
    /// # Errors
    /// More than 100 results asked for, a token that is not ours.
    pub fn list_scheduling_policies(&self, request: &ListSchedulingPolicies) -> Result<Value, Refusal> {
        let (told, next) = page(self.policies.iter(), request.max_results, request.next_token.as_deref())?;
        let told: Vec<Value> = told.into_iter().map(|(name, _)| json!({ "arn": ids::arn(ARN, name) })).collect();
        let mut answer = json!({ "schedulingPolicies": told });
        if let Some(next) = next {
            answer["nextToken"] = json!(next);
        }
        Ok(answer)
    }
}

fn missing(arn: &str) -> Refusal {
    Refusal(format!("{arn} does not exist: there is no scheduling policy of that ARN"))
}

fn refuse_quota(policy: Option<&Value>) -> Result<(), Refusal> {
    match policy {
        Some(_) => Err(Refusal("quotaSharePolicy must be left out: this endpoint has no quota shares".to_owned())),
        None => Ok(()),
    }
}

/// The rules, checked. A weight of 0 counts as absent: terraform's provider sends it for a weight that was not given.
fn checked(policy: &FairsharePolicy) -> Result<FairsharePolicy, Refusal> {
    let mut policy = policy.clone();
    for share in &mut policy.share_distribution {
        share.weight_factor = share.weight_factor.filter(|weight| *weight != 0.0);
    }
    check(&policy)?;
    Ok(policy)
}

fn check(policy: &FairsharePolicy) -> Result<(), Refusal> {
    check_range("fairsharePolicy.shareDecaySeconds", policy.share_decay_seconds, 0, 604_800)?;
    check_range("fairsharePolicy.computeReservation", policy.compute_reservation, 0, 99)?;
    let shares = &policy.share_distribution;
    if shares.len() > MAX_SHARES {
        return Err(Refusal(format!(
            "fairsharePolicy.shareDistribution may hold at most {MAX_SHARES} entries, but has {}",
            shares.len()
        )));
    }
    for (at, share) in shares.iter().enumerate() {
        check_share(share)?;
        if let Some(other) = shares[..at].iter().find(|other| overlap(&other.share_identifier, &share.share_identifier))
        {
            return Err(Refusal(format!(
                "fairsharePolicy.shareDistribution has '{}' and '{}', which overlap; a share may match one entry only",
                other.share_identifier, share.share_identifier
            )));
        }
    }
    Ok(())
}

fn check_share(share: &ShareAttributes) -> Result<(), Refusal> {
    let name = &share.share_identifier;
    let body = name.strip_suffix('*').unwrap_or(name);
    let plain = body.chars().all(|c| c.is_ascii_alphanumeric());
    if name.is_empty() || body.len() > 255 || !plain {
        return Err(Refusal(format!(
            "fairsharePolicy.shareDistribution.shareIdentifier '{name}' is not valid: at most 255 letters and digits, and an \
             optional '*' at the end"
        )));
    }
    match share.weight_factor {
        Some(weight) if !(0.0001..=999.9999).contains(&weight) => Err(Refusal(format!(
            "fairsharePolicy.shareDistribution.weightFactor must be between 0.0001 and 999.9999, but was {weight}"
        ))),
        _ => Ok(()),
    }
}

/// Whether some share is meant by both.
fn overlap(one: &str, other: &str) -> bool {
    match (one.strip_suffix('*'), other.strip_suffix('*')) {
        (None, None) => one == other,
        (Some(prefix), None) => other.starts_with(prefix),
        (None, Some(prefix)) => one.starts_with(prefix),
        (Some(one), Some(other)) => one.starts_with(other) || other.starts_with(one),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(name: &str, weight_factor: Option<f64>) -> ShareAttributes {
        ShareAttributes { share_identifier: name.to_owned(), weight_factor }
    }

    #[test]
    fn shares_must_not_overlap() {
        for (one, other, expected) in [
            ("a", "a", true),
            ("a", "b", false),
            ("a*", "ab", true),
            ("ab", "a*", true),
            ("a*", "ab*", true),
            ("a*", "b*", false),
        ] {
            assert_eq!(overlap(one, other), expected, "{one} {other}");
        }
    }

    #[test]
    fn policies_are_checked() {
        let default = FairsharePolicy::default;
        for (policy, part) in [
            (FairsharePolicy { share_decay_seconds: Some(604_801), ..default() }, "shareDecaySeconds"),
            (FairsharePolicy { compute_reservation: Some(100), ..default() }, "computeReservation"),
            (FairsharePolicy { share_distribution: vec![share("a b", None)], ..default() }, "shareIdentifier 'a b'"),
            (FairsharePolicy { share_distribution: vec![share("", None)], ..default() }, "shareIdentifier"),
            (FairsharePolicy { share_distribution: vec![share("a", Some(1000.0))], ..default() }, "weightFactor"),
            (FairsharePolicy { share_distribution: vec![share("a", Some(f64::NAN))], ..default() }, "weightFactor"),
            (
                FairsharePolicy { share_distribution: vec![share("a*", None), share("ab", None)], ..default() },
                "overlap",
            ),
            (
                FairsharePolicy {
                    share_distribution: (0..501).map(|n| share(&format!("s{n}x"), None)).collect(),
                    ..default()
                },
                "500",
            ),
        ] {
            let error = check(&policy).unwrap_err();
            assert!(error.0.contains(part), "{error}");
        }
        let policy = FairsharePolicy { share_distribution: vec![share("a", Some(0.0))], ..default() };
        assert_eq!(checked(&policy).unwrap().share_distribution[0].weight_factor, None);
    }
}
