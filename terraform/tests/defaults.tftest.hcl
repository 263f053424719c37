# What comes out when nothing is said.

mock_provider "aws" {
  source = "./tests/mocks"
}

run "what_nothing_said_makes" {
  assert {
    condition     = keys(aws_batch_compute_environment.this) == ["on_demand", "spot"]
    error_message = "on demand and spot, nothing with GPUs"
  }
  assert {
    condition     = alltrue([for environment in aws_batch_compute_environment.this : environment.compute_resources[0].min_vcpus == 0])
    error_message = "nothing runs, and nothing is paid, without jobs"
  }
  assert {
    condition     = aws_batch_compute_environment.this["spot"].compute_resources[0].type == "SPOT" && aws_batch_compute_environment.this["spot"].compute_resources[0].allocation_strategy == "SPOT_PRICE_CAPACITY_OPTIMIZED"
    error_message = "spot by price and capacity"
  }
  assert {
    condition     = length(aws_subnet.this) == 3 && length(aws_vpc_endpoint.services) == 0 && length(aws_vpc_endpoint.s3) == 1
    error_message = "three public subnets, the free endpoint of S3, and none that is paid"
  }
  assert {
    condition     = aws_s3_bucket.this.bucket == "batchmap-000000000000-eu-central-1" && !aws_s3_bucket.this.force_destroy
    error_message = "a bucket named after deployment, account and region, that is not removed with what it holds"
  }
  assert {
    condition     = length(aws_kms_key.this) == 0 && one(one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default).sse_algorithm == "AES256"
    error_message = "SSE-S3, and no key that is paid"
  }
  assert {
    condition = { for rule in aws_s3_bucket_lifecycle_configuration.this.rule : rule.id => try(rule.expiration[0].days, null) } == {
      unfinished-uploads = null
      executions         = 90
      cache              = 90
      leases             = 90
      raw                = 181
    }
    error_message = "files outlive the executions and the cache that name them"
  }
  assert {
    condition     = [for action in aws_batch_job_queue.this["default"].job_state_time_limit_action : action.reason] == ["MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE", "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"]
    error_message = "what can never start does not block the queue for ever"
  }
  assert {
    condition     = jsondecode(aws_iam_role.submitter.assume_role_policy).Statement[*].Principal.AWS == ["arn:aws:iam::000000000000:root"]
    error_message = "the account decides who submits"
  }
  assert {
    condition     = output.repository_url != null && aws_ecr_repository.this[0].image_tag_mutability == "IMMUTABLE"
    error_message = "a repository whose tags stay"
  }
  assert {
    condition     = length(regexall("(?m)^(assign_public_ip|share_identifier|endpoint|image) ", output.batchmap_toml)) == 0
    error_message = "settings that nobody gave are left out: ${output.batchmap_toml}"
  }
  assert {
    condition = alltrue([for line in [
      "region = \"eu-central-1\"",
      "bucket = \"batchmap-000000000000-eu-central-1\"",
      "prefix = \"batchmap\"",
      "queue = \"batchmap-default\"",
      "interruptible_queue = \"batchmap-interruptible\"",
      "platform = \"EC2\"",
      "job_role = \"arn:aws:iam::000000000000:role/mock\"",
      "execution_role = \"arn:aws:iam::000000000000:role/mock\"",
      "log_group = \"/batchmap/batchmap\"",
    ] : strcontains(output.batchmap_toml, "\n${line}\n")])
    error_message = "the client's whole configuration: ${output.batchmap_toml}"
  }
}

