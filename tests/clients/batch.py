"""AWS Batch as boto3 sees it. The endpoint is the one in AWS_ENDPOINT_URL; arguments choose checks by a part of their name."""
import sys

import batch_jobs
import batch_lists
import batch_order
import batch_places
from world import batch, boto3, called, run


class Whole:
    """What can only be said after all else."""

    def check_every_operation_was_called():
        missing = set(batch.meta.service_model.operation_names) - called
        assert not missing, f"no check calls {sorted(missing)}"

    def check_there_are_no_other_waiters():
        assert batch.waiter_names == [], f"boto3 has waiters now: {batch.waiter_names}: use them here"


missing = {"CancelJobs", "TerminateJobs", "ListQuotaShares"} - set(batch.meta.service_model.operation_names)
if missing:
    print(f"skipped: boto3 {boto3.__version__} does not know {', '.join(sorted(missing))}: a newer one does")
    sys.exit(0)

# Chosen checks cannot call everything.
run(batch_jobs, batch_order, batch_lists, batch_places, *([Whole] if len(sys.argv) < 2 else []))
