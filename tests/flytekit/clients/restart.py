"""restart.py FOLDER LIST: waits for a long map as users' programs do that live through an outage: by asking again."""
import json
import os
import sys
import time

import kit
from flytekit.exceptions.system import FlyteSystemException

folder, elements = sys.argv[1], json.loads(sys.argv[2])
to = kit.remote()
execution = kit.begin(to, "trouble", "long_map", {"folder": folder, "n": elements})
while True:
    try:
        execution = kit.wait(to, execution, nodes=False)
        break
    except FlyteSystemException:
        time.sleep(0.5)
counts = [kit.count(folder, f"plus-{a}") for a in elements]
kit.answer({
    **kit.shown(execution),
    "remote": kit.outputs(execution, "trouble", "long_map"),
    "again": sum(count - 1 for count in counts),
    "slots": os.cpu_count(),
})
