
from reperfuse.core.job import Job

job = Job(snakemake)


with job:
    pass  # TODO
