//! Job queues and compute environments, from the SDK's types to the port's.

use aws_sdk_batch::types;

use crate::aws::batch::{EnvironmentDetail, QueueDetail};

/// A queue; its environments in the order in which they are tried.
pub(super) fn queue(queue: types::JobQueueDetail) -> QueueDetail {
    let mut order = queue.compute_environment_order.unwrap_or_default();
    order.sort_by_key(|entry| entry.order);
    QueueDetail {
        name: queue.job_queue_name.unwrap_or_default(),
        arn: queue.job_queue_arn.unwrap_or_default(),
        state: queue.state.map(|state| state.as_str().to_owned()).unwrap_or_default(),
        status: queue.status.map(|status| status.as_str().to_owned()).unwrap_or_default(),
        status_reason: queue.status_reason,
        environments: order.into_iter().filter_map(|entry| entry.compute_environment).collect(),
    }
}

/// A compute environment.
pub(super) fn environment(environment: types::ComputeEnvironmentDetail) -> EnvironmentDetail {
    let resources = environment.compute_resources;
    let kind = resources.as_ref().and_then(|resources| resources.r#type.as_ref());
    EnvironmentDetail {
        name: environment.compute_environment_name.unwrap_or_default(),
        arn: environment.compute_environment_arn.unwrap_or_default(),
        state: environment.state.map(|state| state.as_str().to_owned()).unwrap_or_default(),
        status: environment.status.map(|status| status.as_str().to_owned()).unwrap_or_default(),
        status_reason: environment.status_reason,
        kind: kind.map(|kind| kind.as_str().to_owned()).unwrap_or_default(),
        max_vcpus: resources
            .as_ref()
            .and_then(|resources| resources.maxv_cpus)
            .and_then(|most| u32::try_from(most).ok()),
        instance_types: resources.and_then(|resources| resources.instance_types).unwrap_or_default(),
    }
}
