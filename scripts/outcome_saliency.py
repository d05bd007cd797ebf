from pathlib import Path

from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.cohort.layout import VISITS
from reperfuse.core.tables import read_table, write_table
from reperfuse.evaluation.interface import Prediction
from reperfuse.studies import explained
from reperfuse.studies.outcome import directions, saliency
from reperfuse.studies.shown import shown_images

with job:
    given, out, config = snakemake.input, snakemake.output, snakemake.config
    configuration, found = directions.read_directions(given.directions)
    predictions = [Prediction.of(row) for row in read_table(given.predictions)]
    cases = explained.chosen(predictions, configuration, job.cfg["target"], n=job.cfg["n"])
    about = job.sidecar()
    del about["GeneratedBy"]["after"]  # every patient of the cohort; the key stands for them
    weights = config["studies"]["outcome"]["encoder"]["weights"]
    files = job.files_of("prepare", "lesions")
    shown = shown_images(files, "adc", "brain", "lesion", visits=VISITS)
    rows, faults, job.facts["weights"] = saliency.saliency(
        cases, found, shown, Path(out.table).with_suffix(""),
        about=about, session_ids=job.session_ids, device=config["execution"]["device"],
        weights=Path(weights) if weights else None, **job.cfg["encoder"],
    )  # fmt: skip
    job.note(faults)
    write_table(out.table, rows, saliency.COLUMNS)
