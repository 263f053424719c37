variable "name" {
  description = "What the names of everything begin with. Two deployments in one account have different names."
  type        = string
  default     = "batchmap"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,22}[a-z0-9]$", var.name))
    error_message = "name: give 2 to 24 lower-case letters, digits and hyphens, the first a letter, the last no hyphen: bucket and roles are named from it."
  }
}

variable "tags" {
  description = "Tags of everything that can have them; instances get them too."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = length(var.tags) <= 45
    error_message = "tags: AWS allows 50 a resource, and the module adds some: give at most 45."
  }
  validation {
    condition     = alltrue([for key in keys(var.tags) : !startswith(lower(key), "aws:")])
    error_message = "tags: keys that begin with aws: are AWS's own; choose others."
  }
}

variable "platform" {
  description = "What runs the containers: EC2 (cheaper for many children, GPUs) or FARGATE (no machines to look after)."
  type        = string
  default     = "EC2"
  nullable    = false

  validation {
    condition     = contains(["EC2", "FARGATE"], var.platform)
    error_message = "platform: write EC2 or FARGATE; spot capacity comes with interruptible = true."
  }
}

variable "force_destroy" {
  description = "Whether `terraform destroy` may remove the bucket and the image repository with all that they hold."
  type        = bool
  default     = false
  nullable    = false
}

variable "image" {
  description = "Image of tasks that name none, written into `batchmap_toml`: any registry's, whole. See `image_tag` for the module's own repository."
  type        = string
  default     = null

  validation {
    condition     = var.image == null ? true : can(regex("^[^\\s\"]+$", var.image))
    error_message = "image: give a name as in `docker pull`, without spaces, such as public.ecr.aws/docker/library/python:3.12."
  }
}

variable "image_tag" {
  description = "Tag in the module's own image repository, written into `batchmap_toml` as the image of tasks that name none."
  type        = string
  default     = null

  validation {
    condition     = var.image_tag == null ? true : can(regex("^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$", var.image_tag))
    error_message = "image_tag: give a tag alone, such as v1: letters, digits, dots, hyphens and underscores."
  }
  validation {
    condition     = var.image_tag == null || var.image == null
    error_message = "image_tag: image is given as well, and there is one default image: give one of the two."
  }
  validation {
    condition     = var.image_tag == null || var.create_repository
    error_message = "image_tag: there is no repository to find it in: set create_repository = true, or give the whole name as image."
  }
}

variable "worker_image" {
  description = "Image that holds batchmap's worker (container/Dockerfile), written into `batchmap_toml`: it is put beside every task's own image, which then needs nothing of batchmap. Without it the worker is in the tasks' images."
  type        = string
  default     = null

  validation {
    condition     = var.worker_image == null ? true : can(regex("^[^\\s\"]+$", var.worker_image))
    error_message = "worker_image: give a name as in `docker pull`, without spaces."
  }
}

variable "endpoint" {
  description = "Address of an endpoint instead of AWS's, written into `batchmap_toml`: `batchmap emulator`, LocalStack. The provider's own endpoints are the caller's affair."
  type        = string
  default     = null

  validation {
    condition     = var.endpoint == null ? true : can(regex("^https?://[^/\\s\"]+", var.endpoint))
    error_message = "endpoint: give an address such as http://127.0.0.1:4566."
  }
}
