#!/usr/bin/env bash
# What an execution needs, made once LocalStack is ready: a bucket, the roles, a compute environment and two queues.
# Run again over kept state, it changes nothing that is there.
set -euo pipefail
bucket=${BATCHMAP_BUCKET:-localstack}
region=${AWS_DEFAULT_REGION:-us-east-1}
account=000000000000

awslocal s3api head-bucket --bucket "$bucket" 2>/dev/null || awslocal s3 mb "s3://$bucket" --region "$region"

role() {
  local trust
  trust=$(printf '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"%s"},"Action":"sts:AssumeRole"}]}' "$2")
  awslocal iam get-role --role-name "$1" >/dev/null 2>&1 ||
    awslocal iam create-role --role-name "$1" --assume-role-policy-document "$trust" >/dev/null
}
role batchmap-job ecs-tasks.amazonaws.com
role batchmap-execution ecs-tasks.amazonaws.com
role batchmap-service batch.amazonaws.com

subnets=$(awslocal ec2 describe-subnets --query 'Subnets[].SubnetId' --output text | tr '\t' ',')
group=$(awslocal ec2 describe-security-groups --group-names default --query 'SecurityGroups[0].GroupId' --output text)

environment=$(awslocal batch describe-compute-environments --compute-environments batchmap \
  --query 'computeEnvironments[0].computeEnvironmentName' --output text)
if [ "$environment" != batchmap ]; then
  awslocal batch create-compute-environment --compute-environment-name batchmap --type MANAGED \
    --service-role "arn:aws:iam::$account:role/batchmap-service" \
    --compute-resources "type=FARGATE,maxvCpus=64,subnets=$subnets,securityGroupIds=$group" >/dev/null
fi
for queue in batchmap batchmap-interruptible; do
  found=$(awslocal batch describe-job-queues --job-queues "$queue" --query 'jobQueues[0].jobQueueName' --output text)
  if [ "$found" != "$queue" ]; then
    awslocal batch create-job-queue --job-queue-name "$queue" --priority 1 --state ENABLED \
      --compute-environment-order order=1,computeEnvironment=batchmap >/dev/null
  fi
done
echo "batchmap: bucket $bucket, queues batchmap and batchmap-interruptible"
