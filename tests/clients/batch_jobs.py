"""Jobs as boto3 sees them: submission, environment, retries, dependencies, stops."""
import json
import os
import time
import urllib.error
import urllib.request

from world import *


def check_a_plain_job_is_described_in_full():
    begun = int(time.time() * 1000) - 1000
    given = {"jobName": name("plain"), "tags": {"one": "1"}, "propagateTags": True, "parameters": {"p": "v"},
             "retryStrategy": {"attempts": 3, "evaluateOnExit": [{"onExitCode": "7*", "onReason": "x*", "onStatusReason": "y*", "action": "EXIT"}]},
             "timeout": {"attemptDurationSeconds": 60}}
    made = submit("echo out; exit 0", **given)
    job = ended(made, "SUCCEEDED")
    lower = lambda rows: [{**row, "action": row["action"].lower()} for row in rows]
    rules = given["retryStrategy"].pop("evaluateOnExit")
    part_of(given, job)
    part_of(lower(rules), lower(job["retryStrategy"]["evaluateOnExit"]))
    assert begun < job["createdAt"] <= job["startedAt"] <= job["stoppedAt"] < time.time() * 1000 + 1000, job
    assert job["jobArn"].endswith(f":job/{made}") and job["jobQueue"].endswith(f":job-queue/{QUEUE}"), job
    assert job["jobDefinition"].startswith("arn:aws:batch:") and job["dependsOn"] == [], job
    assert job["platformCapabilities"] == ["EC2"] and "arrayProperties" not in job, job
    attempt, = job["attempts"]
    part_of({"exitCode": 0, "logStreamName": job["container"]["logStreamName"]}, attempt["container"])
    assert attempt["statusReason"] == "Essential container in task exited", attempt
    assert attempt["startedAt"] == job["startedAt"] and attempt["stoppedAt"] == job["stoppedAt"], job
    part_of({"image": "busybox", "command": ["sh", "-c", "echo out; exit 0"], "exitCode": 0}, job["container"])
    assert job["container"]["taskArn"] == attempt["container"]["taskArn"], job
    assert job.get("isCancelled", False) is False and job.get("isTerminated", False) is False, job
    assert lines(job) == ["out"]


def check_an_array_and_its_children():
    made = submit("[ $AWS_BATCH_JOB_ARRAY_INDEX != 3 ] || exit 9", size=5)
    seen = set()
    job = until(lambda: (lambda one: seen.add(one["status"]) or one["status"] in ENDED and one)(describe(made)), "the end")
    assert seen <= {"SUBMITTED", "PENDING", "FAILED"}, seen
    array = job["arrayProperties"]
    assert array["size"] == 5 and set(array["statusSummary"]) == set(STATES), array
    assert (array["statusSummary"]["SUCCEEDED"], array["statusSummary"]["FAILED"]) == (4, 1), array
    assert sum(array["statusSummary"].values()) == 5 and array["statusSummaryLastUpdatedAt"] > 0, array
    assert job["statusReason"] == "Array Child Job failed", job
    found = children(made, 6)
    assert [child["arrayProperties"]["index"] for child in found] == [0, 1, 2, 3, 4], found
    assert [child["container"]["exitCode"] for child in found] == [0, 0, 0, 9, 0], found
    assert all("size" not in child["arrayProperties"] for child in found), found
    failed, = batch.list_jobs(arrayJobId=made, jobStatus="FAILED")["jobSummaryList"]
    part_of({"jobId": f"{made}:3", "jobName": job["jobName"], "container": {"exitCode": 9}, "arrayProperties": {"index": 3}}, failed)
    assert failed["jobArn"].endswith(f":job/{made}:3") and failed["createdAt"] <= failed["startedAt"] <= failed["stoppedAt"], failed


