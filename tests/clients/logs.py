"""CloudWatch Logs by boto3. Arguments: endpoint URL, job queue."""
import sys
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

url, queue = sys.argv[1:3]
keys = dict(endpoint_url=url, region_name="us-east-1", aws_access_key_id="any", aws_secret_access_key="thing")
config = Config(retries={"max_attempts": 1})
logs, batch = boto3.client("logs", config=config, **keys), boto3.client("batch", **keys)
g = dict(logGroupName="/aws/batch/job")


def refused(code, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error
    else:
        raise AssertionError(f"{code} was expected")


def equal(found, expected):
    assert found == expected, (found, expected)


# Nothing has written yet, and so there is no such group: as on AWS.
refused("ResourceNotFoundException", logs.filter_log_events, **g)
equal(logs.describe_log_groups()["logGroups"], [])

script = 'i=0; while [ $i -lt 50 ]; do echo "line $i of child $AWS_BATCH_JOB_ARRAY_INDEX"; i=$((i+1)); done; echo "ERROR: at the end"'
container = dict(image="any", command=["sh", "-c", script], resourceRequirements=[dict(type="VCPU", value="1"), dict(type="MEMORY", value="64")])
batch.register_job_definition(jobDefinitionName="talk", type="container", containerProperties=container)
job = batch.submit_job(jobName="talk", jobQueue=queue, jobDefinition="talk", arrayProperties={"size": 3})["jobId"]
deadline = time.monotonic() + 300
while batch.describe_jobs(jobs=[job])["jobs"][0]["status"] not in ("SUCCEEDED", "FAILED"):
    assert time.monotonic() < deadline, "the job does not end"
    time.sleep(0.1)
children = batch.describe_jobs(jobs=[f"{job}:{n}" for n in range(3)])["jobs"]
streams = [child["container"]["logStreamName"] for child in children]
lines = lambda n: [f"line {i} of child {n}" for i in range(50)] + ["ERROR: at the end"]
texts = lambda events: [e["message"] for e in events]

# One stream: forward, backward, from the head, from the tail, to the end of each.
one = dict(logStreamName=streams[1], **g)
equal(texts(logs.get_log_events(startFromHead=True, **one)["events"]), lines(1))
equal(texts(logs.get_log_events(logGroupIdentifier="arn:aws:logs:us-east-1:000000000000:log-group:/aws/batch/job", logStreamName=streams[1])["events"]), lines(1))
seen, token = [], {}
while True:
    page = logs.get_log_events(limit=7, startFromHead=True, **token, **one)
    if page["nextForwardToken"] == token.get("nextToken"):
        equal(page["events"], [])
        break
    seen += texts(page["events"])
    token = dict(nextToken=page["nextForwardToken"])
equal(seen, lines(1))
seen, token = [], {}
while True:
    page = logs.get_log_events(limit=7, **token, **one)
    if page["nextBackwardToken"] == token.get("nextToken"):
        break
    seen = texts(page["events"]) + seen
    token = dict(nextToken=page["nextBackwardToken"])
equal(seen, lines(1))
tail = logs.get_log_events(limit=2, **one)
equal(texts(tail["events"]), lines(1)[-2:])
equal(logs.get_log_events(nextToken=tail["nextForwardToken"], **one)["events"], [])
last = tail["events"][-1]["timestamp"]
equal(logs.get_log_events(startTime=last + 1, **one)["events"], [])
assert texts(logs.get_log_events(endTime=last + 1, **one)["events"]) == lines(1)
refused("ResourceNotFoundException", logs.get_log_events, logStreamName="none", **g)
refused("ResourceNotFoundException", logs.get_log_events, logGroupName="/none", logStreamName="none")
refused("InvalidParameterException", logs.get_log_events, nextToken="x", **one)
refused("InvalidParameterException", logs.get_log_events, startTime=2, endTime=1, **one)

# All streams: by time, in pages, by pattern.
for size in [1, 10, 1000]:
    pages = list(logs.get_paginator("filter_log_events").paginate(PaginationConfig={"PageSize": size}, interleaved=True, **g))
    events = [e for p in pages for e in p["events"]]
    equal(sorted(texts(events)), sorted(sum(map(lines, range(3)), [])))
    equal([e["timestamp"] for e in events], sorted(e["timestamp"] for e in events))
    for n, stream in enumerate(streams):
        equal([e["message"] for e in events if e["logStreamName"] == stream], lines(n))
    equal(len({e["eventId"] for e in events}), len(events))
found = lambda pattern, **more: texts(logs.filter_log_events(filterPattern=pattern, **more, **g)["events"])
equal(found("ERROR", logStreamNames=streams[:2]), ["ERROR: at the end"] * 2)
equal(found('"line 7 of"', logStreamNamePrefix=streams[0]), ["line 7 of child 0"])
equal(sorted(found('?"line 7 of" ?"line 8 of" -"child 0"')), sorted(f"line {i} of child {n}" for i in (7, 8) for n in (1, 2)))
for bad in ["{ $.x = 1 }", "[a, b]", "%x%", "a:b", '"open']:
    refused("InvalidParameterException", logs.filter_log_events, filterPattern=bad, **g)
refused("InvalidParameterException", logs.filter_log_events, logStreamNames=["a"], logStreamNamePrefix="a", **g)

# Streams.
pages = list(logs.get_paginator("describe_log_streams").paginate(PaginationConfig={"PageSize": 2}, **g))
listed = [s for p in pages for s in p["logStreams"]]
equal([s["logStreamName"] for s in listed], sorted(streams))
assert all(s["firstEventTimestamp"] <= s["lastEventTimestamp"] and s["creationTime"] and s["arn"].endswith(s["logStreamName"]) for s in listed), listed
late = logs.describe_log_streams(orderBy="LastEventTime", descending=True, limit=1, **g)
equal(late["logStreams"][0]["lastEventTimestamp"], max(s["lastEventTimestamp"] for s in listed))
rest = logs.describe_log_streams(orderBy="LastEventTime", descending=True, nextToken=late["nextToken"], **g)
equal({s["logStreamName"] for s in rest["logStreams"] + late["logStreams"]}, set(streams))
equal([s["logStreamName"] for s in logs.describe_log_streams(logStreamNamePrefix=streams[2], **g)["logStreams"]], [streams[2]])
refused("InvalidParameterException", logs.describe_log_streams, orderBy="LastEventTime", logStreamNamePrefix="a", **g)

# Groups, as terraform's aws_cloudwatch_log_group makes, reads and destroys them.
logs.create_log_group(logGroupName="/mine", tags={"a": "1"}, logGroupClass="STANDARD")
refused("ResourceAlreadyExistsException", logs.create_log_group, logGroupName="/mine")
refused("InvalidParameterException", logs.create_log_group, logGroupName="no spaces")
logs.put_retention_policy(logGroupName="/mine", retentionInDays=14)
refused("InvalidParameterException", logs.put_retention_policy, logGroupName="/mine", retentionInDays=2)
mine = logs.describe_log_groups(logGroupNamePrefix="/mine")["logGroups"]
equal([(x["logGroupName"], x["retentionInDays"], x["logGroupClass"], x["storedBytes"]) for x in mine], [("/mine", 14, "STANDARD", 0)])
arn = mine[0]["arn"].removesuffix(":*")
equal((arn, mine[0]["logGroupArn"]), ("arn:aws:logs:us-east-1:000000000000:log-group:/mine",) * 2)
logs.tag_resource(resourceArn=arn, tags={"b": "2"})
logs.untag_resource(resourceArn=arn, tagKeys=["a"])
equal(logs.list_tags_for_resource(resourceArn=arn)["tags"], {"b": "2"})
logs.delete_retention_policy(logGroupName="/mine")
assert "retentionInDays" not in logs.describe_log_groups(logGroupNamePrefix="/mine")["logGroups"][0]
pages = list(logs.get_paginator("describe_log_groups").paginate(PaginationConfig={"PageSize": 1}))
equal([x["logGroupName"] for p in pages for x in p["logGroups"]], ["/aws/batch/job", "/mine"])
assert logs.describe_log_groups(logGroupNamePrefix="/aws")["logGroups"][0]["storedBytes"] > 1000
logs.delete_log_group(logGroupName="/mine")
refused("ResourceNotFoundException", logs.delete_log_group, logGroupName="/mine")
refused("ResourceNotFoundException", logs.list_tags_for_resource, resourceArn=arn)
refused("UnknownOperationException", logs.describe_metric_filters)
print(streams[1])
