import shutil
from pathlib import Path

from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.core.files import read_json
from reperfuse.core.records import by_patient, key_of
from reperfuse.core.tables import write_table
from reperfuse.evaluation.interface import COLUMNS
from reperfuse.learning.device import choose_device, count_devices
from reperfuse.studies.severity import assemble, bundle, fit, inputs

with job:
    given, out, section = snakemake.input, snakemake.output, job.cfg
    trial = Path(job.participant_id).name
    state = job.folder / key_of(job.digests)
    device = choose_device(snakemake.config["execution"]["device"])
    images, cells = (inputs.read_inputs(given.shown, kind) for kind in ("image", "cells"))
    cohort = assemble.cohort(section, read_json(given.study), by_patient(job.all_records), images, cells)
    done = fit.run_trial(
        section, cohort, trial, session_ids=job.session_ids, device=device, threads=snakemake.threads,
        devices=count_devices(device, snakemake.config["execution"]["devices"]), state=state,
    )  # fmt: skip
    write_table(out.predictions, map(vars, done.predictions), COLUMNS)
    bundle.write_models(Path(out.models), done.models, bundle.about(section, trial))
    job.facts.update(done.facts)
    shutil.rmtree(state, ignore_errors=True)  # of no use beside the results
