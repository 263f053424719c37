locals {
  # In the order in which a reader looks for them; null is left out.
  settings = [
    ["region", local.region],
    ["bucket", aws_s3_bucket.this.bucket],
    ["prefix", var.prefix],
    ["queue", aws_batch_job_queue.this["default"].name],
    ["interruptible_queue", var.interruptible ? aws_batch_job_queue.this["interruptible"].name : null],
    ["platform", var.platform],
    ["job_role", aws_iam_role.job.arn],
    ["execution_role", aws_iam_role.execution.arn],
    ["log_group", aws_cloudwatch_log_group.this.name],
    ["image", local.image],
    ["worker", var.worker_image == null ? null : "inject"],
    ["worker_image", var.worker_image],
    ["share_identifier", var.fair_share == null ? null : var.fair_share.identifier],
    ["endpoint", var.endpoint],
  ]
}

output "batchmap_toml" {
  description = "The whole `batchmap.toml`: `terraform output -raw batchmap_toml > batchmap.toml`."
  value = join("", concat(
    ["# Written by terraform (${var.name}): `terraform output -raw batchmap_toml > batchmap.toml` writes it again.\n"],
    [for setting in local.settings : "${setting[0]} = ${jsonencode(setting[1])}\n" if setting[1] != null],
    local.assign_public_ip ? ["assign_public_ip = true\n"] : [],
  ))
}

output "bucket" {
  description = "Name of the bucket."
  value       = aws_s3_bucket.this.bucket
}

output "queues" {
  description = "ARNs of the queues: `default`, and `interruptible` if there is one."
  value       = { for name, queue in aws_batch_job_queue.this : name => queue.arn }
}

output "compute_environments" {
  description = "ARNs of the compute environments: `on_demand`, `spot`, `gpu_on_demand`, `gpu_spot`, as far as there are."
  value       = { for name, environment in aws_batch_compute_environment.this : name => environment.arn }
}

output "role_arns" {
  description = "ARNs of the roles: `submitter`, `job`, `execution`, and `instance` on EC2."
  value = merge({
    submitter = aws_iam_role.submitter.arn
    job       = aws_iam_role.job.arn
    execution = aws_iam_role.execution.arn
  }, local.on_ec2 ? { instance = aws_iam_role.instance[0].arn } : {})
}

output "policy_arns" {
  description = "ARNs of the policies of those roles, to attach to users and roles of your own."
  value = merge({
    submitter = aws_iam_policy.submitter.arn
    job       = aws_iam_policy.job.arn
    execution = aws_iam_policy.execution.arn
  }, local.on_ec2 ? { instance = aws_iam_policy.instance[0].arn } : {})
}

output "policies" {
  description = "Those policies as JSON, to put into a role of your own or to read."
  value = merge({
    submitter = jsonencode(local.submitter_policy)
    job       = jsonencode(local.job_policy)
    execution = jsonencode(local.execution_policy)
  }, local.on_ec2 ? { instance = jsonencode(local.instance_policy) } : {})
}

output "repository_url" {
  description = "Where to push images; null without a repository."
  value       = one(aws_ecr_repository.this[*].repository_url)
}

output "log_group" {
  description = "Name of the log group."
  value       = aws_cloudwatch_log_group.this.name
}

output "kms_key_arn" {
  description = "ARN of the key; null with SSE-S3."
  value       = local.use_kms ? local.key_arn : null
}

output "vpc_id" {
  description = "The VPC, made or given."
  value       = local.vpc_id
}

output "subnet_ids" {
  description = "The subnets that children run in."
  value       = local.subnet_ids
}

output "security_group_ids" {
  description = "The security groups of children."
  value       = local.security_group_ids
}
