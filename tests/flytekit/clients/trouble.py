"""trouble.py FOLDER: failures, retries, the cache and checkpoints, all at once; tasks leave traces in FOLDER."""
import sys

import kit

folder = sys.argv[1]
to = kit.remote()
begun = {
    "failing": kit.begin(to, "trouble", "failing", {"a": [1, 2, 3]}),
    "retried": kit.begin(to, "trouble", "retried", {"folder": folder, "a": [1, 2]}),
    "cached": kit.begin(to, "trouble", "cached", {"folder": folder, "a": [1, 2, 3]}),
    "checkpoints": kit.begin(to, "trouble", "checkpoints", {"ns": [1, 2]}),
}
ended = {name: kit.wait(to, execution) for name, execution in begun.items()}
# The same once more, by the same code and by way of overwriting.
ended["cached again"] = kit.wait(to, kit.begin(to, "trouble", "cached", {"folder": folder, "a": [1, 2, 3]}))
more = {"folder": folder, "a": [3, 4]}
ended["cached in part"] = kit.wait(to, kit.begin(to, "trouble", "cached", more))
ended["overwritten"] = kit.wait(to, kit.begin(to, "trouble", "cached", more, overwrite_cache=True))
known = kit.jobs()
said = {}
for name, execution in ended.items():
    workflow = name.split()[0].replace("overwritten", "cached")
    said[name] = {
        **kit.shown(execution),
        "remote": kit.outputs(execution, "trouble", workflow),
        "nodes": kit.nodes(execution),
        "jobs": kit.sizes(to, execution, known),
    }
said["traces"] = {name: kit.count(folder, name) for name in ["second-1", "second-2", *(f"counted-{a}" for a in (1, 2, 3, 4))]}
kit.answer(said)
