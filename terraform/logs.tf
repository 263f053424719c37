locals {
  log_group     = "/batchmap/${var.name}"
  log_group_arn = "arn:${local.partition}:logs:${local.region}:${local.account}:log-group:${local.log_group}"
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_338:30 days unless log_retention_days says more: what a child prints is of use while somebody looks into its map
  #checkov:skip=CKV_AWS_158:CloudWatch's own encryption unless encryption = "KMS"
  name              = local.log_group
  retention_in_days = var.log_retention_days
  kms_key_id        = local.use_kms ? local.key_arn : null
  tags              = local.tags
}
