"""Who runs when and where: order in a queue, several queues and environments, changes while jobs wait."""
from world import *


def in_order(ids):
    """The jobs in the order of their starts."""
    return [job["jobId"] for job in sorted((ended(one) for one in ids), key=lambda job: job["startedAt"])]


def check_a_queue_runs_in_the_order_of_submission():
    with queue_of(1) as queue:
        jobs = [submit("sleep 0.02", queue=queue) for _ in range(8)]
        assert in_order(jobs) == jobs


def check_a_retried_job_goes_to_the_front():
    with queue_of(1) as queue:
        again = submit("sleep 0.05; exit 1", queue=queue, retryStrategy={"attempts": 2})
        others = [submit("sleep 0.02", queue=queue) for _ in range(3)]
        last = ended(again)["attempts"][-1]
        assert all(last["stoppedAt"] <= ended(other)["startedAt"] for other in others), last


def check_the_queue_of_higher_priority_comes_first():
    with queue_of(1) as low:
        order = batch.describe_job_queues(jobQueues=[low])["jobQueues"][0]["computeEnvironmentOrder"]
        high = name("high")
        batch.create_job_queue(jobQueueName=high, state="ENABLED", priority=100, computeEnvironmentOrder=order)
        valid_queue(high)
        first = submit("sleep 0.3", queue=low)
        reaches(first, "RUNNING")
        later, sooner = submit("sleep 0.02", queue=low), submit("sleep 0.02", queue=high)
        assert in_order([later, sooner]) == [sooner, later]
        batch.update_job_queue(jobQueue=high, state="DISABLED")
        valid_queue(high)
        batch.delete_job_queue(jobQueue=high)
        until(lambda: not batch.describe_job_queues(jobQueues=[high])["jobQueues"], "it is gone")


def check_the_next_environment_takes_what_the_first_cannot():
    with queue_of(1) as one, queue_of(2) as two:
        environments = [batch.describe_job_queues(jobQueues=[queue])["jobQueues"][0]["computeEnvironmentOrder"][0]["computeEnvironment"] for queue in (one, two)]
        both = [{"order": place, "computeEnvironment": arn} for place, arn in enumerate(environments, 1)]
        batch.update_job_queue(jobQueue=one, computeEnvironmentOrder=both)
        valid_queue(one)
        array = submit("echo $AWS_BATCH_CE_NAME; sleep 0.3", size=3, queue=one)
        ended(array, "SUCCEEDED")
        found = children(array, 3)
        used = sorted(lines(child)[0] for child in found)
        names = [arn.split("/")[1] for arn in environments]
        assert used == sorted([names[0], names[1], names[1]]) and most_at_once(found) == 3, (used, names)
        batch.update_job_queue(jobQueue=one, computeEnvironmentOrder=both[:1])
        valid_queue(one)


def check_a_disabled_environment_takes_nothing_until_it_is_enabled():
    with queue_of(1) as queue:
        environment = batch.describe_job_queues(jobQueues=[queue])["jobQueues"][0]["computeEnvironmentOrder"][0]["computeEnvironment"]
        batch.update_compute_environment(computeEnvironment=environment, state="DISABLED")
        valid_environment(environment)
        job = submit("true", queue=queue)
        reaches(job, "RUNNABLE")
        # Another queue's job comes and goes meanwhile.
        ended(submit("true"), "SUCCEEDED")
        assert status(job) == "RUNNABLE"
        batch.update_compute_environment(computeEnvironment=environment, state="ENABLED")
        ended(job, "SUCCEEDED")


def check_a_larger_environment_lets_a_large_job_in():
    with queue_of(1) as queue:
        needs = {"resourceRequirements": [{"type": "VCPU", "value": "2"}]}
        job = submit("true", queue=queue, containerOverrides=needs)
        reaches(job, "RUNNABLE")
        environment = batch.describe_job_queues(jobQueues=[queue])["jobQueues"][0]["computeEnvironmentOrder"][0]["computeEnvironment"]
        batch.update_compute_environment(computeEnvironment=environment, computeResources={"maxvCpus": 2})
        found = ended(job, "SUCCEEDED")
        assert not found.get("statusReason", "").startswith("MISCONFIGURATION"), found


def check_jobs_outlive_their_definition():
    with queue_of(1) as queue:
        definition = define()
        runs, waits = submit("sleep 0.2", queue=queue, jobDefinition=definition), submit("true", queue=queue, jobDefinition=definition)
        batch.deregister_job_definition(jobDefinition=definition)
        ended(runs, "SUCCEEDED"), ended(waits, "SUCCEEDED")


