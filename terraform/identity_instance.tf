# The instance role: ECS's agent on EC2, which joins the environment's cluster and reports. Containers on the host's
# network can reach it, so it may do nothing else: images, logs and secrets are the execution role's.

locals {
  # Batch makes a cluster for each environment and puts the environment's name into its own.
  clusters  = "arn:${local.partition}:ecs:${local.region}:${local.account}:cluster/*${var.name}-*"
  instances = "arn:${local.partition}:ecs:${local.region}:${local.account}:container-instance/*${var.name}-*"

  instance_policy = {
    Version = "2012-10-17"
    Statement = [
      {
        # AWS has no resource for it.
        Sid      = "FindEcs"
        Effect   = "Allow"
        Action   = ["ecs:DiscoverPollEndpoint"]
        Resource = ["*"]
      },
      {
        Sid    = "Join"
        Effect = "Allow"
        Action = [
          "ecs:DeregisterContainerInstance",
          "ecs:RegisterContainerInstance",
          "ecs:SubmitAttachmentStateChanges",
          "ecs:SubmitContainerStateChange",
          "ecs:SubmitTaskStateChange",
        ]
        Resource = [local.clusters]
      },
      {
        Sid      = "Report"
        Effect   = "Allow"
        Action   = ["ecs:Poll", "ecs:StartTelemetrySession", "ecs:UpdateContainerInstancesState"]
        Resource = [local.instances]
      },
      {
        Sid       = "TagItself"
        Effect    = "Allow"
        Action    = ["ecs:TagResource"]
        Resource  = [local.clusters, local.instances]
        Condition = { StringEquals = { "ecs:CreateAction" = "RegisterContainerInstance" } }
      },
    ]
  }
}

resource "aws_iam_role" "instance" {
  count       = local.on_ec2 ? 1 : 0
  name        = "${local.role_prefix}-instance"
  description = "The agent on batchmap's EC2 instances"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Instances"
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ec2.amazonaws.com" }
    }]
  })
  permissions_boundary = var.permissions_boundary_arn
  tags                 = local.tags
}

resource "aws_iam_policy" "instance" {
  #checkov:skip=CKV_AWS_355:only for the look-up of ECS's address, which has no resource
  count       = local.on_ec2 ? 1 : 0
  name        = "${local.role_prefix}-instance"
  description = "What the agent of ECS needs on batchmap's instances"
  policy      = jsonencode(local.instance_policy)
  tags        = local.tags
}

resource "aws_iam_role_policy_attachment" "instance" {
  for_each   = local.on_ec2 ? merge({ own = aws_iam_policy.instance[0].arn }, { for arn in var.instance_policy_arns : arn => arn }) : {}
  role       = aws_iam_role.instance[0].name
  policy_arn = each.value
}

resource "aws_iam_instance_profile" "instance" {
  count = local.on_ec2 ? 1 : 0
  name  = "${local.role_prefix}-instance"
  role  = aws_iam_role.instance[0].name
  tags  = local.tags
}