def check_sizes_of_arrays():
    for size in (-1, 0, 1, 10_001):
        refused(loose.submit_job, jobName=name("size"), jobQueue=QUEUE, jobDefinition=define(), arrayProperties={"size": size})
    made = submit("true", size=10_000)
    assert sum(describe(made)["arrayProperties"]["statusSummary"].values()) == 10_000
    batch.terminate_job(jobId=made, reason="too many for a test")
    assert ended(made, "FAILED")["statusReason"] == "too many for a test"


def check_what_a_child_finds_in_its_environment():
    definition = define("env", container(environment=[{"name": "KEPT", "value": "1"}, {"name": "CHANGED", "value": "1"}]))
    more = {"jobDefinition": definition, "containerOverrides": {"environment": [{"name": "CHANGED", "value": "2"}, {"name": "NEW", "value": "a b"}]}}
    made = submit("env", size=2, **more)
    ended(made, "SUCCEEDED")
    for index, child in enumerate(children(made, 2)):
        found = dict(line.split("=", 1) for line in lines(child) if "=" in line)
        part_of({"KEPT": "1", "CHANGED": "2", "NEW": "a b", "AWS_BATCH_JOB_ID": f"{made}:{index}", "AWS_BATCH_JOB_ATTEMPT": "1",
                 "AWS_BATCH_JOB_ARRAY_INDEX": str(index), "AWS_BATCH_JQ_NAME": QUEUE, "AWS_BATCH_CE_NAME": QUEUE}, found)
        told = {pair["name"]: pair["value"] for pair in child["container"]["environment"]}
        part_of({"KEPT": "1", "CHANGED": "2", "NEW": "a b"}, told)
    plain = ended(submit("env"), "SUCCEEDED")
    assert not any(line.startswith("AWS_BATCH_JOB_ARRAY_INDEX") for line in lines(plain)), lines(plain)


def check_parameters_replace_references():
    properties = container(command=["echo", "Ref::given", "Ref::default", "Ref::missing", "Ref::given and more"])
    definition = define("ref", properties, parameters={"default": "of the definition", "given": "not this"})
    made = batch.submit_job(jobName=name("ref"), jobQueue=QUEUE, jobDefinition=definition, parameters={"given": "of the job"})
    job = ended(made["jobId"], "SUCCEEDED")
    part_of({"given": "of the job", "default": "of the definition"}, job["parameters"])
    said, = lines(job)
    assert said.startswith("of the job of the definition Ref::missing"), said


def check_overrides_are_told():
    needs = [{"type": "VCPU", "value": "2"}, {"type": "MEMORY", "value": "128"}]
    made = submit("true", containerOverrides={"resourceRequirements": needs})
    told = {one["type"]: one["value"] for one in ended(made)["container"]["resourceRequirements"]}
    assert told == {"VCPU": "2", "MEMORY": "128"}, told


def check_retries():
    rule = lambda action, **on: {**on, "action": action}
    for what, script, attempts, rules, codes in [
        ("plain", "exit 7", 2, [], [7, 7]),
        ("until it works", "exit $((AWS_BATCH_JOB_ATTEMPT < 3 ? 75 : 0))", 4, [], [75, 75, 0]),
        ("first match", "exit 75", 3, [rule("EXIT", onExitCode="7*"), rule("RETRY", onExitCode="75")], [75]),
        ("glob", "exit 75", 2, [rule("retry", onExitCode="7*"), rule("exit", onReason="*")], [75, 75]),
        ("no match", "exit 3", 2, [rule("EXIT", onExitCode="1")], [3, 3]),
        ("both", "exit 3", 2, [rule("EXIT", onExitCode="3", onStatusReason="Host EC2*")], [3, 3]),
        ("by status", "exit 3", 2, [rule("EXIT", onStatusReason="Essential container*")], [3]),
    ]:
        strategy = {"attempts": attempts, "evaluateOnExit": rules} if rules else {"attempts": attempts}
        # A definition's strategy is as good as a submission's.
        definition = define("retry", retryStrategy=strategy)
        for job in (submit(script, retryStrategy=strategy), submit(script, jobDefinition=definition)):
            found = [attempt["container"].get("exitCode") for attempt in ended(job)["attempts"]]
            assert found == codes, (what, found)
    bad = [{"attempts": 0}, {"attempts": 11}, {"evaluateOnExit": [rule("EXIT", onExitCode="1")]},
           {"attempts": 2, "evaluateOnExit": [rule("EXIT", onExitCode="1")] * 6},
           {"attempts": 2, "evaluateOnExit": [rule("MAYBE", onExitCode="1")]},
           {"attempts": 2, "evaluateOnExit": [rule("EXIT", onExitCode="*1")]},
           {"attempts": 2, "evaluateOnExit": [rule("EXIT", onReason="x" * 513)]}]
    for strategy in bad:
        refused(loose.submit_job, jobName=name("retry"), jobQueue=QUEUE, jobDefinition=define(), retryStrategy=strategy)


