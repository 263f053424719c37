variable "permissions_boundary_arn" {
  description = "ARN of the policy that bounds every role the module makes."
  type        = string
  default     = null

  validation {
    condition     = var.permissions_boundary_arn == null ? true : can(regex("^arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/.+$", var.permissions_boundary_arn))
    error_message = "permissions_boundary_arn: give the ARN of a policy, arn:aws:iam::ACCOUNT:policy/NAME."
  }
}

variable "submitter_principal_arns" {
  description = "Users and roles that may become the submitter: whoever runs `batchmap run` or `batchmap serve`. When this, `submitter_services` and `oidc` are all empty, those of the account whose own policies let them."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.submitter_principal_arns : can(regex("^arn:aws[a-z-]*:(iam|sts)::[0-9]{12}:[^*]+$", arn))])
    error_message = "submitter_principal_arns: give whole ARNs of users and roles, without *; to let the account decide, leave the list empty."
  }
}

variable "submitter_services" {
  description = "Where `batchmap serve` runs with the submitter's role: `ec2`, `ecs-tasks`."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for service in var.submitter_services : contains(["ec2", "ecs-tasks"], service)])
    error_message = "submitter_services: write ec2 or ecs-tasks."
  }
}

variable "oidc" {
  description = "CI that may become the submitter by OpenID Connect: its provider in this account, and the subjects it may speak for, such as repo:OWNER/NAME:ref:refs/heads/main."
  type = object({
    provider_arn = string
    subjects     = list(string)
    audience     = optional(string, "sts.amazonaws.com")
  })
  default = null

  validation {
    condition     = var.oidc == null ? true : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:oidc-provider/.+$", var.oidc.provider_arn))
    error_message = "oidc: provider_arn is an ARN such as arn:aws:iam::ACCOUNT:oidc-provider/HOST."
  }
  validation {
    condition     = var.oidc == null ? true : length(var.oidc.subjects) > 0
    error_message = "oidc: name the subjects: without them every project of the provider, anybody's, would get in."
  }
  validation {
    # Before the first * there must be something that is one's own.
    condition     = var.oidc == null ? true : alltrue([for subject in var.oidc.subjects : can(regex("^[^*?]*:[^*?/]+", subject)) && !can(regex("^[^:]*:[*?]", subject))])
    error_message = "oidc: a subject that begins with a wildcard, or has one right after its first colon, lets strangers in: name at least the owner, as in repo:OWNER/*."
  }
}

variable "read_bucket_names" {
  description = "Other buckets that tasks take inputs from: the submitter and the children may read and list them."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for name in var.read_bucket_names : can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", name))])
    error_message = "read_bucket_names: give names of buckets, without s3:// and without wildcards."
  }
}

variable "job_policy_arns" {
  description = "More policies of the job role: what the code of the tasks needs of AWS for itself."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.job_policy_arns : can(regex("^arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/.+$", arn))])
    error_message = "job_policy_arns: give ARNs of policies, arn:aws:iam::ACCOUNT:policy/NAME."
  }
}

variable "instance_policy_arns" {
  description = "More policies of the instances' role on EC2, such as AmazonSSMManagedInstanceCore to look into machines."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.instance_policy_arns : can(regex("^arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/.+$", arn))])
    error_message = "instance_policy_arns: give ARNs of policies, arn:aws:iam::ACCOUNT:policy/NAME."
  }
  validation {
    condition     = length(var.instance_policy_arns) == 0 || var.platform == "EC2"
    error_message = "instance_policy_arns: Fargate has no instances: leave it out, or set platform = \"EC2\"."
  }
}

variable "repository_arns" {
  description = "ECR repositories beside the module's own that images may come from."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.repository_arns : can(regex("^arn:aws[a-z-]*:ecr:[a-z0-9-]+:[0-9]{12}:repository/.+$", arn))])
    error_message = "repository_arns: give ARNs, arn:aws:ecr:REGION:ACCOUNT:repository/NAME."
  }
}

variable "secret_arns" {
  description = "Secrets of Secrets Manager and parameters of Systems Manager that tasks may name."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.secret_arns : can(regex("^arn:aws[a-z-]*:(secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:|ssm:[a-z0-9-]+:[0-9]{12}:parameter/).+$", arn))])
    error_message = "secret_arns: give ARNs of secrets (arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-SUFFIX) or parameters (arn:aws:ssm:REGION:ACCOUNT:parameter/NAME)."
  }
}

variable "secret_kms_key_arns" {
  description = "Keys of your own that `secret_arns` are encrypted with; none for AWS's."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.secret_kms_key_arns : can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", arn))])
    error_message = "secret_kms_key_arns: give ARNs of keys, arn:aws:kms:REGION:ACCOUNT:key/ID."
  }
}
