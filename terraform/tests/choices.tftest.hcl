# What the variables choose.

mock_provider "aws" {
  source = "./tests/mocks"

  mock_data "aws_subnet" {
    defaults = { vpc_id = "vpc-1", availability_zone = "eu-central-1a" }
  }
}

run "fargate" {
  variables {
    platform  = "FARGATE"
    image_tag = "v1"
  }
  assert {
    condition     = { for name, environment in aws_batch_compute_environment.this : name => environment.compute_resources[0].type } == { on_demand = "FARGATE", spot = "FARGATE_SPOT" }
    error_message = "Fargate and Fargate spot"
  }
  assert {
    condition     = alltrue([for environment in aws_batch_compute_environment.this : environment.compute_resources[0].instance_role == null && length(environment.compute_resources[0].launch_template) == 0 && length(environment.update_policy) == 0])
    error_message = "nothing of machines"
  }
  assert {
    condition     = length(aws_iam_role.instance) == 0 && length(aws_launch_template.this) == 0 && !contains(keys(output.role_arns), "instance")
    error_message = "no role of machines"
  }
  assert {
    condition     = strcontains(output.batchmap_toml, "\nassign_public_ip = true\n") && strcontains(output.batchmap_toml, "\nplatform = \"FARGATE\"\n")
    error_message = "without NAT children need an address: ${output.batchmap_toml}"
  }
  assert {
    condition     = strcontains(output.batchmap_toml, "\nimage = \"000000000000.dkr.ecr.eu-central-1.amazonaws.com/batchmap:v1\"\n")
    error_message = "the image of the repository: ${output.batchmap_toml}"
  }
}

run "worker_beside_any_image" {
  variables {
    image        = "public.ecr.aws/docker/library/python:3.12"
    worker_image = "example.org/batchmap:1"
  }
  assert {
    condition     = strcontains(output.batchmap_toml, "\nimage = \"public.ecr.aws/docker/library/python:3.12\"\nworker = \"inject\"\nworker_image = \"example.org/batchmap:1\"\n")
    error_message = "the worker is put beside the image: ${output.batchmap_toml}"
  }
}

run "gpus_and_fallback" {
  variables {
    gpu_instance_types      = ["g5", "p4d.24xlarge"]
    gpu_max_vcpus           = 192
    interruptible_fallback  = true
    interruptible_max_vcpus = 4096
    stuck_jobs              = { misconfigured = 0, no_capacity = 7200 }
  }
  assert {
    condition     = aws_batch_compute_environment.this["gpu_spot"].compute_resources[0].type == "SPOT" && aws_batch_compute_environment.this["gpu_spot"].compute_resources[0].max_vcpus == 192
    error_message = "GPUs on spot"
  }
  assert {
    condition     = aws_batch_compute_environment.this["spot"].compute_resources[0].max_vcpus == 4096 && aws_batch_compute_environment.this["on_demand"].compute_resources[0].max_vcpus == 256
    error_message = "each its own limit"
  }
  assert {
    condition     = join(" ", local.queues.default.environments) == "on_demand gpu_on_demand" && join(" ", local.queues.interruptible.environments) == "spot gpu_spot on_demand"
    error_message = "environments in order, three a queue at most"
  }
  assert {
    condition     = [for action in aws_batch_job_queue.this["default"].job_state_time_limit_action : "${action.reason} ${action.max_time_seconds}"] == ["CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY 7200"]
    error_message = "only what was asked for is cancelled"
  }
}

run "fair_share" {
  variables {
    fair_share = { identifier = "teamA", weights = { teamA = 0.5, "nightly*" = 10 } }
  }
  assert {
    condition     = alltrue([for queue in aws_batch_job_queue.this : queue.scheduling_policy_arn == aws_batch_scheduling_policy.this[0].arn])
    error_message = "both queues have the policy"
  }
  assert {
    condition     = strcontains(output.batchmap_toml, "\nshare_identifier = \"teamA\"\n")
    error_message = "a fair-share queue takes no job without an identifier: ${output.batchmap_toml}"
  }
}

