"""kinds.py: conditionals and launch plans on the server and in this process; a deck, read by its address."""
import kit

to = kit.remote()
names = ["chooses", "refuses", "plans", "decks"]
begun = {name: kit.begin(to, "kinds", name, {}) for name in names}
local = {name: kit.locally("kinds", name, {}) for name in names if name != "refuses"}
ended = {name: kit.wait(to, execution) for name, execution in begun.items()}


def within(node) -> dict:
    """Phases of the nodes in a node, by the ids that their workflow gives them."""
    found = {}
    for inner in node.subworkflow_node_executions.values() if node.metadata.is_parent_node else []:
        found[inner.metadata.spec_node_id] = inner.closure.phase
        found.update({f"{inner.metadata.spec_node_id}/{name}": phase for name, phase in within(inner).items()})
    return found


said = {
    name: {
        **kit.shown(execution),
        "local": local.get(name),
        "remote": kit.outputs(execution, "kinds", name),
        "nodes": kit.nodes(execution),
        "within": {node_id: within(node) for node_id, node in execution.node_executions.items()},
    }
    for name, execution in ended.items()
}
node = ended["plans"].node_executions["n0"]
[launched] = node.workflow_executions
said["plans"]["launched"] = [
    launched.spec.launch_plan.name, launched.closure.phase, kit.plain(launched.outputs.get("o0", int)),
    launched.spec.metadata.mode, kit.plain(node.outputs.get("o0", int)),
]
execution = ended["decks"].id
deck = to.get(f"flyte://v1/{execution.project}/{execution.domain}/{execution.name}/n0/d")
said["decks"]["deck"] = "a deck of its own" in deck.decode()
said["decks"]["uri"] = ended["decks"].node_executions["n0"].closure.deck_uri
kit.answer(said)
