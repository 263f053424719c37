"""Compute environments, queues, policies, consumable resources and placement as boto3 sees them."""
from world import *

ROLE = "arn:aws:iam::000000000000:role/batch"


def check_a_compute_environment_lives_and_dies():
    title = name("environment")
    given = {"type": "MANAGED", "state": "ENABLED", "serviceRole": ROLE, "tags": {"a": "1"},
             "computeResources": {
                 "type": "SPOT", "allocationStrategy": "SPOT_CAPACITY_OPTIMIZED", "minvCpus": 0, "maxvCpus": 16, "desiredvCpus": 0,
                 "instanceTypes": ["m5", "c5.large"], "subnets": ["subnet-1", "subnet-2"], "securityGroupIds": ["sg-1"], "instanceRole": ROLE,
                 "bidPercentage": 60, "spotIamFleetRole": ROLE, "tags": {"Name": "x"}, "ec2KeyPair": "k", "placementGroup": "p",
                 "ec2Configuration": [{"imageType": "ECS_AL2023"}], "launchTemplate": {"launchTemplateName": "t", "version": "$Latest"}}}
    made = batch.create_compute_environment(computeEnvironmentName=title, **given)
    assert made["computeEnvironmentName"] == title and made["computeEnvironmentArn"].endswith(f":compute-environment/{title}"), made
    found = valid_environment(title)
    part_of(given, found)
    assert found["ecsClusterArn"] and found["containerOrchestrationType"] == "ECS", found
    refused(loose.create_compute_environment, computeEnvironmentName=title, **given)
    batch.update_compute_environment(computeEnvironment=made["computeEnvironmentArn"], computeResources={"maxvCpus": 32, "minvCpus": 1})
    part_of({"maxvCpus": 32, "minvCpus": 1, "bidPercentage": 60}, valid_environment(title)["computeResources"])
    refused(loose.delete_compute_environment, computeEnvironment=title)
    batch.update_compute_environment(computeEnvironment=title, state="DISABLED")
    assert valid_environment(title)["state"] == "DISABLED"
    queue = {"jobQueueName": name("queue"), "priority": 1, "computeEnvironmentOrder": [{"order": 1, "computeEnvironment": title}]}
    batch.create_job_queue(**queue)
    valid_queue(queue["jobQueueName"])
    refused(loose.delete_compute_environment, computeEnvironment=title)
    batch.update_job_queue(jobQueue=queue["jobQueueName"], state="DISABLED")
    valid_queue(queue["jobQueueName"])
    batch.delete_job_queue(jobQueue=queue["jobQueueName"])
    until(lambda: not batch.describe_job_queues(jobQueues=[queue["jobQueueName"]])["jobQueues"], "the queue is gone")
    batch.delete_compute_environment(computeEnvironment=title)
    until(lambda: not batch.describe_compute_environments(computeEnvironments=[title])["computeEnvironments"], "it is gone")
    refused(loose.update_compute_environment, computeEnvironment=title, state="ENABLED")


def check_other_compute_environments():
    fargate = {"type": "FARGATE", "maxvCpus": 4, "subnets": ["subnet-1"], "securityGroupIds": ["sg-1"]}
    made = []
    for given in ({"type": "MANAGED", "computeResources": fargate}, {"type": "UNMANAGED", "state": "DISABLED", "unmanagedvCpus": 4, "serviceRole": ROLE}):
        made.append(name("environment"))
        batch.create_compute_environment(computeEnvironmentName=made[-1], **given)
        part_of(given, valid_environment(made[-1]))
    send = lambda resources=None, **more: refused(loose.create_compute_environment, **{
        "computeEnvironmentName": name("bad"), "type": "MANAGED", "computeResources": {**fargate, **(resources or {})}, **more})
    send(computeEnvironmentName="with space"), send(type="RENTED"), send(state="ON"), send(computeResources=None)
    send({"type": "BICYCLE"}), send({"maxvCpus": -1}), send({"subnets": []})
    for title in made:
        batch.update_compute_environment(computeEnvironment=title, state="DISABLED")
        valid_environment(title)
        batch.delete_compute_environment(computeEnvironment=title)


