"""Lists, pages, filters, tags and logs as boto3 sees them."""
from world import *


def check_a_large_array_is_listed_in_pages():
    made = submit("sleep 600", size=2500)
    batch.terminate_job(jobId=made, reason="to be listed")
    ended(made, "FAILED")
    pages, token = [], {}
    while True:
        page = batch.list_jobs(arrayJobId=made, jobStatus="FAILED", maxResults=1000, **token)
        pages.append([child["arrayProperties"]["index"] for child in page["jobSummaryList"]])
        if "nextToken" not in page:
            break
        token = {"nextToken": page["nextToken"]}
    assert [len(page) for page in pages] == [1000, 1000, 500], [len(page) for page in pages]
    assert sorted(sum(pages, [])) == list(range(2500))
    found = batch.get_paginator("list_jobs").paginate(arrayJobId=made, jobStatus="FAILED", PaginationConfig={"PageSize": 700, "MaxItems": 1500})
    assert len(found.build_full_result()["jobSummaryList"]) == 1500


def check_running_jobs_are_the_default():
    with queue_of(1) as queue:
        runs, waits = submit("sleep 600", queue=queue), submit("true", queue=queue)
        reaches(runs, "RUNNING"), reaches(waits, "RUNNABLE")
        listed = lambda **more: [job["jobId"] for job in batch.list_jobs(jobQueue=queue, **more)["jobSummaryList"]]
        assert listed() == [runs] and listed(jobStatus="RUNNING") == [runs]
        assert listed(jobStatus="RUNNABLE") == [waits] and listed(jobStatus="FAILED") == []
        batch.terminate_job(jobId=runs, reason="seen")
        ended(waits, "SUCCEEDED")
        assert listed() == [] and listed(jobStatus="FAILED") == [runs] and listed(jobStatus="SUCCEEDED") == [waits]
        arn = batch.describe_job_queues(jobQueues=[queue])["jobQueues"][0]["jobQueueArn"]
        assert [job["jobId"] for job in batch.list_jobs(jobQueue=arn, jobStatus="FAILED")["jobSummaryList"]] == [runs]


def check_filters():
    mark = name("Filter")
    older = submit("true", jobName=f"{mark}-a", size=2)
    middle = ended(older)["createdAt"]
    until(lambda: __import__("time").time() * 1000 > middle + 2, "another millisecond")
    newer = submit("exit 1", jobName=f"{mark}-b")
    definition = describe(newer)["jobDefinition"]
    ended(newer)
    listed = lambda filter, *values, **more: [
        job["jobId"] for job in batch.list_jobs(jobQueue=QUEUE, filters=[{"name": filter, "values": list(values)}], **more)["jobSummaryList"]
        if job["jobName"].startswith(mark)]
    assert listed("JOB_NAME", f"{mark}-a") == [older]
    assert listed("JOB_NAME", f"{mark.upper()}-A") == [older], "names are compared without their case"
    assert listed("JOB_NAME", f"{mark}-*") == [newer, older], "the newest first, in any state, parents only"
    assert listed("JOB_NAME", f"{mark}-*", jobStatus="RUNNING") == [newer, older], "the status is ignored"
    assert listed("JOB_NAME", mark) == []
    short = definition.split("/")[1].split(":")[0]
    assert listed("JOB_DEFINITION", definition) == [newer, older] == listed("JOB_DEFINITION", short) == listed("JOB_DEFINITION", short[:-1] + "*")
    assert listed("AFTER_CREATED_AT", str(middle)) == [newer] and listed("BEFORE_CREATED_AT", str(middle + 1)) == [older]
    found = batch.list_jobs(arrayJobId=older, jobStatus="SUCCEEDED")["jobSummaryList"]
    assert [child["jobId"] for child in found] == [f"{older}:0", f"{older}:1"], "in the order of their places"


def check_bad_lists():
    made = submit("true", size=2)
    ended(made)
    refused(loose.list_jobs), refused(loose.list_jobs, jobQueue=QUEUE, arrayJobId=made)
    refused(loose.list_jobs, jobQueue="no-such"), refused(loose.list_jobs, jobQueue=QUEUE, jobStatus="LOST")
    refused(loose.list_jobs, jobQueue=QUEUE, filters=[{"name": "JOB_COLOUR", "values": ["x"]}])
    refused(loose.list_jobs, jobQueue=QUEUE, filters=[{"name": "JOB_NAME", "values": ["x"]}, {"name": "JOB_NAME", "values": ["y"]}])
    refused(loose.list_jobs, jobQueue=QUEUE, filters=[{"name": "AFTER_CREATED_AT", "values": ["yesterday"]}])
    refused(loose.list_jobs, jobQueue=QUEUE, nextToken="not one of ours")
    refused(loose.describe_jobs, jobs=[]), refused(loose.describe_jobs, jobs=[made] * 101)
    assert batch.describe_jobs(jobs=["00000000-0000-4000-8000-000000000000", f"{made}:2"])["jobs"] == []


