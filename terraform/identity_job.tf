# The job role: the code inside the containers, batchmap's worker and the task's own. All children share it, so it may
# write results and files only: journals, inputs and the cache are the submitter's.

locals {
  job_policy = {
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid    = "Read"
        Effect = "Allow"
        Action = ["s3:GetObject"]
        Resource = [
          "${local.objects_arn}executions/*/task.pb",
          "${local.objects_arn}executions/*/inputs/*",
          "${local.objects_arn}executions/*/arrays/*",
          "${local.objects_arn}executions/*/subtasks/*",
          "${local.objects_arn}executions/*/children/*",
          "${local.objects_arn}raw/*",
          "${local.objects_arn}flyte/uploads/*",
        ]
      },
      {
        Sid    = "Write"
        Effect = "Allow"
        Action = ["s3:AbortMultipartUpload", "s3:PutObject"]
        Resource = [
          "${local.objects_arn}executions/*/subtasks/*",
          "${local.objects_arn}executions/*/children/*",
          "${local.objects_arn}raw/*",
        ]
      },
      {
        # Folders of files, and checkpoints. IfExists: as of the submitter, so that what is not there is told from what is
        # not allowed.
        Sid      = "List"
        Effect   = "Allow"
        Action   = ["s3:ListBucket"]
        Resource = [local.bucket_arn]
        Condition = { StringLikeIfExists = { "s3:prefix" = [
          "${local.keys}executions/*/inputs/*",
          "${local.keys}executions/*/arrays/*",
          "${local.keys}executions/*/subtasks/*",
          "${local.keys}executions/*/children/*",
          "${local.keys}raw/*",
          "${local.keys}flyte/uploads/*",
        ] } }
      },
    ], local.kms_statements, local.read_bucket_statements)
  }

  job_role_arn = "${local.roles}/${local.role_prefix}-job"
}

resource "aws_iam_role" "job" {
  name                 = "${local.role_prefix}-job"
  description          = "The code in batchmap's containers"
  assume_role_policy   = jsonencode(local.task_trust)
  permissions_boundary = var.permissions_boundary_arn
  tags                 = local.tags
}

resource "aws_iam_policy" "job" {
  name        = "${local.role_prefix}-job"
  description = "What children of batchmap read and write"
  policy      = jsonencode(local.job_policy)
  tags        = local.tags
}

resource "aws_iam_role_policy_attachment" "job" {
  role       = aws_iam_role.job.name
  policy_arn = aws_iam_policy.job.arn
}

resource "aws_iam_role_policy_attachment" "job_more" {
  for_each   = toset(var.job_policy_arns)
  role       = aws_iam_role.job.name
  policy_arn = each.value
}