def check_a_job_waits_for_another():
    first = submit("sleep 0.4")
    second = submit("true", dependsOn=[{"jobId": first}])
    waiting = describe(second)
    assert waiting["status"] in ("SUBMITTED", "PENDING"), waiting
    part_of([{"jobId": first}], waiting["dependsOn"])
    one, two = ended(first, "SUCCEEDED"), ended(second, "SUCCEEDED")
    assert one["stoppedAt"] <= two["startedAt"], (one, two)
    # One that has ended already holds nothing up; an array is waited for as a whole.
    ended(submit("true", dependsOn=[{"jobId": first}]), "SUCCEEDED")
    array = submit("sleep 0.2", size=3)
    after = submit("true", size=2, dependsOn=[{"jobId": array}])
    ended(after, "SUCCEEDED")
    assert max(child["stoppedAt"] for child in children(array, 3)) <= min(child["startedAt"] for child in children(after, 2))


def check_a_job_fails_with_what_it_waits_for():
    first = submit("sleep 0.3; exit 1")
    plain, array = submit("true", dependsOn=[{"jobId": first}]), submit("true", size=2, dependsOn=[{"jobId": first}])
    third = submit("true", dependsOn=[{"jobId": plain}])
    for job in (plain, array, third):
        found = ended(job, "FAILED")
        assert found["statusReason"] == "Dependent Job failed" or "arrayProperties" in found, found
        assert found["attempts"] == [] and "startedAt" not in found, found
    # What failed before is no different.
    assert ended(submit("true", dependsOn=[{"jobId": first}]), "FAILED")["attempts"] == []


def check_children_wait_for_their_equals():
    first = submit("sleep 0.$AWS_BATCH_JOB_ARRAY_INDEX; [ $AWS_BATCH_JOB_ARRAY_INDEX != 1 ]", size=3)
    second = submit("true", size=3, dependsOn=[{"jobId": first, "type": "N_TO_N"}])
    ended(first, "FAILED"), ended(second, "FAILED")
    ones, twos = children(first, 3), children(second, 3)
    assert [child["status"] for child in twos] == ["SUCCEEDED", "FAILED", "SUCCEEDED"], twos
    assert all(ones[index]["stoppedAt"] <= twos[index]["startedAt"] for index in (0, 2)), (ones, twos)
    assert twos[1]["statusReason"] == "Dependent Job failed" and twos[1]["attempts"] == [], twos[1]


def check_children_run_one_after_the_other():
    made = submit("sleep 0.05", size=4, dependsOn=[{"type": "SEQUENTIAL"}])
    ended(made, "SUCCEEDED")
    found = children(made, 4)
    assert most_at_once(found) == 1 and found == sorted(found, key=lambda child: child["startedAt"]), found
    # A failure ends the rest.
    made = submit("[ $AWS_BATCH_JOB_ARRAY_INDEX != 1 ]", size=4, dependsOn=[{"type": "SEQUENTIAL"}])
    ended(made, "FAILED")
    assert [child["status"] for child in children(made, 4)] == ["SUCCEEDED", "FAILED", "FAILED", "FAILED"]
    assert children(made, 4)[3]["attempts"] == []


