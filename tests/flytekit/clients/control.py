"""control.py FOLDER: terminates, relaunches and recovers executions; tasks leave traces in FOLDER."""
import os
import sys

import kit

folder = sys.argv[1]
to = kit.remote()
said = {}


def again(id):
    return to.fetch_execution(name=id.name)


# Recovered: what has succeeded is not run again.
failed = kit.wait(to, kit.begin(to, "trouble", "recoverable", {"folder": folder, "a": 7, "more": [1, 2, 3]}))
said["failed"] = {**kit.shown(failed), "nodes": kit.nodes(failed)}
open(os.path.join(folder, "allowed"), "w").close()
recovered = kit.wait(to, again(to.client.recover_execution(failed.id)))
said["recovered"] = {
    **kit.shown(recovered),
    "remote": kit.outputs(recovered, "trouble", "recoverable"),
    "nodes": kit.nodes(recovered),
    "n0": kit.plain(recovered.node_executions["n0"].outputs["o0"]),
    "mode": recovered.spec.metadata.mode,
    "of": recovered.spec.metadata.reference_execution.name == failed.id.name,
    "jobs": kit.sizes(to, recovered, kit.jobs()),
}
said["traces"] = {name: kit.count(folder, name) for name in ["first-7", "allowed-1", "allowed-2", "allowed-3"]}

# Terminated while its children run.
waiting = kit.begin(to, "trouble", "waiting", {"folder": folder, "a": [1, 2]})
kit.until(lambda: kit.count(folder, "waits-1") + kit.count(folder, "waits-2") > 0, "a child begins")
to.terminate(waiting, "no longer needed")
terminated = kit.wait(to, waiting)
said["terminated"] = {
    **kit.shown(terminated),
    "cause": terminated.closure.abort_metadata.cause if terminated.closure.abort_metadata else None,
    "nodes": kit.nodes(terminated),
}
alive = ["SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING"]
said["alive"] = [job["jobName"] for state in alive for job in kit.batch().list_jobs(jobQueue="batchmap", jobStatus=state)["jobSummaryList"]]
# To terminate what is over changes nothing.
to.terminate(waiting, "once more")

# Relaunched, with nothing in the way.
open(os.path.join(folder, "go"), "w").close()
relaunched = kit.wait(to, again(to.client.relaunch_execution(terminated.id)))
said["relaunched"] = {
    **kit.shown(relaunched),
    "remote": kit.outputs(relaunched, "trouble", "waiting"),
    "mode": relaunched.spec.metadata.mode,
    "of": relaunched.spec.metadata.reference_execution.name == terminated.id.name,
}
kit.answer(said)
