# Fargate and Fargate spot in a small VPC of their own: no machines to look after, nothing paid while nothing runs.
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

provider "aws" {
  region = var.region
}

module "batchmap" {
  source = "../.."

  name      = "batchmap-fargate"
  platform  = "FARGATE"
  max_vcpus = 64
  # Of the image that is pushed to the module's repository: see the README's four commands.
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
