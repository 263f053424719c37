variable "stuck_jobs" {
  description = "After how many seconds at the head of a queue AWS Batch cancels a job that cannot start; 0 for never. `misconfigured`: it asks for what no environment can give. `no_capacity`: AWS has no such machine free."
  type = object({
    misconfigured = optional(number, 3600)
    no_capacity   = optional(number, 0)
  })
  default  = {}
  nullable = false

  validation {
    condition = alltrue([
      for seconds in [var.stuck_jobs.misconfigured, var.stuck_jobs.no_capacity] :
      seconds == 0 || (seconds >= 600 && seconds <= 86400)
    ])
    error_message = "stuck_jobs: AWS Batch waits 600 to 86400 seconds; write 0 for never."
  }
}

variable "fair_share" {
  description = "Shares the queues among share identifiers instead of first come, first served. `weights` are by identifier, a smaller one gets more; `identifier` is that of batchmap's own jobs, written into `batchmap_toml`."
  type = object({
    identifier          = optional(string, "batchmap")
    weights             = optional(map(number), {})
    compute_reservation = optional(number, 0)
    share_decay_seconds = optional(number, 3600)
  })
  default = null

  validation {
    condition     = var.fair_share == null ? true : can(regex("^[A-Za-z0-9]{1,255}$", var.fair_share.identifier))
    error_message = "fair_share: identifier is up to 255 letters and digits."
  }
  validation {
    condition     = var.fair_share == null ? true : alltrue([for name in keys(var.fair_share.weights) : can(regex("^[A-Za-z0-9]{1,254}[*]?$", name))])
    error_message = "fair_share: weights are by share identifier: letters and digits, and a * at the end where it stands for all that begin so."
  }
  validation {
    condition     = var.fair_share == null ? true : alltrue([for weight in values(var.fair_share.weights) : weight >= 0.0001 && weight <= 999.9999])
    error_message = "fair_share: weights go from 0.0001 to 999.9999."
  }
  validation {
    condition     = var.fair_share == null ? true : var.fair_share.compute_reservation >= 0 && var.fair_share.compute_reservation <= 99
    error_message = "fair_share: compute_reservation is a percentage from 0 to 99."
  }
  validation {
    condition     = var.fair_share == null ? true : var.fair_share.share_decay_seconds >= 0 && var.fair_share.share_decay_seconds <= 604800
    error_message = "fair_share: share_decay_seconds is from 0 to 604800, a week."
  }
}
