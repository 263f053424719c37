# In a VPC that is there, with its subnets and groups: private ones, which reach AWS by NAT or endpoints of their own.
# KMS, a permissions boundary, and CI that submits by OpenID Connect.
terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.80, < 6.0"
    }
  }
}

variable "region" {
  description = "The AWS region."
  type        = string
  default     = "eu-central-1"
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Its subnets, in two availability zones at least."
  type        = list(string)
}

variable "permissions_boundary_arn" {
  description = "The policy that bounds every role, where the account demands one."
  type        = string
  default     = null
}

variable "oidc_provider_arn" {
  description = "The provider of CI's tokens; none when null."
  type        = string
  default     = null
}

variable "repository" {
  description = "OWNER/NAME of the repository whose main branch may submit."
  type        = string
  default     = "example-owner/example"
}

provider "aws" {
  region = var.region
}

module "batchmap" {
  source = "../.."

  name       = "batchmap-vpc"
  platform   = "FARGATE"
  vpc_id     = var.vpc_id
  subnet_ids = var.subnet_ids

  encryption               = "KMS"
  permissions_boundary_arn = var.permissions_boundary_arn
  oidc = var.oidc_provider_arn == null ? null : {
    provider_arn = var.oidc_provider_arn
    subjects     = ["repo:${var.repository}:ref:refs/heads/main"]
  }
  image_tag = "v1"
}

output "batchmap_toml" {
  description = "`terraform output -raw batchmap_toml > batchmap.toml`"
  value       = module.batchmap.batchmap_toml
}

output "repository_url" {
  description = "Where to push images."
  value       = module.batchmap.repository_url
}
