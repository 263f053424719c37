variable "max_vcpus" {
  description = "vCPUs that may run at once on demand. Nothing runs, and nothing is paid, while there are no jobs."
  type        = number
  default     = 256
  nullable    = false

  validation {
    condition     = var.max_vcpus >= 1 && var.max_vcpus == floor(var.max_vcpus)
    error_message = "max_vcpus: give a whole number from 1 on: with none no job can ever start."
  }
}

variable "interruptible" {
  description = "Whether there is a queue of spot capacity beside the default one, for tasks that say they are interruptible."
  type        = bool
  default     = true
  nullable    = false
}

variable "interruptible_max_vcpus" {
  description = "vCPUs that may run at once on spot; as many as `max_vcpus` when null."
  type        = number
  default     = null

  validation {
    condition     = var.interruptible_max_vcpus == null ? true : var.interruptible_max_vcpus >= 1 && var.interruptible_max_vcpus == floor(var.interruptible_max_vcpus)
    error_message = "interruptible_max_vcpus: give a whole number from 1 on, or interruptible = false for no spot at all."
  }
}

variable "interruptible_fallback" {
  description = "Whether jobs of the interruptible queue may also start on demand when the spot environment is full. batchmap puts a task's last start on the default queue in either case."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = var.interruptible || !var.interruptible_fallback
    error_message = "interruptible_fallback: there is no interruptible queue to fall back from: set interruptible = true, or leave this out."
  }
}

variable "min_vcpus" {
  description = "vCPUs of EC2 on demand that are kept running, and paid, without jobs too."
  type        = number
  default     = 0
  nullable    = false

  validation {
    condition     = var.min_vcpus >= 0 && var.min_vcpus <= var.max_vcpus
    error_message = "min_vcpus: give a number from 0 to max_vcpus."
  }
  validation {
    condition     = var.min_vcpus == 0 || var.platform == "EC2"
    error_message = "min_vcpus: Fargate keeps nothing running: leave it out, or set platform = \"EC2\"."
  }
}

variable "instance_types" {
  description = "EC2 types or families that AWS Batch chooses from. `optimal` is AWS's own choice, which every region has."
  type        = list(string)
  default     = ["optimal"]
  nullable    = false

  validation {
    condition     = length(var.instance_types) >= 1
    error_message = "instance_types: name at least one, or leave it out."
  }
  validation {
    condition     = alltrue([for type in var.instance_types : can(regex("^(optimal|default_x86_64|default_arm64|[a-z][a-z0-9-]*(\\.[a-z0-9-]+)?)$", type))])
    error_message = "instance_types: give families such as c6i or types such as c6i.large."
  }
  validation {
    # Families of NVIDIA GPUs: g4dn, g5, g5g, g6, gr6, p3, p4d, p5, ...
    condition     = alltrue([for type in var.instance_types : !can(regex("^(g|gr|p)[0-9]", type))])
    error_message = "instance_types: GPU families belong into gpu_instance_types: they get an environment of their own, so that no task without a GPU starts one."
  }
}

variable "gpu_instance_types" {
  description = "EC2 types or families with GPUs, for tasks that ask for them; none when empty."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(var.gpu_instance_types) == 0 || var.platform == "EC2"
    error_message = "gpu_instance_types: Fargate has no GPUs: set platform = \"EC2\", or leave gpu_instance_types empty."
  }
  validation {
    condition     = alltrue([for type in var.gpu_instance_types : can(regex("^(g|gr|p)[0-9][a-z0-9-]*(\\.[a-z0-9-]+)?$", type))])
    error_message = "gpu_instance_types: give families or types with NVIDIA GPUs, such as g5 or p4d.24xlarge."
  }
}

variable "gpu_max_vcpus" {
  description = "vCPUs that may run at once on instances with GPUs, on demand and on spot each."
  type        = number
  default     = 96
  nullable    = false

  validation {
    condition     = var.gpu_max_vcpus >= 1 && var.gpu_max_vcpus == floor(var.gpu_max_vcpus)
    error_message = "gpu_max_vcpus: give a whole number from 1 on; without GPUs leave gpu_instance_types empty."
  }
}

variable "spot_allocation_strategy" {
  description = "How AWS Batch chooses among EC2 types on spot."
  type        = string
  default     = "SPOT_PRICE_CAPACITY_OPTIMIZED"
  nullable    = false

  validation {
    condition     = contains(["SPOT_PRICE_CAPACITY_OPTIMIZED", "SPOT_CAPACITY_OPTIMIZED", "BEST_FIT_PROGRESSIVE"], var.spot_allocation_strategy)
    error_message = "spot_allocation_strategy: write SPOT_PRICE_CAPACITY_OPTIMIZED, SPOT_CAPACITY_OPTIMIZED or BEST_FIT_PROGRESSIVE."
  }
}

variable "spot_bid_percentage" {
  description = "The most to pay for spot, in percent of the price on demand; AWS's default, the whole price, when null."
  type        = number
  default     = null

  validation {
    condition     = var.spot_bid_percentage == null ? true : var.spot_bid_percentage >= 1 && var.spot_bid_percentage <= 100
    error_message = "spot_bid_percentage: give a percentage from 1 to 100."
  }
  validation {
    condition     = var.spot_bid_percentage == null || var.platform == "EC2"
    error_message = "spot_bid_percentage: Fargate takes no bid: leave it out, or set platform = \"EC2\"."
  }
}

variable "root_volume_gib" {
  description = "GiB of each instance's encrypted root volume, which holds the images and what containers write."
  type        = number
  default     = 50
  nullable    = false

  validation {
    condition     = var.root_volume_gib >= 30 && var.root_volume_gib <= 16384
    error_message = "root_volume_gib: give 30, which AWS's machine image takes, to 16384."
  }
}
