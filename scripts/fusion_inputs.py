from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.core.records import by_patient
from reperfuse.imaging.reader import read_made
from reperfuse.studies import shown
from reperfuse.studies.fusion import inputs

with job:
    records = by_patient([one for one in job.all_records if one["step"] != "template"])
    files = job.files_of("prepare", "normalise", "lesions", "perfusion")
    images = shown.shown_images(files, *inputs.files(job.cfg["contrasts"]), visits=inputs.PLACES)
    carry = shown.mappers(records, job.files_of("normalise"))
    brain = read_made(snakemake.input.brain)
    arrays, facts, faults = inputs.chunk_inputs(images, records, carry, brain, **job.cfg)
    job.note(faults)
    job.facts.update(facts)
    inputs.write_inputs(snakemake.output.shown, arrays)
