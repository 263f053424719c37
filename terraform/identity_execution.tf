# The execution role: ECS itself, which pulls the image, fetches the secrets and writes the logs, before and beside the
# container's own code.

locals {
  repository_arns = concat(
    var.create_repository ? ["arn:${local.partition}:ecr:${local.region}:${local.account}:repository/${var.name}"] : [],
    var.repository_arns,
  )
  secrets    = [for arn in var.secret_arns : arn if strcontains(arn, ":secretsmanager:")]
  parameters = [for arn in var.secret_arns : arn if strcontains(arn, ":ssm:")]

  execution_policy = {
    Version = "2012-10-17"
    Statement = concat(
      [{
        # No log group is made: it is there, and its retention is said there.
        Sid      = "Logs"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = ["${local.log_group_arn}:log-stream:*"]
      }],
      length(local.repository_arns) == 0 ? [] : [
        {
          # AWS has no resource for it: the token opens what the next statement says.
          Sid      = "Token"
          Effect   = "Allow"
          Action   = ["ecr:GetAuthorizationToken"]
          Resource = ["*"]
        },
        {
          Sid      = "Images"
          Effect   = "Allow"
          Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
          Resource = local.repository_arns
        },
      ],
      length(local.secrets) == 0 ? [] : [{
        Sid      = "Secrets"
        Effect   = "Allow"
        Action   = ["secretsmanager:GetSecretValue"]
        Resource = local.secrets
      }],
      length(local.parameters) == 0 ? [] : [{
        Sid      = "Parameters"
        Effect   = "Allow"
        Action   = ["ssm:GetParameters"]
        Resource = local.parameters
      }],
      length(var.secret_kms_key_arns) == 0 ? [] : [{
        Sid      = "SecretKeys"
        Effect   = "Allow"
        Action   = ["kms:Decrypt"]
        Resource = var.secret_kms_key_arns
      }],
    )
  }

  execution_role_arn = "${local.roles}/${local.role_prefix}-execution"
}

resource "aws_iam_role" "execution" {
  name                 = "${local.role_prefix}-execution"
  description          = "Pulls images, fetches secrets and writes logs for batchmap's containers"
  assume_role_policy   = jsonencode(local.task_trust)
  permissions_boundary = var.permissions_boundary_arn
  tags                 = local.tags
}

resource "aws_iam_policy" "execution" {
  #checkov:skip=CKV_AWS_355:only for the token of ECR, which has no resource
  name        = "${local.role_prefix}-execution"
  description = "What ECS needs to start batchmap's containers"
  policy      = jsonencode(local.execution_policy)
  tags        = local.tags
}

resource "aws_iam_role_policy_attachment" "execution" {
  role       = aws_iam_role.execution.name
  policy_arn = aws_iam_policy.execution.arn
}
