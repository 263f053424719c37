variable "bucket_name" {
  description = "Name of the bucket; `<name>-<account>-<region>` when null."
  type        = string
  default     = null

  validation {
    condition = var.bucket_name == null ? true : alltrue([
      can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.bucket_name)),
      !can(regex("\\.\\.|\\.-|-\\.|^[0-9]+(\\.[0-9]+){3}$", var.bucket_name)),
      !can(regex("^(xn--|sthree-|amzn-s3-demo-)|(-s3alias|--ol-s3|\\.mrap|--x-s3|--table-s3)$", var.bucket_name)),
    ])
    error_message = "bucket_name: AWS takes 3 to 63 lower-case letters, digits, dots and hyphens, beginning and ending with a letter or digit, without two dots in a row, not shaped like an address, and without the beginnings and endings that it keeps for itself (xn--, sthree-, -s3alias, --ol-s3, ...)."
  }
  validation {
    condition     = var.bucket_name == null ? true : !strcontains(var.bucket_name, ".")
    error_message = "bucket_name: a dot breaks the certificate of S3's addresses, and the bucket takes TLS alone: use hyphens."
  }
}

variable "prefix" {
  description = "What batchmap's keys in the bucket begin with; may be empty."
  type        = string
  default     = "batchmap"
  nullable    = false

  validation {
    condition     = can(regex("^([A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*)?$", var.prefix)) && length(var.prefix) <= 200
    error_message = "prefix: give letters, digits, dots, hyphens and underscores in parts with single slashes between them, without one at the ends, at most 200 in all: `*`, `?` and `$` mean something else in policies."
  }
}

variable "encryption" {
  description = "How objects, images and logs are encrypted: `SSE-S3` (AWS's keys, free) or `KMS` (`kms_key_arn`, or a key that is made)."
  type        = string
  default     = "SSE-S3"
  nullable    = false

  validation {
    condition     = contains(["SSE-S3", "KMS"], var.encryption)
    error_message = "encryption: write SSE-S3 or KMS."
  }
}

variable "kms_key_arn" {
  description = "An existing key for `encryption = \"KMS\"`; one is made when null. Its policy must let the account's roles and CloudWatch Logs use it."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null ? true : can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$", var.kms_key_arn))
    error_message = "kms_key_arn: give the ARN of a key, arn:aws:kms:REGION:ACCOUNT:key/ID, not of an alias."
  }
  validation {
    condition     = var.kms_key_arn == null || var.encryption == "KMS"
    error_message = "kms_key_arn: is only used with encryption = \"KMS\"."
  }
}

variable "versioning" {
  description = "Whether the bucket keeps earlier versions of objects. batchmap needs none: what it may not overwrite it writes once."
  type        = bool
  default     = false
  nullable    = false
}

variable "execution_expiry_days" {
  description = "Days after which S3 removes what executions hold: inputs, journals, outputs; 0 for never. An execution that runs that long loses its journal."
  type        = number
  default     = 90
  nullable    = false

  validation {
    condition     = var.execution_expiry_days >= 0 && var.execution_expiry_days == floor(var.execution_expiry_days)
    error_message = "execution_expiry_days: give whole days, or 0 for never."
  }
}

variable "cache_expiry_days" {
  description = "Days after which S3 removes cached outputs; 0 for never."
  type        = number
  default     = 90
  nullable    = false

  validation {
    condition     = var.cache_expiry_days >= 0 && var.cache_expiry_days == floor(var.cache_expiry_days)
    error_message = "cache_expiry_days: give whole days, or 0 for never."
  }
}

variable "raw_expiry_days" {
  description = "Days after which S3 removes files that outputs name; 0 for never. When null, those of executions and cache together and one more: an execution may take, on its first day, what was cached on the cache's last."
  type        = number
  default     = null

  validation {
    condition     = var.raw_expiry_days == null ? true : var.raw_expiry_days >= 0 && var.raw_expiry_days == floor(var.raw_expiry_days)
    error_message = "raw_expiry_days: give whole days, or 0 for never."
  }
  validation {
    condition     = var.raw_expiry_days == null || var.raw_expiry_days == 0 ? true : var.cache_expiry_days > 0 && var.raw_expiry_days >= var.cache_expiry_days
    error_message = "raw_expiry_days: is shorter than cache_expiry_days: cached outputs would name files that are gone. Give at least as many days, or 0 for never."
  }
  validation {
    condition     = var.raw_expiry_days == null || var.raw_expiry_days == 0 ? true : var.execution_expiry_days > 0 && var.raw_expiry_days >= var.execution_expiry_days
    error_message = "raw_expiry_days: is shorter than execution_expiry_days: executions' outputs would name files that are gone. Give at least as many days, or 0 for never."
  }
}

variable "log_retention_days" {
  description = "Days that CloudWatch keeps what children write."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days: CloudWatch knows 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 and 3653 days; for ever is not offered, because nobody empties it."
  }
}

variable "create_repository" {
  description = "Whether to make an ECR repository for images."
  type        = bool
  default     = true
  nullable    = false
}

variable "keep_images" {
  description = "How many images the repository keeps; older ones are removed."
  type        = number
  default     = 50
  nullable    = false

  validation {
    condition     = var.keep_images >= 1 && var.keep_images == floor(var.keep_images)
    error_message = "keep_images: give a whole number from 1 on."
  }
}
