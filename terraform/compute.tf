# Compute environments, by what they are: on_demand, spot, gpu_on_demand, gpu_spot.

locals {
  on_demand = {
    type           = local.on_ec2 ? "EC2" : "FARGATE"
    max_vcpus      = var.max_vcpus
    min_vcpus      = var.min_vcpus
    instance_types = var.instance_types
    bid_percentage = null
    strategy       = "BEST_FIT_PROGRESSIVE"
  }
  spot = {
    type           = local.on_ec2 ? "SPOT" : "FARGATE_SPOT"
    max_vcpus      = coalesce(var.interruptible_max_vcpus, var.max_vcpus)
    min_vcpus      = 0
    instance_types = var.instance_types
    bid_percentage = var.spot_bid_percentage
    strategy       = var.spot_allocation_strategy
  }
  gpu = { instance_types = var.gpu_instance_types, max_vcpus = var.gpu_max_vcpus, min_vcpus = 0 }

  environments = merge(
    { on_demand = local.on_demand },
    var.interruptible ? { spot = local.spot } : {},
    local.has_gpu ? { gpu_on_demand = merge(local.on_demand, local.gpu) } : {},
    local.has_gpu && var.interruptible ? { gpu_spot = merge(local.spot, local.gpu) } : {},
  )
}

# The service role is left out on purpose: Batch then uses the one that it has in every account, which alone allows
# changes in place, and which nobody can take away while there are machines to end.
resource "aws_batch_compute_environment" "this" {
  for_each                        = local.environments
  compute_environment_name_prefix = "${var.name}-${replace(each.key, "_", "-")}-"
  type                            = "MANAGED"
  state                           = "ENABLED"
  tags                            = local.tags

  compute_resources {
    type               = each.value.type
    max_vcpus          = each.value.max_vcpus
    subnets            = local.subnet_ids
    security_group_ids = local.security_group_ids

    # All that follows is of machines, which Fargate has none of.
    min_vcpus           = local.on_ec2 ? each.value.min_vcpus : null
    instance_type       = local.on_ec2 ? each.value.instance_types : null
    allocation_strategy = local.on_ec2 ? each.value.strategy : null
    bid_percentage      = local.on_ec2 ? each.value.bid_percentage : null
    instance_role       = local.on_ec2 ? aws_iam_instance_profile.instance[0].arn : null
    tags                = local.on_ec2 ? merge(local.tags, { Name = "${var.name}-${replace(each.key, "_", "-")}" }) : null

    dynamic "launch_template" {
      for_each = aws_launch_template.this
      content {
        launch_template_id = launch_template.value.id
        version            = launch_template.value.latest_version
      }
    }
  }

  dynamic "update_policy" {
    for_each = local.on_ec2 ? [1] : []
    content {
      # When machines are replaced, what runs on the old ones has half an hour to end; batchmap runs again what has not.
      job_execution_timeout_minutes = 30
      terminate_jobs_on_update      = false
    }
  }

  lifecycle {
    # Queues are pointed at the new one before the old one goes.
    create_before_destroy = true
    # Batch moves it all the time.
    ignore_changes = [compute_resources[0].desired_vcpus]

    precondition {
      condition     = !startswith(each.key, "spot") && !startswith(each.key, "gpu_spot") || length(distinct(local.zones)) >= 2
      error_message = "subnet_ids: all are in one availability zone, whose spot capacity runs out together: name subnets in at least two, or set interruptible = false."
    }
  }

  # Until its last machine has left, an environment needs these to be deleted.
  depends_on = [
    aws_iam_role_policy_attachment.instance,
    aws_route.out,
    aws_route_table_association.this,
    aws_vpc_security_group_egress_rule.children,
  ]
}

resource "aws_launch_template" "this" {
  count       = local.on_ec2 ? 1 : 0
  name_prefix = "${var.name}-"
  description = "Machines of batchmap's compute environments"

  metadata_options {
    http_endpoint = "enabled"
    http_tokens   = "required"
    # Containers in a network of their own get no further than their bridge.
    http_put_response_hop_limit = 1
  }

  # The root of the machine images that Batch chooses.
  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      volume_size           = var.root_volume_gib
      volume_type           = "gp3"
      encrypted             = true
      delete_on_termination = true
    }
  }

  # Instances get theirs from the environment.
  tag_specifications {
    resource_type = "volume"
    tags          = merge(local.tags, { Name = var.name })
  }

  lifecycle {
    create_before_destroy = true
  }
}
