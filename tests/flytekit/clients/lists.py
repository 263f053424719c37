"""What a fresh process sees of what others have registered and run: fetched, listed and synced."""
import sys

import kit
from flytekit.models.core.identifier import Identifier, ResourceType

to = kit.remote()
name = sys.argv[1]
flow = to.fetch_workflow(name=name)
plan = to.fetch_launch_plan(name=name)
task = to.fetch_task(name="values.square")
execution = to.sync(to.recent_executions(limit=1)[0], sync_nodes=True)
said = {
    "workflow": [flow.id.name, len(flow.flyte_nodes)],
    "plan": [plan.id.name, plan.workflow_id.name, plan.id.version == flow.id.version],
    "task": task.id.name,
    "versions": [it.id.name for it in to.list_tasks_by_version(version=task.id.version, limit=10)],
    "execution": [execution.spec.launch_plan.name, execution.closure.phase, kit.plain(execution.outputs["o0"])],
    "nodes": kit.nodes(execution),
    "projects": [project.id for project in to.list_projects()],
    "domains": sorted(domain.id for domain in to.get_domains()),
}
active = to.fetch_active_launchplan(name=name)
said["active"] = active and active.id.version == plan.id.version
to.activate_launchplan(Identifier(ResourceType.LAUNCH_PLAN, "flytesnacks", "development", name, plan.id.version))
active = to.fetch_active_launchplan(name=name)
said["activated"] = active and active.id.version == plan.id.version
kit.answer(said)
