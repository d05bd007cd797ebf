from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.core.records import by_patient
from reperfuse.studies import shown
from reperfuse.studies.severity import inputs

with job:
    records = by_patient(job.all_records)
    images = shown.shown_images(job.files_of("prepare", "lesions"), *inputs.NAMES, visits=("J0",))
    carry = shown.mappers(records, job.files_of("normalise"))
    arrays, facts, faults = inputs.chunk_inputs(images, records, carry, **job.cfg)
    job.note(faults)
    job.facts.update(facts)
    inputs.write_inputs(snakemake.output.shown, arrays)
