# The submitter: whoever runs `batchmap run`, `serve`, `status`, `abort`, `gc`, ...

locals {
  # `batchmap` names what it registers by its content.
  definitions_arn = "arn:${local.partition}:batch:${local.region}:${local.account}:job-definition/batchmap-*"
  jobs_arn        = "arn:${local.partition}:batch:${local.region}:${local.account}:job/*"

  submitter_policy = {
    Version = "2012-10-17"
    Statement = concat([
      {
        # AWS has no resources for these: they tell of everything or of nothing.
        Sid    = "Look"
        Effect = "Allow"
        Action = [
          "batch:DescribeComputeEnvironments",
          "batch:DescribeJobDefinitions",
          "batch:DescribeJobQueues",
          "batch:DescribeJobs",
          "batch:ListJobs",
          # For `batchmap doctor`, which looks whether the log group is there.
          "logs:DescribeLogGroups",
        ]
        Resource = ["*"]
      },
      {
        Sid    = "Submit"
        Effect = "Allow"
        Action = ["batch:SubmitJob"]
        Resource = concat(
          [for queue in local.queue_arns : queue],
          [local.definitions_arn, "${local.definitions_arn}:*", local.jobs_arn],
        )
      },
      {
        # SubmitJob with tags takes this as well.
        Sid       = "TagWhatIsSubmitted"
        Effect    = "Allow"
        Action    = ["batch:TagResource"]
        Resource  = [local.jobs_arn]
        Condition = { Null = { "aws:RequestTag/batchmap:execution" = "false" } }
      },
      {
        # Jobs have no queue in their ARN: the tag that batchmap gives each is what tells its own from others'.
        Sid       = "EndWhatWasSubmitted"
        Effect    = "Allow"
        Action    = ["batch:TerminateJob"]
        Resource  = [local.jobs_arn]
        Condition = { Null = { "aws:ResourceTag/batchmap:execution" = "false" } }
      },
      {
        Sid      = "Register"
        Effect   = "Allow"
        Action   = ["batch:RegisterJobDefinition"]
        Resource = [local.definitions_arn]
      },
      {
        Sid       = "GiveJobsTheirRoles"
        Effect    = "Allow"
        Action    = ["iam:PassRole"]
        Resource  = [local.job_role_arn, local.execution_role_arn]
        Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }
      },
      {
        Sid      = "Objects"
        Effect   = "Allow"
        Action   = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
        Resource = ["${local.objects_arn}*"]
      },
      {
        # IfExists: the request for an object that is not there names no prefix, and to whoever may not list S3 answers
        # it with 403 instead of 404.
        Sid       = "List"
        Effect    = "Allow"
        Action    = ["s3:ListBucket"]
        Resource  = [local.bucket_arn]
        Condition = { StringLikeIfExists = { "s3:prefix" = ["${local.keys}*"] } }
      },
      {
        Sid      = "ReadLogs"
        Effect   = "Allow"
        Action   = ["logs:GetLogEvents"]
        Resource = ["${local.log_group_arn}:log-stream:*"]
      },
    ], local.kms_statements, local.read_bucket_statements)
  }

  submitter_trust = {
    Version = "2012-10-17"
    Statement = concat(
      length(var.submitter_principal_arns) > 0 ? [{
        Sid       = "Named"
        Effect    = "Allow"
        Action    = "sts:AssumeRole"
        Principal = { AWS = var.submitter_principal_arns }
      }] : [],
      [for service in var.submitter_services : {
        Sid       = "Service${replace(title(replace(service, "-", " ")), " ", "")}"
        Effect    = "Allow"
        Action    = "sts:AssumeRole"
        Principal = { Service = "${service}.amazonaws.com" }
      }],
      var.oidc == null ? [] : [{
        Sid       = "Ci"
        Effect    = "Allow"
        Action    = "sts:AssumeRoleWithWebIdentity"
        Principal = { Federated = var.oidc.provider_arn }
        Condition = {
          StringEquals = { "${local.oidc_host}:aud" = var.oidc.audience }
          StringLike   = { "${local.oidc_host}:sub" = var.oidc.subjects }
        }
      }],
      length(var.submitter_principal_arns) + length(var.submitter_services) == 0 && var.oidc == null ? [{
        # Whoever's own policy allows to assume this role; by itself it opens nothing.
        Sid       = "Account"
        Effect    = "Allow"
        Action    = "sts:AssumeRole"
        Principal = { AWS = "arn:${local.partition}:iam::${local.account}:root" }
      }] : [],
    )
  }
  oidc_host = var.oidc == null ? "" : split(":oidc-provider/", var.oidc.provider_arn)[1]

  # By name: known before they are made, so that plans show whole policies.
  queue_arns = { for name, _ in local.queues : name => "arn:${local.partition}:batch:${local.region}:${local.account}:job-queue/${var.name}-${name}" }
}

resource "aws_iam_role" "submitter" {
  name                 = "${local.role_prefix}-submitter"
  description          = "Runs batchmap: submits, watches and ends its jobs, and keeps its bucket"
  assume_role_policy   = jsonencode(local.submitter_trust)
  permissions_boundary = var.permissions_boundary_arn
  max_session_duration = 43200
  tags                 = local.tags
}

resource "aws_iam_policy" "submitter" {
  #checkov:skip=CKV_AWS_355:only for calls of Batch that have no resource
  name        = "${local.role_prefix}-submitter"
  description = "What batchmap needs to submit, watch and end its jobs"
  policy      = jsonencode(local.submitter_policy)
  tags        = local.tags
}

resource "aws_iam_role_policy_attachment" "submitter" {
  role       = aws_iam_role.submitter.name
  policy_arn = aws_iam_policy.submitter.arn
}
