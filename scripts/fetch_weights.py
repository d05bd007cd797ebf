from pathlib import Path

from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.learning.fetch import fetch, manifest

with job:
    entry = manifest()
    job.facts["card"] = fetch(
        Path(job.cfg["weights"]),
        repo=entry["repository"],
        filename=entry["filename"],
        revision=entry["revision"],
    )