def check_bad_dependencies():
    array = submit("true", size=3)
    send = lambda depends, size=None: refused(
        loose.submit_job, jobName=name("depends"), jobQueue=QUEUE, jobDefinition=define(), dependsOn=depends,
        **({"arrayProperties": {"size": size}} if size else {}))
    send([{"jobId": array}] * 21)
    send([{"jobId": array, "type": "N_TO_N"}], 4)
    send([{"jobId": array, "type": "N_TO_N"}])
    send([{"type": "SEQUENTIAL"}])
    send([{"type": "N_TO_N"}], 3)
    send([{}])
    send([{"jobId": array, "type": "SOMETIMES"}], 3)
    send([{"jobId": "00000000-0000-4000-8000-000000000000"}])


def check_cancel_in_each_state():
    with queue_of(1) as queue:
        runs = submit("sleep 600", queue=queue)
        reaches(runs, "RUNNING")
        waits, depends, array = submit("true", queue=queue), submit("true", queue=queue, dependsOn=[{"jobId": runs}]), submit("true", 3, queue)
        reaches(waits, "RUNNABLE")
        for job in (waits, depends, array):
            batch.cancel_job(jobId=job, reason="not needed")
            found = ended(job, "FAILED")
            assert found["statusReason"] == "not needed" and found["isCancelled"] is True and found["attempts"] == [], found
        assert all(child["isCancelled"] and child["statusReason"] == "not needed" for child in children(array, 3))
        batch.cancel_job(jobId=runs, reason="too late")
        assert status(runs) == "RUNNING"
        batch.terminate_job(jobId=runs, reason="enough")
        found = ended(runs, "FAILED")
        assert found["isTerminated"] is True and found["statusReason"] == "enough" and len(found["attempts"]) == 1, found
        # What has ended stays as it is.
        batch.cancel_job(jobId=runs, reason="again"), batch.terminate_job(jobId=waits, reason="again")
        assert (describe(runs)["statusReason"], describe(waits)["statusReason"]) == ("enough", "not needed")


def check_terminate_in_each_state():
    with queue_of(1) as queue:
        array = submit("sleep 600", 3, queue, retryStrategy={"attempts": 3})
        reaches(f"{array}:0", "RUNNING")
        depends = submit("true", queue=queue, dependsOn=[{"jobId": array}])
        batch.terminate_job(jobId=depends, reason="one")
        found = ended(depends, "FAILED")
        assert found["statusReason"] == "one" and found["isTerminated"] is True and found["attempts"] == [], found
        batch.terminate_job(jobId=array, reason="all of it")
        found = ended(array, "FAILED")
        assert found["statusReason"] == "all of it" and found["isTerminated"] is True, found
        assert [len(child["attempts"]) for child in children(array, 3)] == [1, 0, 0]
    for reason in ("", "x" * 1025):
        for call in (loose.cancel_job, loose.terminate_job):
            refused(call, jobId=array, reason=reason)


def check_many_jobs_are_stopped_at_once():
    with queue_of(1) as queue:
        runs, waits = submit("sleep 600", queue=queue), submit("true", queue=queue)
        reaches(runs, "RUNNING")
        unknown = "00000000-0000-4000-8000-000000000000"
        told = batch.cancel_jobs(jobs=[runs, waits, unknown], reason="some")
        assert sorted(told["successful"]) == sorted([runs, waits, unknown]) and told["errors"] == [], told
        assert ended(waits, "FAILED")["isCancelled"] is True and status(runs) == "RUNNING"
        told = batch.terminate_jobs(jobs=[runs, unknown], reason="all")
        assert sorted(told["successful"]) == sorted([runs, unknown]), told
        assert ended(runs, "FAILED")["statusReason"] == "all"
    for call in (loose.cancel_jobs, loose.terminate_jobs):
        refused(call, jobs=[unknown] * 51, reason="too many")
        refused(call, jobs=[], reason="none")
        refused(call, jobs=[unknown], reason="")


