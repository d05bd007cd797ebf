from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.imaging.template import mni152
from reperfuse.imaging.volume import write_volume

with job:
    head, brain = mni152(**job.cfg)
    write_volume(snakemake.output.head, head, job.sidecar())
    write_volume(snakemake.output.brain, brain, job.sidecar())
