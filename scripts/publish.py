from pathlib import Path

from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.cohort import derivatives
from reperfuse.core.files import read_json
from reperfuse.core.tables import write_table
from reperfuse.core.version import VERSION

with job:
    manifest = read_json(snakemake.input.manifest)
    job.files_of("prepare", "register", "normalise", "lesions", "perfusion")  # all there, and whole
    output_dir = Path(snakemake.output.description).parent
    files = derivatives.publishable(manifest["sessions"], job.all_records)
    derivatives.publish(output_dir, files, manifest["active"])
    derivatives.describe(output_dir, job.bids_dir, version=VERSION)
    rows = [{"file": path, "source": source} for path, source in files.items()]
    write_table(snakemake.output.files, rows, derivatives.COLUMNS)