run "existing_vpc" {
  variables {
    platform           = "FARGATE"
    vpc_id             = "vpc-1"
    subnet_ids         = ["subnet-1", "subnet-2"]
    security_group_ids = ["sg-1"]
    interruptible      = false
    vpc_endpoints      = ["ecr.api", "ecr.dkr", "logs"]
  }
  assert {
    condition     = length(aws_vpc.this) + length(aws_subnet.this) + length(aws_internet_gateway.this) + length(aws_security_group.children) == 0
    error_message = "no network of its own"
  }
  assert {
    condition     = aws_batch_compute_environment.this["on_demand"].compute_resources[0].subnets == toset(["subnet-1", "subnet-2"]) && aws_batch_compute_environment.this["on_demand"].compute_resources[0].security_group_ids == toset(["sg-1"])
    error_message = "the given network"
  }
  assert {
    condition     = length(regexall("assign_public_ip|interruptible_queue", output.batchmap_toml)) == 0
    error_message = "neither an address nor a second queue: ${output.batchmap_toml}"
  }
  assert {
    condition     = keys(aws_vpc_endpoint.services) == ["ecr.api", "ecr.dkr", "logs"]
    error_message = "the endpoints asked for"
  }
}

run "kms_boundary_and_ci" {
  variables {
    encryption               = "KMS"
    versioning               = true
    permissions_boundary_arn = "arn:aws:iam::000000000000:policy/boundary"
    oidc = {
      provider_arn = "arn:aws:iam::000000000000:oidc-provider/ci.example"
      subjects     = ["repo:owner/name:ref:refs/heads/main"]
    }
  }
  assert {
    condition     = alltrue([for role in [aws_iam_role.submitter, aws_iam_role.job, aws_iam_role.execution, aws_iam_role.instance[0]] : role.permissions_boundary == "arn:aws:iam::000000000000:policy/boundary"])
    error_message = "every role is bounded"
  }
  assert {
    condition = jsondecode(aws_iam_role.submitter.assume_role_policy).Statement == [{
      Sid       = "Ci"
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = "arn:aws:iam::000000000000:oidc-provider/ci.example" }
      Condition = {
        StringEquals = { "ci.example:aud" = "sts.amazonaws.com" }
        StringLike   = { "ci.example:sub" = ["repo:owner/name:ref:refs/heads/main"] }
      }
    }]
    error_message = "CI alone, and of one branch"
  }
  assert {
    condition     = aws_cloudwatch_log_group.this.kms_key_id == aws_kms_key.this[0].arn && aws_ecr_repository.this[0].encryption_configuration[0].encryption_type == "KMS" && one(aws_s3_bucket_server_side_encryption_configuration.this.rule).bucket_key_enabled
    error_message = "one key for objects, images and logs"
  }
  assert {
    condition     = anytrue([for rule in aws_s3_bucket_lifecycle_configuration.this.rule : length(rule.noncurrent_version_expiration) > 0])
    error_message = "earlier versions go"
  }
}

run "nothing_expires" {
  command = plan
  variables {
    execution_expiry_days = 0
    create_repository     = false
    prefix                = ""
  }
  assert {
    condition     = [for rule in aws_s3_bucket_lifecycle_configuration.this.rule : rule.id] == ["unfinished-uploads", "cache", "leases"]
    error_message = "executions that stay keep their files"
  }
  assert {
    condition     = [for statement in jsondecode(output.policies.submitter).Statement : statement.Resource if statement.Sid == "Objects"] == [["arn:aws:s3:::batchmap-000000000000-eu-central-1/*"]]
    error_message = "without a prefix, the bucket is batchmap's"
  }
  assert {
    condition     = [for statement in jsondecode(output.policies.execution).Statement : statement.Sid] == ["Logs"]
    error_message = "no repository, no token"
  }
}

run "files_stay_as_long_as_said" {
  command = plan
  variables {
    raw_expiry_days = 90
  }
  assert {
    condition     = contains([for rule in aws_s3_bucket_lifecycle_configuration.this.rule : try(rule.expiration[0].days, 0) if rule.id == "raw"], 90)
    error_message = "as many days as the cache is allowed"
  }
}

run "closed_network" {
  command = plan
  variables {
    platform           = "FARGATE"
    assign_public_ip   = false
    egress_cidr_blocks = []
    vpc_endpoints      = ["ecr.api", "ecr.dkr", "logs"]
  }
  assert {
    condition     = length(aws_vpc_security_group_egress_rule.children) == 0 && length(aws_vpc_security_group_egress_rule.endpoints) == 1 && length(aws_vpc_security_group_egress_rule.s3) == 1
    error_message = "out to the endpoints and to S3, nowhere else"
  }
}