def check_a_queue_lives_and_dies():
    title = name("queue")
    actions = [{"reason": "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT", "state": "RUNNABLE", "maxTimeSeconds": 600, "action": "CANCEL"}]
    given = {"state": "ENABLED", "priority": 7, "tags": {"a": "1"}, "jobStateTimeLimitActions": actions}
    arns = [one["computeEnvironmentArn"] for one in batch.describe_compute_environments(computeEnvironments=[QUEUE])["computeEnvironments"]]
    order = [{"order": 1, "computeEnvironment": arns[0]}]
    made = batch.create_job_queue(jobQueueName=title, computeEnvironmentOrder=[{"order": 1, "computeEnvironment": QUEUE}], **given)
    assert made["jobQueueArn"].endswith(f":job-queue/{title}"), made
    found = valid_queue(title)
    part_of({**given, "computeEnvironmentOrder": order, "jobQueueArn": made["jobQueueArn"]}, found)
    refused(loose.create_job_queue, jobQueueName=title, priority=1, computeEnvironmentOrder=order)
    batch.update_job_queue(jobQueue=made["jobQueueArn"], priority=9, jobStateTimeLimitActions=[])
    found = valid_queue(title)
    assert found["priority"] == 9 and not found.get("jobStateTimeLimitActions"), found
    refused(loose.delete_job_queue, jobQueue=title)
    batch.update_job_queue(jobQueue=title, state="DISABLED")
    valid_queue(title)
    refused(loose.submit_job, jobName=name("disabled"), jobQueue=title, jobDefinition=define())
    batch.delete_job_queue(jobQueue=title)
    until(lambda: not batch.describe_job_queues(jobQueues=[title])["jobQueues"], "it is gone")
    send = lambda **more: refused(loose.create_job_queue, **{"jobQueueName": name("bad"), "priority": 1, "computeEnvironmentOrder": order, **more})
    send(jobQueueName="with space"), send(priority=-1), send(computeEnvironmentOrder=[]), send(computeEnvironmentOrder=order * 4)
    send(computeEnvironmentOrder=[{"order": 1, "computeEnvironment": "no-such"}]), send(schedulingPolicyArn="arn:aws:batch:us-east-1:0:scheduling-policy/no")
    send(jobStateTimeLimitActions=[{**actions[0], "maxTimeSeconds": 599}]), send(state="ON")


def check_a_disabled_queue_still_runs_what_it_has():
    with queue_of(1) as queue:
        runs, waits = submit("sleep 0.5", queue=queue), submit("true", queue=queue)
        reaches(runs, "RUNNING")
        batch.update_job_queue(jobQueue=queue, state="DISABLED")
        refused(loose.submit_job, jobName=name("disabled"), jobQueue=queue, jobDefinition=define())
        ended(runs, "SUCCEEDED"), ended(waits, "SUCCEEDED")


def check_scheduling_policies_and_shares():
    policy = {"shareDecaySeconds": 60, "computeReservation": 10, "shareDistribution": [{"shareIdentifier": "a*", "weightFactor": 0.5}, {"shareIdentifier": "b"}]}
    made = batch.create_scheduling_policy(name=name("policy"), fairsharePolicy=policy, tags={"a": "1"})
    found, = batch.describe_scheduling_policies(arns=[made["arn"]])["schedulingPolicies"]
    part_of({"name": made["name"], "fairsharePolicy": {**policy, "shareDistribution": policy["shareDistribution"][:1] + [{"shareIdentifier": "b"}]}, "tags": {"a": "1"}}, found)
    assert made["arn"] in [one["arn"] for page in batch.get_paginator("list_scheduling_policies").paginate(PaginationConfig={"PageSize": 1}) for one in page["schedulingPolicies"]]
    batch.update_scheduling_policy(arn=made["arn"], fairsharePolicy={**policy, "shareDecaySeconds": 61})
    assert batch.describe_scheduling_policies(arns=[made["arn"]])["schedulingPolicies"][0]["fairsharePolicy"]["shareDecaySeconds"] == 61
    refused(loose.create_scheduling_policy, name="with space", fairsharePolicy=policy)
    refused(loose.create_scheduling_policy, name=name("policy"), fairsharePolicy={"computeReservation": 100})
    # Of one vCPU, a tenth held back for other shares would leave no room for a job.
    with queue_of(16, schedulingPolicyArn=made["arn"]) as queue:
        definition = define()
        refused(loose.submit_job, jobName=name("share"), jobQueue=queue, jobDefinition=definition)
        refused(loose.submit_job, jobName=name("share"), jobQueue=queue, jobDefinition=definition, shareIdentifier="x" * 256)
        refused(loose.submit_job, jobName=name("share"), jobQueue=queue, jobDefinition=definition, shareIdentifier="a b")
        refused(loose.submit_job, jobName=name("share"), jobQueue=queue, jobDefinition=definition, shareIdentifier="a", schedulingPriorityOverride=10_000)
        job = ended(submit("true", queue=queue, shareIdentifier="a1", schedulingPriorityOverride=3), "SUCCEEDED")
        part_of({"shareIdentifier": "a1", "schedulingPriority": 3}, job)
        listed = batch.list_jobs(jobQueue=queue, jobStatus="SUCCEEDED", filters=[{"name": "SHARE_IDENTIFIER", "values": ["a1"]}])["jobSummaryList"]
        assert [one["jobId"] for one in listed] == [job["jobId"]], listed
        refused(loose.delete_scheduling_policy, arn=made["arn"])
    batch.delete_scheduling_policy(arn=made["arn"])
    assert batch.describe_scheduling_policies(arns=[made["arn"]])["schedulingPolicies"] == []


