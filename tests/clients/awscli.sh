#!/bin/sh
# AWS Batch and its logs by the aws CLI, with nothing but AWS_ENDPOINT_URL, a region and any credentials.
# The program is $AWS, or aws.
set -eu
aws=${AWS:-aws}
name=cli-$$

batch() { "$aws" batch "$@" --output text; }
fail() { echo "$*" >&2; exit 1; }
same() { [ "$2" = "$3" ] || fail "$1: '$2' instead of '$3'"; }
ended() {
  # 600 looks are some minutes: far longer than any of these takes.
  for _ in $(seq 600); do
    status=$(batch describe-jobs --jobs "$1" --query 'jobs[0].status')
    case $status in SUCCEEDED | FAILED) return ;; esac
  done
  fail "$1 does not end: $status"
}

same 'queues' "$(batch describe-job-queues --job-queues batchmap --query 'jobQueues[].[jobQueueName,state,status]')" "batchmap	ENABLED	VALID"

definition=$(batch register-job-definition --job-definition-name "$name" --type container --query jobDefinitionArn --container-properties '
  {"image": "busybox", "command": ["sh", "-c", "echo child $AWS_BATCH_JOB_ARRAY_INDEX; test $AWS_BATCH_JOB_ARRAY_INDEX != 1"],
   "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]}')
case $definition in arn:aws:batch:*":job-definition/$name:1") ;; *) fail "not an ARN: $definition" ;; esac

job=$(batch submit-job --job-name "$name" --job-queue batchmap --job-definition "$definition" --array-properties size=3 --tags team=a --query jobId)
ended "$job"
same 'the parent' "$status" FAILED
same 'its reason' "$(batch describe-jobs --jobs "$job" --query 'jobs[0].statusReason')" "Array Child Job failed"
same 'its summary' "$(batch describe-jobs --jobs "$job" --query 'jobs[0].arrayProperties.[size,statusSummary.SUCCEEDED,statusSummary.FAILED]')" "3	2	1"
same 'its tags' "$(batch describe-jobs --jobs "$job" --query 'jobs[0].tags.team')" a
same 'failed children' "$(batch list-jobs --array-job-id "$job" --job-status FAILED --query 'jobSummaryList[].[jobId,container.exitCode]')" "$job:1	1"
# The CLI pages by itself.
same 'pages' "$(batch list-jobs --array-job-id "$job" --job-status SUCCEEDED --page-size 1 --query 'length(jobSummaryList)' | paste -sd+ | bc)" 2
same 'by name' "$(batch list-jobs --job-queue batchmap --filters "name=JOB_NAME,values=$name" --query 'jobSummaryList[].jobId')" "$job"

stream=$(batch describe-jobs --jobs "$job:2" --query 'jobs[0].container.logStreamName')
same 'log events' "$("$aws" logs get-log-events --log-group-name /aws/batch/job --log-stream-name "$stream" --query 'events[].message' --output text)" "child 2"
tail=$("$aws" logs tail /aws/batch/job --log-stream-names "$stream" --format short 2>&1) || tail="cannot: $tail"
case $tail in
  *"child 2") ;;
  *"Invalid choice"* | *"invalid choice"*) echo "skipped: aws logs tail is not in this version of the CLI" ;;
  *) fail "aws logs tail: $tail" ;;
esac

job=$(batch submit-job --job-name "$name" --job-queue batchmap --job-definition "$name" --container-overrides 'command=sleep,600' --query jobId)
batch terminate-job --job-id "$job" --reason 'not needed'
ended "$job"
same 'a terminated job' "$(batch describe-jobs --jobs "$job" --query 'jobs[0].[status,statusReason]')" "FAILED	not needed"
batch cancel-job --job-id "$job" --reason 'too late'

batch deregister-job-definition --job-definition "$definition"
if told=$(batch submit-job --job-name "$name" --job-queue batchmap --job-definition "$definition" 2>&1); then fail "taken: $told"; fi
case $told in *"(ClientException)"*SubmitJob*) ;; *) fail "no AWS error: $told" ;; esac
