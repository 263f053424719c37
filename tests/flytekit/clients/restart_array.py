"""restart_array.py SIZE: waits for a map whose children only take time; says "middle" once a tenth of them has ended."""
import sys
import time

import kit
from flytekit.exceptions.system import FlyteSystemException

size = int(sys.argv[1])
to = kit.remote()
execution = kit.begin(to, "trouble", "silent_map", {"a": list(range(size))})


def succeeded() -> int:
    """Children that have, of all arrays."""
    return sum(job.get("arrayProperties", {}).get("statusSummary", {}).get("SUCCEEDED", 0) for job in kit.described())


kit.until(lambda: succeeded() >= size // 10, "no child ends")
running = size - succeeded()
print("middle", flush=True)
while True:
    try:
        execution = kit.wait(to, execution)
        break
    except FlyteSystemException:
        time.sleep(0.5)
kit.answer({
    **kit.shown(execution),
    "running": running,
    "nodes": kit.nodes(execution),
    "sizes": sorted(kit.jobs().values()),
})
