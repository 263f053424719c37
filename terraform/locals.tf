data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.name

  on_ec2  = var.platform == "EC2"
  has_gpu = length(var.gpu_instance_types) > 0
  own_vpc = var.vpc_id == null

  bucket = coalesce(var.bucket_name, "${var.name}-${local.account}-${local.region}")
  # What keys begin with: nothing, or the prefix and its slash.
  keys = var.prefix == "" ? "" : "${var.prefix}/"

  use_kms = var.encryption == "KMS"
  own_key = local.use_kms && var.kms_key_arn == null
  # Written out, not asked of the key, so that no count depends on what is only known after it is made.
  key_arn = local.own_key ? aws_kms_key.this[0].arn : var.kms_key_arn

  assign_public_ip = !local.on_ec2 ? coalesce(var.assign_public_ip, local.own_vpc) : false

  # 0 is never, and what names a file must not outlive it.
  raw_expiry_days = var.raw_expiry_days != null ? var.raw_expiry_days : (
    var.cache_expiry_days == 0 || var.execution_expiry_days == 0 ? 0 : var.cache_expiry_days + var.execution_expiry_days + 1
  )

  image = var.image_tag == null ? var.image : "${aws_ecr_repository.this[0].repository_url}:${var.image_tag}"

  tags = merge({ "batchmap:deployment" = var.name }, var.tags)
}
