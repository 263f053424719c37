"""What AWS Batch was given for each job: the first words of its command, and which of our variables it has."""
import kit

client, found = kit.batch(), {}
queue = client.describe_job_queues()["jobQueues"][0]["jobQueueName"]
for state in ["SUCCEEDED", "FAILED", "RUNNING", "RUNNABLE", "PENDING"]:
    for job in client.list_jobs(jobQueue=queue, jobStatus=state)["jobSummaryList"]:
        job = client.describe_jobs(jobs=[job["jobId"]])["jobs"][0]
        container = job["container"]
        found[job["jobName"]] = {
            "command": container["command"],
            "environment": {pair["name"]: pair["value"] for pair in container.get("environment", [])},
            "size": job.get("arrayProperties", {}).get("size", 0),
        }
kit.answer(found)