def check_placement_by_vcpus():
    with queue_of(3) as queue:
        needs = lambda vcpus: {"resourceRequirements": [{"type": "VCPU", "value": str(vcpus)}]}
        ones = submit("sleep 0.15", size=9, queue=queue)
        ended(ones, "SUCCEEDED")
        assert most_at_once(children(ones, 9)) <= 3
        twos = submit("sleep 0.1", size=4, queue=queue, containerOverrides=needs(2))
        ended(twos, "SUCCEEDED")
        assert most_at_once(children(twos, 4)) == 1
        # What can never fit waits for ever at the head of the queue, and says why.
        never = submit("true", queue=queue, containerOverrides=needs(4))
        job = until(lambda: (lambda one: one["status"] == "RUNNABLE" and one.get("statusReason") and one)(describe(never)), "a reason")
        assert job["statusReason"].startswith("MISCONFIGURATION:"), job
        front = batch.get_job_queue_snapshot(jobQueue=queue)["frontOfQueue"]["jobs"]
        assert [one["jobArn"] for one in front] == [job["jobArn"]], front
        batch.cancel_job(jobId=never, reason="never")
        ended(never, "FAILED")


def check_a_snapshot_shows_who_is_next():
    with queue_of(1) as queue:
        runs = submit("sleep 600", queue=queue)
        reaches(runs, "RUNNING")
        waiting = [submit("true", queue=queue) for _ in range(3)]
        for job in waiting:
            reaches(job, "RUNNABLE")
        told = batch.get_job_queue_snapshot(jobQueue=queue)
        assert [one["jobArn"].split("/")[1] for one in told["frontOfQueue"]["jobs"]] == waiting, told
        assert told["frontOfQueue"]["lastUpdatedAt"] > 0, told
        batch.terminate_jobs(jobs=[runs, *waiting], reason="seen")
        for job in waiting:
            ended(job)
        assert batch.get_job_queue_snapshot(jobQueue=queue)["frontOfQueue"]["jobs"] == []
    refused(loose.get_job_queue_snapshot, jobQueue="no-such")