def check_definitions():
    title = name("definition")
    properties = container(
        command=["echo", "Ref::x"], jobRoleArn="arn:aws:iam::000000000000:role/job", user="nobody", privileged=False, readonlyRootFilesystem=True,
        volumes=[{"name": "v", "host": {"sourcePath": "/tmp"}}], mountPoints=[{"sourceVolume": "v", "containerPath": "/v", "readOnly": True}],
        environment=[{"name": "A", "value": "1"}], ulimits=[{"name": "nofile", "softLimit": 1, "hardLimit": 2}],
        logConfiguration={"logDriver": "awslogs", "options": {"awslogs-group": "g"}}, secrets=[{"name": "S", "valueFrom": "arn:aws:ssm:x"}],
        linuxParameters={"initProcessEnabled": True, "sharedMemorySize": 64})
    given = {"type": "container", "containerProperties": properties, "parameters": {"x": "1"}, "tags": {"team": "a"}, "propagateTags": True,
             "retryStrategy": {"attempts": 2}, "timeout": {"attemptDurationSeconds": 100}, "platformCapabilities": ["EC2"], "schedulingPriority": 7}
    made = [batch.register_job_definition(jobDefinitionName=title, **given) for _ in range(3)]
    assert [one["revision"] for one in made] == [1, 2, 3] and made[0]["jobDefinitionArn"].endswith(f"/{title}:1"), made
    found = batch.describe_job_definitions(jobDefinitions=[made[1]["jobDefinitionArn"], f"{title}:3", f"{title}:9"])["jobDefinitions"]
    assert sorted(one["revision"] for one in found) == [2, 3], found
    part_of({**given, "jobDefinitionName": title, "status": "ACTIVE", "containerOrchestrationType": "ECS"}, found[0])
    batch.deregister_job_definition(jobDefinition=f"{title}:2")
    of = lambda **more: sorted(one["revision"] for one in batch.describe_job_definitions(jobDefinitionName=title, **more)["jobDefinitions"])
    assert (of(), of(status="ACTIVE"), of(status="INACTIVE")) == ([1, 2, 3], [1, 3], [2])
    pages = list(batch.get_paginator("describe_job_definitions").paginate(jobDefinitionName=title, PaginationConfig={"PageSize": 1}))
    assert sorted(one["revision"] for page in pages for one in page["jobDefinitions"]) == [1, 2, 3] and len(pages) >= 3, pages
    send = lambda definition: batch.submit_job(jobName=name("d"), jobQueue=QUEUE, jobDefinition=definition)
    for definition in (title, f"{title}:1", made[2]["jobDefinitionArn"]):
        job = describe(send(definition)["jobId"])
        assert job["jobDefinition"].endswith(":1" if definition.endswith(":1") else ":3"), job
    refused(loose.submit_job, jobName=name("d"), jobQueue=QUEUE, jobDefinition=f"{title}:2")
    for revision in (1, 3):
        batch.deregister_job_definition(jobDefinition=f"{title}:{revision}")
    refused(loose.submit_job, jobName=name("d"), jobQueue=QUEUE, jobDefinition=title)


