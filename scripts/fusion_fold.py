import shutil
from pathlib import Path

from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.core.files import read_json
from reperfuse.core.records import by_patient, key_of
from reperfuse.core.tables import write_table
from reperfuse.imaging.reader import read_made
from reperfuse.learning.device import choose_device, count_devices
from reperfuse.studies.fusion import assemble, bundle, embedded, fit, inputs

with job:
    given, out, section = snakemake.input, snakemake.output, job.cfg
    trial = Path(job.participant_id).name
    state = job.folder / key_of(job.digests)
    device = choose_device(snakemake.config["execution"]["device"])
    arrays = inputs.read_inputs(given.shown, {*section["contrasts"], inputs.MASK})
    cohort = assemble.cohort(section, read_json(given.places), by_patient(job.all_records), arrays)
    brain = read_made(given.brain)
    mask, tissue = (one(section["grid"], brain) for one in (inputs.template_mask, inputs.template_tissue))
    done = fit.run_model(
        section, cohort, trial, mask=mask, tissue=tissue, session_ids=job.session_ids, device=device,
        devices=count_devices(device, snakemake.config["execution"]["devices"]), state=state,
    )  # fmt: skip
    write_table(out.reconstruction, done.rows, fit.COLUMNS)
    embedded.write_codes(out.embeddings, done.codes)
    inputs.write_inputs(out.drawn, done.shown)
    bundle.write_model(Path(out.model), done.model)
    job.facts.update(done.facts)
    shutil.rmtree(state, ignore_errors=True)  # of no use beside the results
