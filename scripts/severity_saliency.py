from functools import lru_cache
from pathlib import Path

from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.core.records import by_patient
from reperfuse.core.tables import read_table, write_table
from reperfuse.evaluation.interface import Prediction
from reperfuse.learning.device import choose_device
from reperfuse.studies import shown
from reperfuse.studies.severity import bundle, inputs, names, places, saliency

with job:
    given, out, section = snakemake.input, snakemake.output, job.cfg
    device = choose_device(snakemake.config["execution"]["device"])
    rows = [row for path in given.predictions for row in read_table(path)]
    models = {names.parse(Path(path).parent.name).fold: Path(path) for path in given.models}
    records, folder = by_patient(job.all_records), Path(out.table).with_suffix("")
    files = shown.shown_images(job.files_of("prepare", "lesions"), *inputs.NAMES, visits=("J0",))
    carry = shown.mappers(records, job.files_of("normalise"))
    drawn = places.Places(section, files, records, carry, [Path(path) for path in given.template])
    about, network = job.sidecar(), section["networks"][0]
    del about["GeneratedBy"]["after"]  # every patient of the cohort; the key stands for them
    found = saliency.saliency(
        [Prediction.of(row) for row in rows], section, names.target(section),
        networks=lru_cache(1)(lambda fold: bundle.read_models(models[fold], device=device)[network].networks),
        images=inputs.read_inputs(given.shown, "image"), place_of=drawn,
        folder=folder, about=about, device=device,
    )  # fmt: skip
    drawn.leave(folder, {row["participant_id"]: row["file"] for row in found.rows if row["shown"]}, about)
    job.note(found.faults)
    write_table(out.table, found.rows, saliency.COLUMNS)
    write_table(out.randomised, found.randomised, saliency.RANDOMISED_COLUMNS)
    write_table(out.summary, found.summary, saliency.SUMMARY_COLUMNS)
