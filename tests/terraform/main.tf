# What a user of terraform's AWS provider makes of Batch, with names instead of what belongs to IAM and EC2.
terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.80, < 6.0"
    }
  }
}

variable "endpoint" {
  description = "The emulator's URL."
  type        = string
}

variable "changed" {
  description = "Whether to change, in place, what can change so."
  type        = bool
  default     = false
}

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "key"
  secret_key                  = "secret"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  skip_requesting_account_id  = true
  endpoints {
    batch = var.endpoint
  }
}

resource "aws_batch_compute_environment" "ec2" {
  compute_environment_name = "tf-ec2"
  type                     = "MANAGED"
  service_role             = "arn:aws:iam::000000000000:role/batch"
  compute_resources {
    type                = "EC2"
    allocation_strategy = "BEST_FIT_PROGRESSIVE"
    instance_role       = "arn:aws:iam::000000000000:instance-profile/ecs"
    instance_type       = ["c5.large", "c5.xlarge"]
    max_vcpus           = var.changed ? 32 : 16
    min_vcpus           = 0
    security_group_ids  = ["sg-1"]
    subnets             = ["subnet-1", "subnet-2"]
    ec2_key_pair        = "pair"
    placement_group     = "group"
    launch_template {
      launch_template_id = "lt-1"
      version            = "$Latest"
    }
    tags = { Name = "batch" }
  }
  update_policy {
    job_execution_timeout_minutes = 45
    terminate_jobs_on_update      = false
  }
  tags = { team = var.changed ? "b" : "a" }
}

resource "aws_batch_compute_environment" "spot" {
  compute_environment_name_prefix = "tf-spot-"
  type                            = "MANAGED"
  compute_resources {
    type                = "SPOT"
    bid_percentage      = 60
    spot_iam_fleet_role = "arn:aws:iam::000000000000:role/spot"
    instance_role       = "arn:aws:iam::000000000000:instance-profile/ecs"
    instance_type       = ["optimal"]
    max_vcpus           = 8
    desired_vcpus       = 2
    security_group_ids  = ["sg-1"]
    subnets             = ["subnet-1"]
    ec2_configuration {
      image_type = "ECS_AL2"
    }
  }
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_batch_compute_environment" "fargate" {
  compute_environment_name = "tf-fargate"
  type                     = "MANAGED"
  state                    = var.changed ? "DISABLED" : "ENABLED"
  compute_resources {
    type               = "FARGATE"
    max_vcpus          = 4
    security_group_ids = ["sg-1"]
    subnets            = ["subnet-1"]
  }
}

resource "aws_batch_compute_environment" "unmanaged" {
  compute_environment_name = "tf-unmanaged"
  type                     = "UNMANAGED"
  service_role             = "arn:aws:iam::000000000000:role/batch"
}

resource "aws_batch_scheduling_policy" "fair" {
  name = "tf-fair"
  fair_share_policy {
    compute_reservation = 1
    share_decay_seconds = var.changed ? 7200 : 3600
    share_distribution {
      share_identifier = "A1*"
      weight_factor    = 0.1
    }
    share_distribution {
      share_identifier = "A2"
    }
  }
  tags = { team = "a" }
}

resource "aws_batch_job_queue" "main" {
  name                  = "tf-main"
  state                 = "ENABLED"
  priority              = var.changed ? 5 : 1
  scheduling_policy_arn = aws_batch_scheduling_policy.fair.arn
  compute_environment_order {
    order               = 1
    compute_environment = aws_batch_compute_environment.ec2.arn
  }
  compute_environment_order {
    order               = 2
    compute_environment = aws_batch_compute_environment.spot.arn
  }
  job_state_time_limit_action {
    action           = "CANCEL"
    max_time_seconds = var.changed ? 900 : 600
    reason           = "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"
    state            = "RUNNABLE"
  }
  job_state_time_limit_action {
    action           = "CANCEL"
    max_time_seconds = 3600
    reason           = "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"
    state            = "RUNNABLE"
  }
  tags = { team = "a" }
}

