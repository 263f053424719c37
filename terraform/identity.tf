# Four roles, each with one policy of its own (identity_*.tf). Roles are of the account, not of a region: so their names
# hold it, and a second region can have the same `name`.

locals {
  role_prefix = "${var.name}-${local.region}"
  roles       = "arn:${local.partition}:iam::${local.account}:role"

  objects_arn = "${local.bucket_arn}/${local.keys}"

  # For whoever reads or writes objects of a bucket with a key of KMS's: S3 asks for it in their name.
  kms_statements = local.use_kms ? [{
    Sid      = "ObjectKeys"
    Effect   = "Allow"
    Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
    Resource = [local.key_arn]
    Condition = { StringEquals = {
      "kms:ViaService" = "s3.${local.region}.${data.aws_partition.current.dns_suffix}"
    } }
  }] : []

  read_bucket_statements = length(var.read_bucket_names) == 0 ? [] : [
    {
      Sid      = "ReadOtherBuckets"
      Effect   = "Allow"
      Action   = ["s3:GetObject"]
      Resource = [for name in var.read_bucket_names : "arn:${local.partition}:s3:::${name}/*"]
    },
    {
      Sid      = "ListOtherBuckets"
      Effect   = "Allow"
      Action   = ["s3:ListBucket"]
      Resource = [for name in var.read_bucket_names : "arn:${local.partition}:s3:::${name}"]
    },
  ]

  # Of ECS's tasks of this account and region, and of nobody who has ECS act for another.
  task_trust = {
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Tasks"
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account }
        ArnLike      = { "aws:SourceArn" = "arn:${local.partition}:ecs:${local.region}:${local.account}:*" }
      }
    }]
  }
}
