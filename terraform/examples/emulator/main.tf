# The whole module without an AWS account: Batch on `batchmap emulator`, all else on moto. No endpoint is named here:
# AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_BATCH say where they are, to terraform, to batchmap and to the AWS CLI alike.
terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.80, < 6.0"
    }
  }
}

variable "name" {
  description = "What names begin with."
  type        = string
  default     = "batchmap-emulator"
}

variable "platform" {
  description = "EC2 or FARGATE."
  type        = string
  default     = "EC2"
}

variable "encryption" {
  description = "SSE-S3 or KMS."
  type        = string
  default     = "SSE-S3"
}

variable "fair_share" {
  description = "Whether the queues are shared by share identifiers."
  type        = bool
  default     = false
}

variable "versioning" {
  description = "Whether the bucket keeps earlier versions."
  type        = bool
  default     = false
}

variable "endpoint" {
  description = "One endpoint for all of Batch, S3 and Logs, written into batchmap.toml; where there are several, the environment names them."
  type        = string
  default     = null
}

provider "aws" {
  region = "us-east-1"
}

module "batchmap" {
  source = "../.."

  name       = var.name
  platform   = var.platform
  encryption = var.encryption
  versioning = var.versioning
  fair_share = var.fair_share ? { weights = { batchmap = 1, nightly = 10 } } : null
  endpoint   = var.endpoint

  # The emulator runs children as processes, whatever image they name.
  image         = "example.invalid/none:1"
  force_destroy = true
}

output "batchmap_toml" {
  description = "`terraform output -raw batchmap_toml > batchmap.toml`"
  value       = module.batchmap.batchmap_toml
}

output "repository_url" {
  description = "Where to push images."
  value       = module.batchmap.repository_url
}

output "bucket" {
  description = "Name of the bucket."
  value       = module.batchmap.bucket
}