resource "aws_batch_job_queue" "plain" {
  name     = "tf-plain"
  state    = "DISABLED"
  priority = 0
  compute_environment_order {
    order               = 0
    compute_environment = aws_batch_compute_environment.fargate.arn
  }
}

resource "aws_batch_job_definition" "container" {
  name                  = "tf-container"
  type                  = "container"
  platform_capabilities = ["EC2"]
  scheduling_priority   = 3
  propagate_tags        = true
  parameters            = { what = var.changed ? "moon" : "world" }
  container_properties = jsonencode({
    image      = "busybox"
    command    = ["echo", "Ref::what"]
    jobRoleArn = "arn:aws:iam::000000000000:role/job"
    resourceRequirements = [
      { type = "VCPU", value = "1" },
      { type = "MEMORY", value = "512" },
    ]
    environment            = [{ name = "A", value = "1" }, { name = "B", value = "2" }]
    volumes                = [{ name = "tmp", host = { sourcePath = "/tmp" } }]
    mountPoints            = [{ sourceVolume = "tmp", containerPath = "/tmp", readOnly = false }]
    ulimits                = [{ name = "nofile", hardLimit = 1024, softLimit = 1024 }]
    secrets                = [{ name = "S", valueFrom = "arn:aws:ssm:us-east-1:000000000000:parameter/s" }]
    logConfiguration       = { logDriver = "awslogs", options = { "awslogs-group" = "/aws/batch/job" } }
    linuxParameters        = { initProcessEnabled = true }
    readonlyRootFilesystem = true
    user                   = "nobody"
  })
  retry_strategy {
    attempts = 3
    evaluate_on_exit {
      action           = "RETRY"
      on_status_reason = "Host EC2*"
    }
    evaluate_on_exit {
      action    = "exit"
      on_reason = "*"
    }
  }
  timeout {
    attempt_duration_seconds = 60
  }
  tags = { team = "a" }
}

resource "aws_batch_job_definition" "least" {
  name = "tf-least"
  type = "container"
  container_properties = jsonencode({
    image  = "busybox"
    vcpus  = 1
    memory = 128
  })
}

resource "aws_batch_job_definition" "fargate" {
  name                  = "tf-fargate"
  type                  = "container"
  platform_capabilities = ["FARGATE"]
  container_properties = jsonencode({
    image            = "busybox"
    command          = ["true"]
    executionRoleArn = "arn:aws:iam::000000000000:role/exec"
    resourceRequirements = [
      { type = "VCPU", value = "0.25" },
      { type = "MEMORY", value = "512" },
    ]
    networkConfiguration = { assignPublicIp = "ENABLED" }
  })
}

resource "aws_batch_job_definition" "ecs" {
  name = "tf-ecs"
  type = "container"
  ecs_properties = jsonencode({
    taskProperties = [{
      executionRoleArn = "arn:aws:iam::000000000000:role/exec"
      containers = [
        {
          image     = "busybox"
          command   = ["sleep", "60"]
          name      = "main"
          essential = true
          dependsOn = [{ containerName = "init", condition = "COMPLETE" }]
          resourceRequirements = [
            { type = "VCPU", value = "1" },
            { type = "MEMORY", value = "512" },
          ]
        },
        {
          image     = "busybox"
          command   = ["true"]
          name      = "init"
          essential = false
          resourceRequirements = [
            { type = "VCPU", value = "1" },
            { type = "MEMORY", value = "512" },
          ]
        },
      ]
    }]
  })
}

resource "aws_batch_job_definition" "node" {
  name = "tf-node"
  type = "multinode"
  node_properties = jsonencode({
    mainNode = 0
    numNodes = 2
    nodeRangeProperties = [
      { targetNodes = "0:", container = { image = "busybox", command = ["true"],
      resourceRequirements = [{ type = "VCPU", value = "1" }, { type = "MEMORY", value = "128" }] } },
    ]
  })
}
