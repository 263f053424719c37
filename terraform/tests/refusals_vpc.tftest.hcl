# What is wrong with an existing VPC is found by looking at its subnets.

mock_provider "aws" {
  source = "./tests/mocks"

  mock_data "aws_subnet" {
    defaults = { vpc_id = "vpc-1", availability_zone = "eu-central-1a" }
  }
}

variables {
  vpc_id     = "vpc-1"
  subnet_ids = ["subnet-1", "subnet-2"]
}

run "spot_in_one_zone" {
  command         = plan
  expect_failures = [aws_batch_compute_environment.this]
}

run "one_zone_without_spot" {
  command = plan
  variables {
    interruptible = false
  }
  assert {
    condition     = keys(aws_batch_compute_environment.this) == ["on_demand"]
    error_message = "on demand, one zone will do"
  }
}

run "subnets_of_another_vpc" {
  command = plan
  variables {
    vpc_id = "vpc-2"
  }
  expect_failures = [data.aws_subnet.given]
}
