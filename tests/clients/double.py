"""AWS Batch in a test, without AWS: an array of three children, and what each has printed.

Needs boto3 and an endpoint: batchmap emulator &  export AWS_ENDPOINT_URL=http://127.0.0.1:4566, a region and any credentials.
"""
import time

import boto3

batch, logs = boto3.client("batch"), boto3.client("logs")

batch.register_job_definition(
    jobDefinitionName="greet",
    type="container",
    containerProperties={
        "image": "busybox",
        "command": ["sh", "-c", "echo hello from child $AWS_BATCH_JOB_ARRAY_INDEX"],
        "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}],
    },
)
job = batch.submit_job(jobName="greet", jobQueue="batchmap", jobDefinition="greet", arrayProperties={"size": 3})["jobId"]

while (status := batch.describe_jobs(jobs=[job])["jobs"][0]["status"]) not in ("SUCCEEDED", "FAILED"):
    time.sleep(0.1)

for child in batch.describe_jobs(jobs=[f"{job}:{index}" for index in range(3)])["jobs"]:
    output = logs.get_log_events(logGroupName="/aws/batch/job", logStreamName=child["container"]["logStreamName"])
    print(child["jobId"].split(":")[1], child["status"], *(event["message"] for event in output["events"]))
print(status)
