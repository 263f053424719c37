"""What the suites of boto3 share: clients whose every answer is held against the service's own model, helpers, a runner.

The endpoint is the one in AWS_ENDPOINT_URL; nothing else is configured.
"""
import contextlib
import inspect
import itertools
import json
import sys
import time
import traceback
import uuid

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

QUEUE = "batchmap"
GROUP = "/aws/batch/job"
ENDED = ("SUCCEEDED", "FAILED")
STATES = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING") + ENDED
# Real services send these though no model names them.
THROTTLING = {"TooManyRequestsException": 429, "ThrottlingException": 429}
# One job may wait for some others; none of these suites measures time.
DEADLINE = 120

# The model says that they are always there; AWS leaves them out until there is something to tell.
LEFT_OUT = {("JobDetail", "startedAt")}
# AWS gives back what it was given, and takes both cases.
ANY_CASE = {"RetryAction"}

called = set()
faults = []


# The checker: raw answers, before botocore's parser makes the best of them.


def walk(shape, value, path):
    """Everything in which a value differs from its shape."""
    kind = shape.type_name
    if kind == "structure":
        if not isinstance(value, dict):
            return [f"{path} is {value!r}, not a structure"]
        known = {member.serialization.get("name", name): member for name, member in shape.members.items()}
        found = [f"{path}.{name} is no member of {shape.name}" for name in value if name not in known]
        required = (member for member in shape.required_members if (shape.name, member) not in LEFT_OUT)
        found += [f"{path}.{name} is missing" for name in required if name not in value]
        return found + [f for name in value if name in known for f in walk(known[name], value[name], f"{path}.{name}")]
    if kind == "list":
        if not isinstance(value, list):
            return [f"{path} is {value!r}, not a list"]
        return [f for place, item in enumerate(value) for f in walk(shape.member, item, f"{path}[{place}]")]
    if kind == "map":
        if not isinstance(value, dict):
            return [f"{path} is {value!r}, not a map"]
        return [f for key in value for f in walk(shape.key, key, f"{path} key") + walk(shape.value, value[key], f"{path}.{key}")]
    types = {"string": str, "boolean": bool, "integer": int, "long": int, "float": (int, float), "double": (int, float)}
    wanted = types.get(kind, (int, float))  # a timestamp is a number in JSON
    if not isinstance(value, wanted) or (isinstance(value, bool) and kind != "boolean"):
        return [f"{path} is {value!r}, not a {kind}"]
    told = value.upper() if shape.name in ANY_CASE else value
    if kind == "string" and shape.enum and told not in shape.enum:
        return [f"{path} is {value!r}, none of {shape.enum}"]
    return []


def hold_against_model(operation_model, response_dict, **_):
    name = f"{operation_model.service_model.service_name}.{operation_model.name}"
    called.add(operation_model.name)
    status, headers = response_dict["status_code"], response_dict["headers"]
    try:
        body = json.loads(response_dict["body"] or b"{}")
    except ValueError:
        faults.append(f"{name}: status {status} with a body that is no JSON: {response_dict['body'][:200]!r}")
        return
    if status < 300:
        shape = operation_model.output_shape
        faults.extend(walk(shape, body, name) if shape else [])
        return
    code = (headers.get("x-amzn-errortype") or body.get("__type") or "none").split(":")[0].split("#")[-1]
    modelled = {s.error_code or s.name: s.metadata.get("error", {}).get("httpStatusCode") for s in operation_model.error_shapes}
    if name.startswith("batch.") and {**THROTTLING, **modelled}.get(code) != status:
        faults.append(f"{name}: error {code} with status {status} is not in the model: {body}")
    if not isinstance(body.get("message") or body.get("Message"), str):
        faults.append(f"{name}: an error without a message: {body}")


def client(service, **config):
    config = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=60, **config)
    made = boto3.client(service, config=config)
    made.meta.events.register("before-parse", hold_against_model)
    return made


batch = client("batch")
logs = client("logs")
# Sends what boto3 itself would refuse.
loose = client("batch", parameter_validation=False)

# Helpers.

_numbers = itertools.count()
_mark = uuid.uuid4().hex[:6]


def name(what):
    return f"{what}-{_mark}-{next(_numbers)}"


def container(**more):
    needs = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]
    return {"image": "busybox", "command": ["true"], "resourceRequirements": needs, **more}


def define(what="shell", properties=None, **more):
    """Registers a definition; its name and revision."""
    made = batch.register_job_definition(
        jobDefinitionName=name(what), type="container", containerProperties=properties or container(), **more
    )
    return f"{made['jobDefinitionName']}:{made['revision']}"


_shell = []


def submit(script, size=None, queue=QUEUE, **more):
    """Submits a shell script, or an array of them; the job's id."""
    if not _shell:
        _shell.append(define())
    more.setdefault("jobName", name("job"))
    more.setdefault("jobDefinition", _shell[0])
    more["containerOverrides"] = {"command": ["sh", "-c", script], **more.get("containerOverrides", {})}
    if size:
        more["arrayProperties"] = {"size": size}
    return batch.submit_job(jobQueue=queue, **more)["jobId"]


def describe(job):
    found = batch.describe_jobs(jobs=[job])["jobs"]
    assert [one["jobId"] for one in found] == [job], found
    return found[0]