def check_what_cannot_start():
    job = ended(submit("", containerOverrides={"command": ["/no/such/program"]}), "FAILED")
    assert job["statusReason"] == "Task failed to start", job
    attempt, = job["attempts"]
    assert attempt["container"]["reason"].startswith("CannotStartContainerError") and "exitCode" not in attempt["container"], job


def check_limits():
    definition = define()
    send = lambda **more: refused(loose.submit_job, **{"jobName": name("bad"), "jobQueue": QUEUE, "jobDefinition": definition, **more})
    send(jobName="with space"), send(jobName="-x"), send(jobName="x" * 129), send(jobName="")
    send(jobQueue="no-such-queue"), send(jobDefinition="no-such"), send(jobDefinition=definition + "0")
    send(timeout={"attemptDurationSeconds": 59})
    send(containerOverrides={"command": ["sh", ""]})
    send(containerOverrides={"environment": [{"name": "AWS_BATCH_X", "value": "1"}]})
    send(containerOverrides={"resourceRequirements": [{"type": "CARS", "value": "1"}]})
    send(containerOverrides={"resourceRequirements": [{"type": "VCPU", "value": "many"}]})
    send(tags={f"t{n}": "" for n in range(51)})
    send(parameters={"p": "x" * 30 * 1024})
    send(shareIdentifier="share")
    one, two = refused(loose.register_job_definition, jobDefinitionName=name("large"), type="container",
                       containerProperties=container(command=["x" * 24 * 1024])), "24"
    assert two in one, one
    # ECS's limit is met only at the start.
    job = ended(submit(": " + "x" * 8192), "FAILED")
    assert job["statusReason"] == "Container Overrides length must be at most 8192", job
    ended(submit(": " + "x" * 7800), "SUCCEEDED")
    fifty = {f"d{n}": "" for n in range(50)}
    found = ended(submit("true", jobDefinition=define(tags=fifty), tags={"one-more": ""}), "FAILED")
    assert "tags" in found["statusReason"], found


def check_what_no_client_sends():
    """By hand: boto3 cannot be made to. The code is that of AWS's framework, which no model names."""
    good = {"jobName": name("bad"), "jobQueue": QUEUE, "jobDefinition": define()}
    bad = [json.dumps({**good, **wrong}) for wrong in (
        {"jobName": 1}, {"arrayProperties": []}, {"arrayProperties": {"size": "2"}}, {"tags": "x"}, {"dependsOn": {}},
        {"parameters": {"a": 1}}, {"containerOverrides": {"command": "true"}}, {"retryStrategy": {"attempts": 1.5}})]
    for body in [*bad, "{", "[]", "null", "\"x\"", "\x00"]:
        status, code = by_hand("/v1/submitjob", body)
        assert (status, code) in ((400, "SerializationException"), (400, "ClientException")), (body, status, code)
    for path in ("/v1/dance", "/v1/submitjob/more", "/v1/"):
        status, code = by_hand(path, "{}")
        assert (status, code) == (404, "UnknownOperationException"), (path, status, code)


def by_hand(path, body):
    """The status and the code of a request that is signed for Batch, and no more."""
    scope = "AWS4-HMAC-SHA256 Credential=any/20260101/us-east-1/batch/aws4_request, SignedHeaders=host, Signature=0"
    asked = urllib.request.Request(os.environ["AWS_ENDPOINT_URL"] + path, body.encode(), {"Authorization": scope, "Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return answer.status, None
    except urllib.error.HTTPError as error:
        assert isinstance(json.loads(error.read())["message"], str)
        return error.code, error.headers["x-amzn-errortype"]
