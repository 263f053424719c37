# Two queues: the default one is on demand, the interruptible one on spot. batchmap sends to the second what says that it
# is interruptible, and its last start to the first: whether spot's queue overflows to on-demand machines before that is
# `interruptible_fallback`. AWS Batch takes three environments a queue.

locals {
  queues = merge(
    { default = {
      priority     = 10
      environments = compact(["on_demand", local.has_gpu ? "gpu_on_demand" : ""])
    } },
    var.interruptible ? { interruptible = {
      priority     = 5
      environments = compact(["spot", local.has_gpu ? "gpu_spot" : "", var.interruptible_fallback ? "on_demand" : ""])
    } } : {},
  )

  # What AWS Batch says of a job at the head of a queue that cannot start.
  stuck = concat(
    var.stuck_jobs.misconfigured == 0 ? [] : [
      for reason in ["MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE", "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"] :
      { reason = reason, seconds = var.stuck_jobs.misconfigured }
    ],
    var.stuck_jobs.no_capacity == 0 ? [] : [
      { reason = "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY", seconds = var.stuck_jobs.no_capacity }
    ],
  )
}

resource "aws_batch_job_queue" "this" {
  for_each              = local.queues
  name                  = "${var.name}-${each.key}"
  state                 = "ENABLED"
  priority              = each.value.priority
  scheduling_policy_arn = one(aws_batch_scheduling_policy.this[*].arn)
  tags                  = local.tags

  dynamic "compute_environment_order" {
    for_each = each.value.environments
    content {
      order               = compute_environment_order.key
      compute_environment = aws_batch_compute_environment.this[compute_environment_order.value].arn
    }
  }

  dynamic "job_state_time_limit_action" {
    for_each = local.stuck
    content {
      action           = "CANCEL"
      state            = "RUNNABLE"
      reason           = job_state_time_limit_action.value.reason
      max_time_seconds = job_state_time_limit_action.value.seconds
    }
  }
}

resource "aws_batch_scheduling_policy" "this" {
  count = var.fair_share == null ? 0 : 1
  name  = var.name
  tags  = local.tags

  fair_share_policy {
    compute_reservation = var.fair_share.compute_reservation
    share_decay_seconds = var.fair_share.share_decay_seconds

    dynamic "share_distribution" {
      for_each = var.fair_share.weights
      content {
        share_identifier = share_distribution.key
        weight_factor    = share_distribution.value
      }
    }
  }
}
