from functools import lru_cache
from pathlib import Path

from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.core.records import by_patient
from reperfuse.core.tables import read_table, write_table
from reperfuse.evaluation.interface import Prediction
from reperfuse.learning.device import choose_device
from reperfuse.studies.severity import bundle, inputs, map_measures, names, places, saliency
from reperfuse.studies.shown import shown_images

with job:
    given, out, section = snakemake.input, snakemake.output, job.cfg
    records, device = by_patient(job.all_records), choose_device(snakemake.config["execution"]["device"])
    indices = {names.parse(Path(path).parent.name).fold: Path(path) for path in given.models}
    first = section["networks"][0]
    # By fold, one at a time: all models of a trial are read to use the first.
    networks = lru_cache(1)(lambda fold: bundle.read_models(indices[fold], device=device)[first].networks)
    drawn_on = shown_images(job.files_of("prepare", "lesions"), *inputs.NAMES, visits=("J0",))
    place_of = places.places(
        section, drawn_on, records, normalised=job.files_of("normalise"), given=given.template
    )
    about = job.sidecar()
    del about["GeneratedBy"]["after"]  # every patient of the cohort; the key stands for them
    found = saliency.saliency(
        [Prediction.of(row) for path in given.predictions for row in read_table(path)],
        section, names.target(section), networks=networks, images=inputs.read_inputs(given.shown, "image"),
        place_of=place_of, folder=Path(out.table).with_suffix(""), about=about, device=device,
    )  # fmt: skip
    job.note(found.faults)
    write_table(out.table, found.rows, saliency.COLUMNS)
    write_table(out.randomised, found.randomised, map_measures.RANDOMISED_COLUMNS)
    write_table(out.summary, found.summary, map_measures.SUMMARY_COLUMNS)
