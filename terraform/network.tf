# The VPC of those who name none: public subnets and no NAT, so that it costs nothing while nothing runs.

data "aws_availability_zones" "all" {
  #checkov:skip=CKV_AWS_394:the first few by name are taken, and a zone that AWS adds has a later one
  count = local.own_vpc ? 1 : 0
  state = "available"

  # Zones of cities and carriers have neither all machines nor Batch's endpoints.
  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

resource "aws_vpc" "this" {
  #checkov:skip=CKV2_AWS_11:flow logs are paid by the byte, and a million children write many; whoever needs them names an existing VPC
  count                = local.own_vpc ? 1 : 0
  cidr_block           = var.vpc_cidr
  enable_dns_hostnames = true
  enable_dns_support   = true
  tags                 = merge(local.tags, { Name = var.name })

  lifecycle {
    precondition {
      condition     = length(data.aws_availability_zones.all[0].names) >= var.availability_zones
      error_message = "availability_zones: this region has only ${length(data.aws_availability_zones.all[0].names)}: give at most as many."
    }
  }
}

# Nothing may use the group that every VPC comes with: without rules it lets nothing through.
resource "aws_default_security_group" "this" {
  count  = local.own_vpc ? 1 : 0
  vpc_id = aws_vpc.this[0].id
  tags   = merge(local.tags, { Name = "${var.name}-unused" })
}

resource "aws_internet_gateway" "this" {
  count  = local.own_vpc ? 1 : 0
  vpc_id = aws_vpc.this[0].id
  tags   = merge(local.tags, { Name = var.name })
}

resource "aws_subnet" "this" {
  #checkov:skip=CKV_AWS_130:there is no NAT, which is paid by the hour: instances reach AWS by an address of their own, and the security group lets nothing in
  count                   = local.own_vpc ? var.availability_zones : 0
  vpc_id                  = aws_vpc.this[0].id
  cidr_block              = cidrsubnet(var.vpc_cidr, 3, count.index)
  availability_zone       = data.aws_availability_zones.all[0].names[count.index]
  map_public_ip_on_launch = local.on_ec2
  tags                    = merge(local.tags, { Name = "${var.name}-${count.index}" })
}

resource "aws_route_table" "this" {
  count  = local.own_vpc ? 1 : 0
  vpc_id = aws_vpc.this[0].id
  tags   = merge(local.tags, { Name = var.name })
}

resource "aws_route" "out" {
  count                  = local.own_vpc ? 1 : 0
  route_table_id         = aws_route_table.this[0].id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this[0].id
}

resource "aws_route_table_association" "this" {
  count          = local.own_vpc ? var.availability_zones : 0
  subnet_id      = aws_subnet.this[count.index].id
  route_table_id = aws_route_table.this[0].id
}

# An existing VPC's subnets are looked up: what Batch would only find out when it starts a machine is said at plan.
data "aws_subnet" "given" {
  for_each = toset(var.subnet_ids)
  id       = each.value

  lifecycle {
    postcondition {
      condition     = self.vpc_id == var.vpc_id
      error_message = "subnet_ids: ${self.id} is in ${self.vpc_id}, not in vpc_id: name subnets of one VPC."
    }
  }
}

locals {
  vpc_id     = local.own_vpc ? aws_vpc.this[0].id : var.vpc_id
  subnet_ids = local.own_vpc ? aws_subnet.this[*].id : var.subnet_ids
  zones      = local.own_vpc ? aws_subnet.this[*].availability_zone : distinct([for subnet in data.aws_subnet.given : subnet.availability_zone])

  own_group          = length(var.security_group_ids) == 0
  security_group_ids = local.own_group ? [aws_security_group.children[0].id] : var.security_group_ids
}

resource "aws_security_group" "children" {
  #checkov:skip=CKV2_AWS_5:it is attached by the compute environments, which checkov does not follow
  count       = local.own_group ? 1 : 0
  name_prefix = "${var.name}-children-"
  description = "Children of batchmap: nothing comes in"
  vpc_id      = local.vpc_id
  tags        = merge(local.tags, { Name = "${var.name}-children" })

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_egress_rule" "children" {
  for_each          = local.own_group ? toset(var.egress_cidr_blocks) : toset([])
  security_group_id = aws_security_group.children[0].id
  description       = "S3, logs, images, and whatever the tasks need"
  ip_protocol       = "-1"
  cidr_ipv4         = each.value
}
