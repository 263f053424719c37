variable "vpc_id" {
  description = "An existing VPC, with `subnet_ids`; a small one is made when null."
  type        = string
  default     = null

  validation {
    condition     = var.vpc_id == null ? true : can(regex("^vpc-[0-9a-z]+$", var.vpc_id))
    error_message = "vpc_id: give an id such as vpc-0123456789abcdef0."
  }
  validation {
    condition     = var.vpc_id == null || length(var.subnet_ids) > 0
    error_message = "vpc_id: an existing VPC needs its subnets named: give subnet_ids, or leave vpc_id out for a VPC of the module's own."
  }
  validation {
    # Said here, because two variables' conditions may not look at each other.
    condition     = var.vpc_id != null || length(var.subnet_ids) == 0
    error_message = "subnet_ids: say which VPC they are in: give vpc_id."
  }
}

variable "subnet_ids" {
  description = "Subnets of `vpc_id` that children run in. Without `assign_public_ip` they need a way to S3, the image's registry and CloudWatch Logs: NAT, or endpoints."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for id in var.subnet_ids : can(regex("^subnet-[0-9a-z]+$", id))]) && length(distinct(var.subnet_ids)) == length(var.subnet_ids)
    error_message = "subnet_ids: give ids such as subnet-0123456789abcdef0, each once."
  }
  validation {
    condition     = length(var.subnet_ids) <= 16
    error_message = "subnet_ids: AWS Batch takes at most 16."
  }
}

variable "security_group_ids" {
  description = "Security groups of children; when empty, one that lets everything out and nothing in."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(var.security_group_ids) == 0 || var.vpc_id != null
    error_message = "security_group_ids: groups belong to an existing VPC: give vpc_id and subnet_ids too."
  }
  validation {
    condition     = length(var.security_group_ids) <= 5 && alltrue([for id in var.security_group_ids : can(regex("^sg-[0-9a-z]+$", id))])
    error_message = "security_group_ids: give at most five ids such as sg-0123456789abcdef0."
  }
}

variable "vpc_cidr" {
  description = "Addresses of the VPC that is made when there is no `vpc_id`."
  type        = string
  default     = "10.64.0.0/16"
  nullable    = false

  validation {
    condition     = can(cidrnetmask(var.vpc_cidr)) && can(regex("/(1[6-9]|2[0-4])$", var.vpc_cidr))
    error_message = "vpc_cidr: give an IPv4 block from /16 to /24, such as 10.64.0.0/16."
  }
}

variable "availability_zones" {
  description = "In how many availability zones the VPC that is made has a subnet."
  type        = number
  default     = 3
  nullable    = false

  validation {
    condition     = var.availability_zones >= 1 && var.availability_zones <= 6 && var.availability_zones == floor(var.availability_zones)
    error_message = "availability_zones: give a number from 1 to 6."
  }
  validation {
    condition     = var.availability_zones >= 2 || !var.interruptible || var.vpc_id != null
    error_message = "availability_zones: spot capacity of one zone alone runs out together: give at least 2, or set interruptible = false."
  }
}

variable "assign_public_ip" {
  description = "Whether Fargate gives children a public address, without which they reach nothing where there is neither NAT nor an endpoint; when null, yes in the VPC that is made and no in an existing one."
  type        = bool
  default     = null

  validation {
    condition     = var.assign_public_ip != true || var.platform == "FARGATE"
    error_message = "assign_public_ip: only Fargate gives children an address; on EC2 the subnets decide: leave it out."
  }
  validation {
    condition     = var.assign_public_ip != false || var.vpc_id != null || var.platform == "EC2" || length(var.vpc_endpoints) > 0
    error_message = "assign_public_ip: the VPC that is made has no NAT, so without an address children reach nothing: leave it out, name an existing VPC, or add vpc_endpoints."
  }
}

variable "egress_cidr_blocks" {
  description = "Where children may connect to, by the security group that is made; everywhere by default. An empty list with `vpc_endpoints` keeps them inside."
  type        = list(string)
  default     = ["0.0.0.0/0"]
  nullable    = false

  validation {
    condition     = alltrue([for block in var.egress_cidr_blocks : can(cidrnetmask(block))])
    error_message = "egress_cidr_blocks: give IPv4 blocks such as 10.0.0.0/8."
  }
}

variable "vpc_endpoints" {
  description = "AWS services that children reach without the internet, each paid by the hour in every zone, such as [\"ecr.api\", \"ecr.dkr\", \"logs\"] (EC2 needs \"ecs\", \"ecs-agent\" and \"ecs-telemetry\" too). S3's costs nothing and is always made in the VPC that is made."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for service in var.vpc_endpoints : contains(["ecr.api", "ecr.dkr", "ecs", "ecs-agent", "ecs-telemetry", "kms", "logs", "secretsmanager", "ssm", "sts"], service)])
    error_message = "vpc_endpoints: known are ecr.api, ecr.dkr, ecs, ecs-agent, ecs-telemetry, kms, logs, secretsmanager, ssm and sts; S3 needs none named."
  }
}