# No statement that allows has `*` for a resource, but for calls that have no resource.
run "policies_name_what_they_are_about" {
  command = plan
  variables {
    encryption        = "KMS"
    kms_key_arn       = "arn:aws:kms:eu-central-1:000000000000:key/a"
    read_bucket_names = ["other"]
    secret_arns       = ["arn:aws:secretsmanager:eu-central-1:000000000000:secret:a-AbCdEf", "arn:aws:ssm:eu-central-1:000000000000:parameter/b"]
  }
  assert {
    condition = { for role, policy in output.policies : role => flatten([
      for statement in jsondecode(policy).Statement : statement.Action if contains(flatten([statement.Resource]), "*")
      ]) } == {
      submitter = ["batch:DescribeComputeEnvironments", "batch:DescribeJobDefinitions", "batch:DescribeJobQueues", "batch:DescribeJobs", "batch:ListJobs", "logs:DescribeLogGroups"]
      job       = []
      execution = ["ecr:GetAuthorizationToken"]
      instance  = ["ecs:DiscoverPollEndpoint"]
    }
    error_message = "only calls without a resource are allowed on all"
  }
  assert {
    condition     = alltrue([for policy in values(output.policies) : alltrue([for statement in jsondecode(policy).Statement : alltrue([for action in statement.Action : !strcontains(action, "*")])])])
    error_message = "actions are named one by one"
  }
  assert {
    # A managed policy holds 6144 characters.
    condition     = alltrue([for policy in values(output.policies) : length(policy) <= 6144])
    error_message = "AWS takes 6144 characters a policy"
  }
  assert {
    condition = [for statement in jsondecode(output.policies.submitter).Statement : statement.Resource if statement.Sid == "Submit"] == [[
      "arn:aws:batch:eu-central-1:000000000000:job-queue/batchmap-default",
      "arn:aws:batch:eu-central-1:000000000000:job-queue/batchmap-interruptible",
      "arn:aws:batch:eu-central-1:000000000000:job-definition/batchmap-*",
      "arn:aws:batch:eu-central-1:000000000000:job-definition/batchmap-*:*",
      "arn:aws:batch:eu-central-1:000000000000:job/*",
    ]]
    error_message = "submits to its own queues alone"
  }
  assert {
    condition = [for statement in jsondecode(output.policies.submitter).Statement : [statement.Resource, statement.Condition] if statement.Sid == "GiveJobsTheirRoles"] == [[
      ["arn:aws:iam::000000000000:role/batchmap-eu-central-1-job", "arn:aws:iam::000000000000:role/batchmap-eu-central-1-execution"],
      { StringEquals = { "iam:PassedToService" = ["ecs-tasks.amazonaws.com", "batch.amazonaws.com"] } },
    ]]
    error_message = "passes its own two roles, to what runs jobs alone"
  }
  assert {
    condition = [for statement in jsondecode(output.policies.job).Statement : statement.Resource if statement.Sid == "Write"] == [[
      "arn:aws:s3:::batchmap-000000000000-eu-central-1/batchmap/executions/*/subtasks/*",
      "arn:aws:s3:::batchmap-000000000000-eu-central-1/batchmap/executions/*/children/*",
      "arn:aws:s3:::batchmap-000000000000-eu-central-1/batchmap/raw/*",
    ]]
    error_message = "children write results and files, nothing else"
  }
  assert {
    condition = alltrue([for role in ["submitter", "job"] : contains(flatten([
      for statement in jsondecode(output.policies[role]).Statement : statement.Resource
    ]), "arn:aws:kms:eu-central-1:000000000000:key/a")])
    error_message = "who reads and writes objects may use their key"
  }
}

# Names of roles and of queues are composed for policies before they are made: they must be those that are made.
run "names_in_policies_are_those_of_what_is_made" {
  assert {
    condition     = aws_iam_role.job.name == "batchmap-eu-central-1-job" && aws_iam_role.execution.name == "batchmap-eu-central-1-execution"
    error_message = "roles"
  }
  assert {
    condition     = [for queue in aws_batch_job_queue.this : queue.name] == ["batchmap-default", "batchmap-interruptible"]
    error_message = "queues"
  }
  assert {
    condition     = aws_cloudwatch_log_group.this.name == local.log_group && aws_ecr_repository.this[0].name == "batchmap"
    error_message = "log group and repository"
  }
}
