# Ways to AWS's services that do not leave its network.

data "aws_prefix_list" "s3" {
  count = local.own_group && !contains(var.egress_cidr_blocks, "0.0.0.0/0") ? 1 : 0
  name  = "com.amazonaws.${local.region}.s3"
}

# S3's costs nothing and spares the internet gateway most of the traffic.
resource "aws_vpc_endpoint" "s3" {
  count             = local.own_vpc ? 1 : 0
  vpc_id            = local.vpc_id
  service_name      = "com.amazonaws.${local.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [aws_route_table.this[0].id]
  tags              = merge(local.tags, { Name = "${var.name}-s3" })
}

resource "aws_vpc_endpoint" "services" {
  for_each            = toset(var.vpc_endpoints)
  vpc_id              = local.vpc_id
  service_name        = "com.amazonaws.${local.region}.${each.value}"
  vpc_endpoint_type   = "Interface"
  subnet_ids          = local.subnet_ids
  security_group_ids  = [aws_security_group.endpoints[0].id]
  private_dns_enabled = true
  tags                = merge(local.tags, { Name = "${var.name}-${each.value}" })
}

resource "aws_security_group" "endpoints" {
  #checkov:skip=CKV2_AWS_5:it is attached to the endpoints, which checkov does not follow
  count       = length(var.vpc_endpoints) > 0 ? 1 : 0
  name_prefix = "${var.name}-endpoints-"
  description = "Endpoints of AWS services for children of batchmap"
  vpc_id      = local.vpc_id
  tags        = merge(local.tags, { Name = "${var.name}-endpoints" })

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  # By place in the list: the ids of groups are only known once they are made.
  count                        = length(var.vpc_endpoints) > 0 ? length(local.security_group_ids) : 0
  security_group_id            = aws_security_group.endpoints[0].id
  description                  = "TLS from children"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  referenced_security_group_id = local.security_group_ids[count.index]
}

# What children may reach although the internet is closed to them.
resource "aws_vpc_security_group_egress_rule" "endpoints" {
  count                        = local.own_group && length(var.vpc_endpoints) > 0 ? 1 : 0
  security_group_id            = aws_security_group.children[0].id
  description                  = "Endpoints of AWS services"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  referenced_security_group_id = aws_security_group.endpoints[0].id
}

resource "aws_vpc_security_group_egress_rule" "s3" {
  count             = length(data.aws_prefix_list.s3)
  security_group_id = aws_security_group.children[0].id
  description       = "S3 through its gateway endpoint"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  prefix_list_id    = data.aws_prefix_list.s3[0].id
}