def check_a_consumable_resource_is_a_semaphore():
    title = name("tokens")
    made = batch.create_consumable_resource(consumableResourceName=title, totalQuantity=2, resourceType="REPLENISHABLE", tags={"a": "1"})
    assert made["consumableResourceArn"].endswith(f":consumable-resource/{title}"), made
    of = lambda: batch.describe_consumable_resource(consumableResource=title)
    part_of({"consumableResourceName": title, "totalQuantity": 2, "inUseQuantity": 0, "availableQuantity": 2, "resourceType": "REPLENISHABLE", "tags": {"a": "1"}}, of())
    one = {"consumableResourceList": [{"consumableResource": title, "quantity": 1}]}
    array = submit("sleep 0.15", size=8, jobDefinition=define(consumableResourceProperties=one))
    used = []
    until(lambda: used.append(of()) or status(array) in ENDED, "the end")
    ended(array, "SUCCEEDED")
    assert max(told["inUseQuantity"] for told in used) == 2 and all(told["inUseQuantity"] + told["availableQuantity"] == 2 for told in used), used
    assert most_at_once(children(array, 8)) <= 2 and of()["inUseQuantity"] == 0
    arn = made["consumableResourceArn"]
    part_of(1, describe(array)["consumableResourceProperties"]["consumableResourceList"][0]["quantity"])
    # Nothing left: it waits until there is more.
    told = batch.update_consumable_resource(consumableResource=arn, operation="SET", quantity=0, clientToken="t-1")
    assert told["totalQuantity"] == 0, told
    waits = submit("true", consumableResourcePropertiesOverride=one)
    reaches(waits, "RUNNABLE")
    listed = lambda **more: [job["jobArn"].split("/")[1] for page in batch.get_paginator("list_jobs_by_consumable_resource").paginate(consumableResource=title, **more) for job in page["jobs"]]
    assert waits in listed(filters=[{"name": "JOB_STATUS", "values": ["RUNNABLE"]}]), listed()
    batch.update_consumable_resource(consumableResource=title, operation="ADD", quantity=3)
    ended(waits, "SUCCEEDED")
    assert batch.update_consumable_resource(consumableResource=title, operation="REMOVE", quantity=1)["totalQuantity"] == 2
    assert title in [one["consumableResourceName"] for page in batch.get_paginator("list_consumable_resources").paginate(PaginationConfig={"PageSize": 1}) for one in page["consumableResources"]]
    refused(loose.create_consumable_resource, consumableResourceName=title)
    refused(loose.create_consumable_resource, consumableResourceName=name("tokens"), totalQuantity=-1)
    refused(loose.create_consumable_resource, consumableResourceName=name("tokens"), resourceType="MAGIC")
    refused(loose.update_consumable_resource, consumableResource=title, operation="REMOVE", quantity=99)
    refused(loose.update_consumable_resource, consumableResource=title, operation="DOUBLE", quantity=1)
    gone = {"consumableResourceList": [{"consumableResource": name("none"), "quantity": 1}]}
    refused(loose.submit_job, jobName=name("gone"), jobQueue=QUEUE, jobDefinition=define(), consumableResourcePropertiesOverride=gone)
    batch.delete_consumable_resource(consumableResource=title)
    refused(loose.describe_consumable_resource, consumableResource=title)


def check_pages_of_places():
    with queue_of(1), queue_of(1):
        for operation, key, title in (("describe_compute_environments", "computeEnvironments", "computeEnvironmentName"),
                                      ("describe_job_queues", "jobQueues", "jobQueueName")):
            every = [one[title] for one in getattr(batch, operation)()[key]]
            pages = list(batch.get_paginator(operation).paginate(PaginationConfig={"PageSize": 1}))
            assert sorted(one[title] for page in pages for one in page[key]) == sorted(every) and len(every) >= 4
            assert all(len(page[key]) <= 1 for page in pages)
            refused(getattr(loose, operation), nextToken="not one of ours")
            refused(getattr(loose, operation), maxResults=0)
            assert getattr(batch, operation)(**{key: ["no-such"]})[key] == []


def check_what_is_out_of_scope_says_so():
    limits = [{"maxCapacity": 1, "capacityUnit": "ml.m5.large"}]
    arn = "arn:aws:batch:us-east-1:000000000000:quota-share/q/s"
    for call, arguments in [
        ("create_quota_share", {"quotaShareName": "s", "jobQueue": QUEUE, "capacityLimits": limits,
                                "resourceSharingConfiguration": {"strategy": "RESERVE"}, "preemptionConfiguration": {"inSharePreemption": "DISABLED"}}),
        ("describe_quota_share", {"quotaShareArn": arn}), ("update_quota_share", {"quotaShareArn": arn}),
        ("delete_quota_share", {"quotaShareArn": arn}), ("list_quota_shares", {"jobQueue": QUEUE}),
        ("create_service_environment", {"serviceEnvironmentName": "s", "serviceEnvironmentType": "SAGEMAKER_TRAINING", "capacityLimits": limits}),
        ("describe_service_environments", {}), ("update_service_environment", {"serviceEnvironment": "s"}),
        ("delete_service_environment", {"serviceEnvironment": "s"}),
        ("submit_service_job", {"jobName": "s", "jobQueue": QUEUE, "serviceRequestPayload": "{}", "serviceJobType": "SAGEMAKER_TRAINING"}),
        ("describe_service_job", {"jobId": "j"}), ("list_service_jobs", {"jobQueue": QUEUE}),
        ("update_service_job", {"jobId": "j", "schedulingPriority": 1}), ("terminate_service_job", {"jobId": "j", "reason": "r"}),
        ("terminate_service_jobs", {"jobs": ["j"], "reason": "r"}),
    ]:
        refused(getattr(batch, call), **arguments)
