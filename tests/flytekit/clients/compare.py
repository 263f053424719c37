"""compare.py MODULE WORKFLOW...: each workflow on the server and in this process, with its default inputs."""
import sys

import kit

to = kit.remote()
module, names = sys.argv[1], sys.argv[2:]
begun = {name: kit.begin(to, module, name, {}) for name in names}
local = {name: kit.locally(module, name, {}) for name in names}
ended = {name: kit.wait(to, execution) for name, execution in begun.items()}
known = kit.jobs()
said = {}
for name, execution in ended.items():
    said[name] = {
        **kit.shown(execution),
        "local": local[name],
        "remote": kit.outputs(execution, module, name),
        "nodes": kit.nodes(execution),
        "jobs": kit.sizes(to, execution, known),
    }
kit.answer(said)