def check_jobs_end_with_their_queue():
    with queue_of(1) as other:
        order = batch.describe_job_queues(jobQueues=[other])["jobQueues"][0]["computeEnvironmentOrder"]
        queue = name("short-lived")
        batch.create_job_queue(jobQueueName=queue, state="ENABLED", priority=1, computeEnvironmentOrder=order)
        valid_queue(queue)
        runs, waits = submit("sleep 600", queue=queue), submit("true", queue=queue)
        reaches(runs, "RUNNING")
        batch.update_job_queue(jobQueue=queue, state="DISABLED")
        valid_queue(queue)
        batch.delete_job_queue(jobQueue=queue)
        ended(runs, "FAILED"), ended(waits, "FAILED")
        until(lambda: not batch.describe_job_queues(jobQueues=[queue])["jobQueues"], "it is gone")


def check_children_wait_in_two_ways_at_once():
    first = submit("sleep 0.1", size=3)
    both = submit("sleep 0.02", size=3, dependsOn=[{"jobId": first, "type": "N_TO_N"}, {"type": "SEQUENTIAL"}])
    ended(both, "SUCCEEDED")
    found = children(both, 3)
    assert most_at_once(found) == 1 and found == sorted(found, key=lambda child: child["startedAt"]), found
    assert all(one["stoppedAt"] <= two["startedAt"] for one, two in zip(children(first, 3), found))


def check_many_dependencies():
    firsts = [submit(f"sleep 0.{number % 3}") for number in range(20)]
    last = submit("true", dependsOn=[{"jobId": job} for job in firsts])
    begun = ended(last, "SUCCEEDED")["startedAt"]
    assert all(ended(job)["stoppedAt"] <= begun for job in firsts)


def check_what_waits_for_a_cancelled_job_fails():
    with queue_of(1) as queue:
        runs = submit("sleep 600", queue=queue)
        reaches(runs, "RUNNING")
        waits = submit("true", queue=queue)
        depends = submit("true", queue=queue, dependsOn=[{"jobId": waits}])
        array = submit("true", size=3, queue=queue, dependsOn=[{"type": "SEQUENTIAL"}])
        batch.cancel_job(jobId=waits, reason="not needed")
        assert ended(depends, "FAILED")["attempts"] == []
        batch.terminate_job(jobId=array, reason="none of it")
        assert [child["statusReason"] for child in children(array, 3)] == ["none of it"] * 3
        batch.terminate_job(jobId=runs, reason="seen")
        ended(runs, "FAILED"), ended(array, "FAILED")


def check_an_update_of_tokens_is_done_once():
    title = name("tokens")
    batch.create_consumable_resource(consumableResourceName=title, totalQuantity=5)
    for _ in range(2):
        told = batch.update_consumable_resource(consumableResource=title, operation="ADD", quantity=2, clientToken="the-same-token")
        assert told["totalQuantity"] == 7, told
    assert batch.describe_consumable_resource(consumableResource=title)["totalQuantity"] == 7
    batch.delete_consumable_resource(consumableResource=title)


def check_tokens_of_a_failed_job_come_back():
    title = name("tokens")
    batch.create_consumable_resource(consumableResourceName=title, totalQuantity=1)
    one = {"consumableResourceList": [{"consumableResource": title, "quantity": 1}]}
    jobs = [submit(script, consumableResourcePropertiesOverride=one, retryStrategy={"attempts": 2}) for script in ("exit 1", "/no/such", "true")]
    assert [ended(job)["status"] for job in jobs] == ["FAILED", "FAILED", "SUCCEEDED"]
    runs = submit("sleep 600", consumableResourcePropertiesOverride=one)
    waits = submit("true", consumableResourcePropertiesOverride=one)
    reaches(runs, "RUNNING"), reaches(waits, "RUNNABLE")
    batch.terminate_job(jobId=runs, reason="give it back")
    ended(waits, "SUCCEEDED")
    assert batch.describe_consumable_resource(consumableResource=title)["inUseQuantity"] == 0
    batch.delete_consumable_resource(consumableResource=title)


def check_a_queue_that_waits_holds_no_other_up():
    with queue_of(1) as queue:
        never = submit("true", queue=queue, containerOverrides={"resourceRequirements": [{"type": "VCPU", "value": "8"}]})
        reaches(never, "RUNNABLE")
        ended(submit("true"), "SUCCEEDED")
        batch.terminate_job(jobId=never, reason="seen")
        ended(never, "FAILED")