def check_bad_definitions():
    send = lambda properties=None, **more: refused(
        loose.register_job_definition, **{"jobDefinitionName": name("bad"), "type": "container", "containerProperties": container(**(properties or {})), **more})
    needs = lambda vcpus, memory: [{"type": "VCPU", "value": vcpus}, {"type": "MEMORY", "value": memory}]
    send(jobDefinitionName="with space"), send(type="tasks"), send(containerProperties={"command": ["true"]})
    send({"environment": [{"name": "AWS_BATCH_X", "value": ""}]})
    send({"resourceRequirements": [{"type": "VCPU", "value": "x"}, {"type": "MEMORY", "value": "64"}]})
    send({"resourceRequirements": needs("0.5", "64")}), send({"resourceRequirements": needs("1", "3")})
    send(timeout={"attemptDurationSeconds": 59}), send(retryStrategy={"attempts": 11}), send(platformCapabilities=["MOON"])
    role = {"executionRoleArn": "arn:aws:iam::000000000000:role/x"}
    for vcpus, memory in (("3", "8192"), ("0.25", "4096"), ("1", "1024"), ("32", "65536")):
        send({"resourceRequirements": needs(vcpus, memory), **role}, platformCapabilities=["FARGATE"])
    send({"resourceRequirements": needs("0.25", "512")}, platformCapabilities=["FARGATE"])
    for half in (needs("1", "2048")[:1], needs("1", "2048")[1:], []):
        send({"resourceRequirements": half})
        send({"resourceRequirements": half, **role}, platformCapabilities=["FARGATE"])
    for vcpus, memory in (("0.25", "512"), ("1", "8192"), ("16", "122880"), ("32", "249856")):
        define("fargate", container(resourceRequirements=needs(vcpus, memory), **role), platformCapabilities=["FARGATE"])
    refused(loose.deregister_job_definition, jobDefinition="no-such:1")
    refused(loose.describe_job_definitions, jobDefinitions=["x:1"] * 101)


def check_a_task_of_several_containers_is_kept():
    tasks = [{"containers": [{"name": "init", "image": "i", "essential": False, "command": ["true"],
                              "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]},
                             {"name": "main", "image": "m", "essential": True, "dependsOn": [{"containerName": "init", "condition": "SUCCESS"}],
                              "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]}]}]
    made = batch.register_job_definition(jobDefinitionName=name("ecs"), type="container", ecsProperties={"taskProperties": tasks})
    found, = batch.describe_job_definitions(jobDefinitions=[made["jobDefinitionArn"]])["jobDefinitions"]
    part_of({"taskProperties": tasks}, found["ecsProperties"])


def check_tags():
    definition = define(tags={"a": "1"})
    arn = batch.describe_job_definitions(jobDefinitions=[definition])["jobDefinitions"][0]["jobDefinitionArn"]
    job = describe(submit("true", tags={"a": "1"}))["jobArn"]
    queue = batch.describe_job_queues(jobQueues=[QUEUE])["jobQueues"][0]["jobQueueArn"]
    environment = batch.describe_compute_environments(computeEnvironments=[QUEUE])["computeEnvironments"][0]["computeEnvironmentArn"]
    for one in (arn, job, queue, environment):
        before = batch.list_tags_for_resource(resourceArn=one)["tags"]
        batch.tag_resource(resourceArn=one, tags={"b": "two words/ü", "c": ""})
        batch.tag_resource(resourceArn=one, tags={"b": "changed"})
        assert batch.list_tags_for_resource(resourceArn=one)["tags"] == {**before, "b": "changed", "c": ""}
        batch.untag_resource(resourceArn=one, tagKeys=["b", "never there"])
        assert batch.list_tags_for_resource(resourceArn=one)["tags"] == {**before, "c": ""}
        batch.untag_resource(resourceArn=one, tagKeys=["c"])
    refused(loose.list_tags_for_resource, resourceArn=queue + "-no")
    refused(loose.tag_resource, resourceArn=queue, tags={f"t{n}": "" for n in range(51)})
    refused(loose.tag_resource, resourceArn="arn:aws:sqs:us-east-1:000000000000:queue", tags={"a": "1"})


def check_logs():
    job = ended(submit("echo one; sleep 0.1; echo two >&2; printf three; exit 2", retryStrategy={"attempts": 2}))
    for attempt in job["attempts"]:
        stream = attempt["container"]["logStreamName"]
        assert stream.split("/")[1] == "default", stream
        page = logs.get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True, limit=2)
        assert [event["message"] for event in page["events"]] == ["one", "two"], page
        assert all(job["createdAt"] <= event["timestamp"] <= job["stoppedAt"] + 1000 for event in page["events"]), page
        page = logs.get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True, nextToken=page["nextForwardToken"])
        assert [event["message"] for event in page["events"]] == ["three"], page
        last = logs.get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True, nextToken=page["nextForwardToken"])
        assert last["events"] == [] and last["nextForwardToken"] == page["nextForwardToken"], last
    found = logs.get_paginator("filter_log_events").paginate(logGroupName=GROUP, logStreamNames=[stream], filterPattern="t", PaginationConfig={"PageSize": 1})
    assert [event["message"] for page in found for event in page["events"]] == ["two", "three"]
    try:
        logs.get_log_events(logGroupName=GROUP, logStreamName="none/default/none")
    except logs.exceptions.ResourceNotFoundException:
        return
    raise AssertionError("a stream that is not there was read")
