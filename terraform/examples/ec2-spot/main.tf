# EC2: interruptible tasks on spot, overflowing to on-demand machines, and GPUs for those that ask for them.
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

  name                    = "batchmap-spot"
  platform                = "EC2"
  instance_types          = ["c6i", "m6i", "r6i"]
  gpu_instance_types      = ["g5"]
  max_vcpus               = 256
  interruptible_max_vcpus = 4096
  # A task's last start is on demand in any case; this lets the others start there too when spot is full.
  interruptible_fallback = true
  # Who waits for spot for six hours at the head of the queue waits in vain.
  stuck_jobs = { no_capacity = 21600 }
  image_tag  = "v1"
  tags       = { team = "data" }
}

output "batchmap_toml" {
  description = "`terraform output -raw batchmap_toml > batchmap.toml`"
  value       = module.batchmap.batchmap_toml
}

output "repository_url" {
  description = "Where to push images."
  value       = module.batchmap.repository_url
}
