# Everything that cannot work is refused at plan, by the variable that it is about. A run takes seconds, so cases that have
# nothing to do with one another share one.

mock_provider "aws" {
  source = "./tests/mocks"
}

run "refusals_1" {
  command = plan
  variables {
    # name that aws refuses
    name = "Batch_map"
    # tags of AWS's own
    tags = { "aws:team" = "a" }
    # unknown platform
    platform = "FARGATE_SPOT"
    # gpus among the others
    instance_types = ["c6i", "g5.xlarge"]
    # no vcpus
    max_vcpus = 0
    # no interruptible vcpus
    interruptible_max_vcpus = 0
    # no gpu vcpus
    gpu_max_vcpus = 0
    # fallback of nothing
    interruptible          = false
    interruptible_fallback = true
    # unknown allocation strategy
    spot_allocation_strategy = "BEST_FIT"
    # small volume
    root_volume_gib = 8
    # impatience
    stuck_jobs = { misconfigured = 60 }
    # share identifier with a hyphen
    fair_share = { identifier = "team-a" }
    # vpc without subnets
    vpc_id = "vpc-1"
    # block that is none
    vpc_cidr = "10.0.0.0"
    # egress to a name
    egress_cidr_blocks = ["example.org"]
    # unknown endpoint service
    vpc_endpoints = ["s3"]
    # bucket with capitals
    bucket_name = "My-Bucket"
    # prefix with a wildcard
    prefix = "team-*"
    # unknown encryption
    encryption = "aws:kms"
    # files that go before the cache
    cache_expiry_days     = 60
    raw_expiry_days       = 59
    execution_expiry_days = 30
    # retention that CloudWatch lacks
    log_retention_days = 31
    # no images kept
    keep_images = 0
    # two images
    image     = "a:1"
    image_tag = "1"
    # endpoint without a scheme
    endpoint = "127.0.0.1:4566"
    # boundary that is no policy
    permissions_boundary_arn = "arn:aws:iam::000000000000:role/a"
    # anybody as submitter
    submitter_principal_arns = ["*"]
    # unknown service as submitter
    submitter_services = ["lambda"]
    # CI without subjects
    oidc = { provider_arn = "arn:aws:iam::000000000000:oidc-provider/ci.example", subjects = [] }
    # all other buckets
    read_bucket_names = ["*"]
    # policy by name
    job_policy_arns = ["ReadOnlyAccess"]
    # repository by name
    repository_arns = ["base"]
    # secret by name
    secret_arns = ["password"]
    # key of secrets by name
    secret_kms_key_arns = ["alias/a"]
  }
  expect_failures = [
    var.name,
    var.tags,
    var.platform,
    var.instance_types,
    var.max_vcpus,
    var.interruptible_max_vcpus,
    var.gpu_max_vcpus,
    var.interruptible_fallback,
    var.spot_allocation_strategy,
    var.root_volume_gib,
    var.stuck_jobs,
    var.fair_share,
    var.vpc_id,
    var.vpc_cidr,
    var.egress_cidr_blocks,
    var.vpc_endpoints,
    var.bucket_name,
    var.prefix,
    var.encryption,
    var.raw_expiry_days,
    var.log_retention_days,
    var.keep_images,
    var.image_tag,
    var.endpoint,
    var.permissions_boundary_arn,
    var.submitter_principal_arns,
    var.submitter_services,
    var.oidc,
    var.read_bucket_names,
    var.job_policy_arns,
    var.repository_arns,
    var.secret_arns,
    var.secret_kms_key_arns,
  ]
}

