# One bucket: inputs, journals, outputs, cache, and what `batchmap serve` keeps.

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_18:access logs are paid by the request, and a map makes millions; CloudTrail's data events can be set from outside
  #checkov:skip=CKV_AWS_144:what is here can be computed again; another region's copy would double what it costs
  #checkov:skip=CKV2_AWS_62:nothing listens to events of the bucket: batchmap lists
  #checkov:skip=CKV_AWS_21:off unless versioning = true: what must not be overwritten is written once, on a condition, and old versions of the rest would only cost
  #checkov:skip=CKV_AWS_145:SSE-S3 unless encryption = "KMS": KMS is paid by the request too, and keys of AWS encrypt as well
  bucket        = local.bucket
  force_destroy = var.force_destroy
  tags          = local.tags
}

resource "aws_s3_bucket_public_access_block" "this" {
  bucket                  = aws_s3_bucket.this.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  bucket = aws_s3_bucket.this.id
  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.id
  rule {
    # A key of the bucket's own, made of KMS's, answers for most objects: a million children are not a million calls to KMS.
    bucket_key_enabled = local.use_kms
    apply_server_side_encryption_by_default {
      sse_algorithm     = local.use_kms ? "aws:kms" : "AES256"
      kms_master_key_id = local.use_kms ? local.key_arn : null
    }
  }
}

resource "aws_s3_bucket_versioning" "this" {
  count  = var.versioning ? 1 : 0
  bucket = aws_s3_bucket.this.id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_policy" "this" {
  bucket = aws_s3_bucket.this.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "TlsOnly"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [local.bucket_arn, "${local.bucket_arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
  # S3 takes one change of access at a time.
  depends_on = [aws_s3_bucket_public_access_block.this]
}

locals {
  bucket_arn = "arn:${local.partition}:s3:::${local.bucket}"

  # flyte/ is `batchmap serve`'s registry and stays; `batchmap gc` removes what it need not keep.
  expiry = {
    for folder, days in {
      executions = var.execution_expiry_days
      cache      = var.cache_expiry_days
      leases     = var.cache_expiry_days
      raw        = local.raw_expiry_days
    } : folder => days if days > 0
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    id     = "unfinished-uploads"
    status = "Enabled"
    filter {
      prefix = ""
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  dynamic "rule" {
    for_each = local.expiry
    content {
      id     = rule.key
      status = "Enabled"
      filter {
        prefix = "${local.keys}${rule.key}/"
      }
      expiration {
        days = rule.value
      }
    }
  }

  dynamic "rule" {
    for_each = var.versioning ? [1] : []
    content {
      id     = "earlier-versions"
      status = "Enabled"
      filter {
        prefix = ""
      }
      noncurrent_version_expiration {
        noncurrent_days = 7
      }
      # What is left of an object whose versions have all gone.
      expiration {
        expired_object_delete_marker = true
      }
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}
