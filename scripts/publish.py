from pathlib import Path

from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.cohort import derivatives, layout
from reperfuse.core.files import read_json
from reperfuse.core.version import VERSION

with job:
    manifest = read_json(snakemake.input.manifest)
    output_dir = Path(snakemake.output.description).parent
    steps = {sub: layout.steps_of(visits) for sub, visits in manifest["active"].items()}
    images = layout.images_of(snakemake.config["lesions"]["thresholds"])
    files = derivatives.publishable(output_dir, steps, manifest["sessions"], images)
    derivatives.publish(output_dir, files, Path(snakemake.output.files))
    derivatives.describe(output_dir, job.bids_dir, version=VERSION)