run "refusals_2" {
  command = plan
  variables {
    # gpus that are none
    gpu_instance_types = ["c6i"]
    # bid above the price
    spot_bid_percentage = 101
    # groups without a vpc
    security_group_ids = ["sg-1"]
    # spot in one zone
    availability_zones = 1
    # address on EC2
    assign_public_ip = true
    # key without KMS
    kms_key_arn = "arn:aws:kms:eu-central-1:000000000000:key/a"
    # name that is too long
    name = "a-name-of-twenty-five-let"
    # no instance types
    instance_types = []
    # half a vcpu
    max_vcpus = 1.5
    # weight of nothing
    fair_share = { weights = { a = 0 } }
    # block that is too small
    vpc_cidr = "10.0.0.0/28"
    # bucket with a dot
    bucket_name = "my.bucket"
    # prefix that ends in a slash
    prefix = "team/"
    # files that go though the cache stays
    cache_expiry_days = 0
    raw_expiry_days   = 365
    # tag without a repository
    image_tag         = "1"
    create_repository = false
    # CI of anybody
    oidc = { provider_arn = "arn:aws:iam::000000000000:oidc-provider/ci.example", subjects = ["repo:*"] }
  }
  expect_failures = [
    var.gpu_instance_types,
    var.spot_bid_percentage,
    var.security_group_ids,
    var.availability_zones,
    var.assign_public_ip,
    var.kms_key_arn,
    var.name,
    var.instance_types,
    var.max_vcpus,
    var.fair_share,
    var.vpc_cidr,
    var.bucket_name,
    var.prefix,
    var.raw_expiry_days,
    var.image_tag,
    var.oidc,
  ]
}

run "refusals_3" {
  command = plan
  variables {
    # fargate with gpus
    platform           = "FARGATE"
    gpu_instance_types = ["g5"]
    # subnets without a vpc
    subnet_ids = ["subnet-1"]
    # alias for a key
    encryption  = "KMS"
    kms_key_arn = "arn:aws:kms:eu-central-1:000000000000:alias/a"
    # worker's image with a space
    worker_image = "my worker"
    # image with a space
    image = "my image"
    # weight of no identifier
    fair_share = { weights = { "a-b" = 1 } }
    # bucket like an address
    bucket_name = "192.168.0.1"
    # files that go before executions
    cache_expiry_days     = 30
    raw_expiry_days       = 60
    execution_expiry_days = 90
    # CI that is no provider
    oidc = { provider_arn = "https://ci.example", subjects = ["repo:a/b"] }
  }
  expect_failures = [
    var.gpu_instance_types,
    var.vpc_id,
    var.kms_key_arn,
    var.image,
    var.worker_image,
    var.fair_share,
    var.bucket_name,
    var.raw_expiry_days,
    var.oidc,
  ]
}

run "refusals_4" {
  command = plan
  variables {
    # more kept than allowed
    min_vcpus = 8
    max_vcpus = 4
    # vpc that is none
    vpc_id     = "main"
    subnet_ids = ["subnet-1", "subnet-2"]
    # reservation of everything
    fair_share = { compute_reservation = 100 }
    # bucket of AWS's own beginning
    bucket_name = "xn--bucket"
    # expiry in the past
    execution_expiry_days = -1
    cache_expiry_days     = -1
  }
  expect_failures = [
    var.min_vcpus,
    var.vpc_id,
    var.fair_share,
    var.bucket_name,
    var.execution_expiry_days,
    var.cache_expiry_days,
  ]
}

run "refusals_5" {
  command = plan
  variables {
    # fargate with a bid
    platform            = "FARGATE"
    spot_bid_percentage = 60
    # subnet that is none
    vpc_id     = "vpc-1"
    subnet_ids = ["10.0.0.0/24"]
    # decay of a fortnight
    fair_share = { share_decay_seconds = 1209600 }
    # bucket of AWS's own end
    bucket_name = "bucket--x-s3"
  }
  expect_failures = [
    var.spot_bid_percentage,
    var.subnet_ids,
    var.fair_share,
    var.bucket_name,
  ]
}

run "refusals_6" {
  command = plan
  variables {
    # fargate that keeps something running
    platform  = "FARGATE"
    min_vcpus = 1
    # subnet twice
    vpc_id     = "vpc-1"
    subnet_ids = ["subnet-1", "subnet-1"]
    # bucket of two letters
    bucket_name = "ab"
  }
  expect_failures = [
    var.min_vcpus,
    var.subnet_ids,
    var.bucket_name,
  ]
}

run "refusals_7" {
  command = plan
  variables {
    # no way out
    platform         = "FARGATE"
    assign_public_ip = false
  }
  expect_failures = [
    var.assign_public_ip,
  ]
}

run "refusals_8" {
  command = plan
  variables {
    # fargate with instances
    platform             = "FARGATE"
    instance_policy_arns = ["arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"]
  }
  expect_failures = [
    var.instance_policy_arns,
  ]
}

run "more_zones_than_the_region_has" {
  command = plan
  variables {
    availability_zones = 5
  }
  expect_failures = [aws_vpc.this]
}
