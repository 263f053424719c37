"""What the clients share. A client prints one JSON document, which the test looks at."""
import dataclasses
import datetime
import importlib
import json
import os
import sys
import time

import botocore.session
from flyteidl.admin.task_execution_pb2 import TaskExecutionListRequest
from flytekit import FlyteFile
from flytekit.clients.raw import RawSynchronousFlyteClient
from flytekit.configuration import Config
from flytekit.core.context_manager import FlyteContextManager
from flytekit.core.type_engine import TypeEngine
from flytekit.remote import FlyteRemote

WORKFLOWS = os.environ["WORKFLOWS"]
sys.path.insert(0, WORKFLOWS)
os.chdir(os.environ["WORKING"])


def remote() -> FlyteRemote:
    config = Config.for_endpoint(endpoint=os.environ["FLYTE_PLATFORM_URL"], insecure=True)
    return FlyteRemote(config, default_project="flytesnacks", default_domain="development")


def entity(module: str, name: str):
    return getattr(importlib.import_module(module), name)


def register(to: FlyteRemote, module: str, name: str):
    return to.register_script(entity(module, name), source_path=WORKFLOWS, module_name=module)


def begin(to: FlyteRemote, module: str, name: str, inputs: dict, **options):
    """Registers and launches; does not wait."""
    local = entity(module, name)
    hints = dict(local.python_interface.inputs)
    given = {**local.python_interface.default_inputs_as_kwargs, **inputs}
    return to.execute(register(to, module, name), inputs=given, type_hints=hints, wait=False, **options)


def wait(to: FlyteRemote, execution, nodes=True):
    return to.wait(execution, poll_interval=datetime.timedelta(seconds=1), sync_nodes=nodes)


def outputs(execution, module: str, name: str):
    """The outputs of an execution that is over, as JSON; nothing of one that has not succeeded."""
    if execution.error is not None:
        return None
    types = entity(module, name).python_interface.outputs
    return [plain(execution.outputs.get(var, as_type)) for var, as_type in types.items()]


def locally(module: str, name: str, inputs: dict):
    """The outputs of a local run, in the same form."""
    given = entity(module, name)(**inputs)
    count = len(entity(module, name).python_interface.outputs)
    return [plain(value) for value in ([] if count == 0 else given if count > 1 else [given])]


def plain(value):
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, FlyteFile):
        with open(value) as file:
            return {"file": file.read()}
    if dataclasses.is_dataclass(value):
        return dataclasses.asdict(value)
    return value


def shown(execution) -> dict:
    error = execution.closure.error
    return {
        "phase": execution.closure.phase,
        "error": error and {"code": error.code, "message": error.message, "kind": error.kind},
    }


def nodes(execution) -> dict:
    """Phases of the nodes, by their ids."""
    return {name: node.closure.phase for name, node in execution.node_executions.items()}


def batch():
    return botocore.session.get_session().create_client(
        "batch", region_name="us-east-1", endpoint_url=os.environ["BATCH_URL"],
        aws_access_key_id="any", aws_secret_access_key="any",
    )


def described() -> list:
    """Every job that AWS Batch knows, children aside."""
    client, found = batch(), {}
    queues = [queue["jobQueueName"] for queue in client.describe_job_queues()["jobQueues"]]
    states = ["SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED"]
    for queue in queues:
        for state in states:
            for page in client.get_paginator("list_jobs").paginate(jobQueue=queue, jobStatus=state):
                for job in page["jobSummaryList"]:
                    found[job["jobId"]] = job
    ids = sorted(found)
    return [job for at in range(0, len(ids), 100) for job in client.describe_jobs(jobs=ids[at:at + 100])["jobs"]]


def jobs() -> dict:
    """The name of each such job, and how many children it has (0: not an array)."""
    return {job["jobName"]: job.get("arrayProperties", {}).get("size", 0) for job in described()}


def attempts(to: FlyteRemote, execution, node_id: str) -> list:
    """The task executions of a node, as the server sends them."""
    node = execution.node_executions[node_id].id.to_flyte_idl()
    request = TaskExecutionListRequest(node_execution_id=node, limit=100)
    return list(RawSynchronousFlyteClient.list_task_executions_paginated(to.client, request).task_executions)


def sizes(to: FlyteRemote, execution, known: dict) -> dict:
    """How many children each job of each node has, by the node's id."""
    found = {}
    for node_id in execution.node_executions:
        runs = [attempt.closure.metadata.generated_name for attempt in attempts(to, execution, node_id)]
        found[node_id] = sorted(size for name, size in known.items() if any(run and run in name for run in runs))
    return found


def until(holds, what: str):
    """Waits for something outside of this process."""
    deadline = time.monotonic() + 300
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.1)


def count(folder: str, name: str) -> int:
    """How many lines tasks have left in a file of their folder."""
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        return 0
    with open(path) as file:
        return len(file.readlines())


def answer(value):
    json.dump(value, sys.stdout)
    print()
