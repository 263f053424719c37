"""Flyte's own example of a map task. Nothing in it knows of batchmap."""
from typing import List

from flytekit import map_task, task, workflow

threshold = 11


@task
def detect_anomalies(data_point: int) -> bool:
    return data_point > threshold


@workflow
def map_workflow(data: List[int] = [10, 12, 11, 10, 13, 12, 100, 11, 12, 10]) -> List[bool]:
    return map_task(detect_anomalies)(data_point=data)