def status(job):
    return describe(job)["status"]


def until(ask, what, deadline=DEADLINE):
    """Asks until the answer is true, and returns it."""
    end = time.monotonic() + deadline
    while True:
        answer = ask()
        if answer:
            return answer
        assert time.monotonic() < end, f"not within {deadline} s: {what}"
        time.sleep(0.02)


def ended(job, wanted=None):
    found = until(lambda: (lambda one: one["status"] in ENDED and one)(describe(job)), f"the end of {job}")
    assert wanted in (None, found["status"]), found
    return found


def reaches(job, *states):
    def look():
        found = describe(job)
        assert found["status"] in states or found["status"] not in ENDED, found
        return found["status"] in states and found

    return until(look, f"{job} {states}")


def children(job, size):
    assert size <= 100, "as many as DescribeJobs takes"
    return batch.describe_jobs(jobs=[f"{job}:{index}" for index in range(size)])["jobs"]


def lines(job):
    stream = job["container"]["logStreamName"]
    events = logs.get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True)["events"]
    return [event["message"] for event in events]


def refused(call, **arguments):
    """AWS's ClientException, and what it says."""
    try:
        call(**arguments)
    except ClientError as error:
        told = error.response["Error"]
        assert told["Code"] == "ClientException" and told["Message"], told
        return told["Message"]
    raise AssertionError(f"not refused: {arguments}")


def most_at_once(jobs):
    """How many of these ran at the same time."""
    steps = [(job["startedAt"], 1) for job in jobs] + [(job["stoppedAt"], -1) for job in jobs]
    return max(itertools.accumulate(step for _, step in sorted(steps)))


def part_of(small, large, path=""):
    """What was given must come back; more may."""
    if isinstance(small, dict):
        for key, value in small.items():
            assert isinstance(large, dict) and key in large, f"{path}.{key} was given and is not told: {large}"
            part_of(value, large[key], f"{path}.{key}")
    elif isinstance(small, list):
        assert len(small) == len(large), f"{path}: {small} became {large}"
        for place, (one, other) in enumerate(zip(small, large)):
            part_of(one, other, f"{path}[{place}]")
    else:
        assert small == large, f"{path}: {small!r} became {large!r}"


@contextlib.contextmanager
def queue_of(vcpus, **more):
    """A queue with a compute environment of its own; both are gone afterwards."""
    environment, queue = name("environment"), name("queue")
    resources = {
        "type": "EC2", "minvCpus": 0, "maxvCpus": vcpus, "instanceTypes": ["optimal"], "subnets": ["subnet-1"],
        "securityGroupIds": ["sg-1"], "instanceRole": "arn:aws:iam::000000000000:instance-profile/ecs",
    }
    batch.create_compute_environment(
        computeEnvironmentName=environment, type="MANAGED", state="ENABLED", computeResources=resources
    )
    valid_environment(environment)
    order = [{"order": 1, "computeEnvironment": environment}]
    batch.create_job_queue(jobQueueName=queue, state="ENABLED", priority=1, computeEnvironmentOrder=order, **more)
    valid_queue(queue)
    yield queue
    batch.update_job_queue(jobQueue=queue, state="DISABLED")
    valid_queue(queue)
    batch.delete_job_queue(jobQueue=queue)
    until(lambda: not batch.describe_job_queues(jobQueues=[queue])["jobQueues"], f"{queue} is deleted")
    batch.update_compute_environment(computeEnvironment=environment, state="DISABLED")
    valid_environment(environment)
    batch.delete_compute_environment(computeEnvironment=environment)


def valid_environment(environment):
    def look():
        found = batch.describe_compute_environments(computeEnvironments=[environment])["computeEnvironments"]
        assert len(found) == 1, found
        return found[0]["status"] == "VALID" and found[0]

    return until(look, f"{environment} is VALID")


def valid_queue(queue):
    def look():
        found = batch.describe_job_queues(jobQueues=[queue])["jobQueues"]
        assert len(found) == 1, found
        return found[0]["status"] == "VALID" and found[0]

    return until(look, f"{queue} is VALID")


# The runner.


def run(*modules):
    """Runs every function of the modules that begins with `check_`, or those whose name holds an argument."""
    checks = [
        (check[len("check_"):], function)
        for module in modules
        for check, function in vars(module).items()
        if check.startswith("check_") and inspect.isfunction(function)
        and (len(sys.argv) < 2 or any(word in check for word in sys.argv[1:]))
    ]
    failed = []
    for check, function in checks:
        begun, seen = time.monotonic(), len(faults)
        try:
            function()
        except Exception:
            failed.append((check, traceback.format_exc(limit=-4)))
        unlike = sorted(set(faults[seen:]))
        if unlike:
            failed.append((check, "answers unlike the model:\n  " + "\n  ".join(unlike[:20])))
        told = "FAILED" if failed and failed[-1][0] == check else "ok"
        print(f"{told:6} {time.monotonic() - begun:6.2f} s  {check.replace('_', ' ')}", flush=True)
    for check, why in failed:
        print(f"\n== {check}\n{why}")
    print(f"\n{len(checks)} checks, {len({check for check, _ in failed})} failed")
    sys.exit(1 if failed else 0)
