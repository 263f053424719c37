//! Compute environments, job queues, scheduling policies, consumable resources and tags.

mod consumables;
mod environments;
mod policies;
mod queues;
mod tags;

use serde::{Deserialize, Serialize};

pub use self::consumables::*;
pub use self::environments::*;
pub use self::policies::*;
pub use self::queues::*;
pub use self::tags::*;

/// A change to where jobs run. The journal keeps these, so a variant once written is read for ever.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each variant is the operation of its name")]
pub enum PlaceChange {
    CreateComputeEnvironment(CreateComputeEnvironment),
    UpdateComputeEnvironment(UpdateComputeEnvironment),
    DeleteComputeEnvironment(DeleteComputeEnvironment),
    CreateJobQueue(CreateJobQueue),
    UpdateJobQueue(UpdateJobQueue),
    DeleteJobQueue(DeleteJobQueue),
    CreateSchedulingPolicy(CreateSchedulingPolicy),
    UpdateSchedulingPolicy(UpdateSchedulingPolicy),
    DeleteSchedulingPolicy(DeleteSchedulingPolicy),
    CreateConsumableResource(CreateConsumableResource),
    UpdateConsumableResource(UpdateConsumableResource),
    DeleteConsumableResource(DeleteConsumableResource),
    TagResource(TagResource),
    UntagResource(UntagResource),
}
