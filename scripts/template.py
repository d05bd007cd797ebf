from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.imaging.template import load_template
from reperfuse.imaging.volume import write_volume

with job:
    head, brain = load_template(**job.cfg)
    write_volume(job.output.head, head, job.sidecar())
    write_volume(job.output.brain, brain, job.sidecar())
