from pathlib import Path

from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.core.files import read_json
from reperfuse.core.records import by_patient
from reperfuse.core.tables import write_table
from reperfuse.evaluation.interface import COLUMNS
from reperfuse.learning.device import choose_device
from reperfuse.studies.severity import assemble, bundle, inputs, names, score

with job:
    given, records = snakemake.input, by_patient(job.all_records)
    device = choose_device(snakemake.config["execution"]["device"])
    models = [bundle.read_models(Path(path), device=device) for path in given.models]
    images, cells = (inputs.read_inputs(given.shown, kind) for kind in ("image", "cells"))
    predictions, left_out = [], []
    for manifest in map(read_json, given.manifests):
        cohort = assemble.cohort(job.cfg, manifest, records, images, cells)
        split, ids = assemble.unseen(cohort, manifest)
        made, reasons = score.score(
            models, job.cfg, cohort, ids,
            split=split, session_ids=manifest["session_ids"], target=names.target(job.cfg),
        )  # fmt: skip
        predictions += made
        left_out += [
            {"split": split, "participant_id": who, "reason": why} for who, why in sorted(reasons.items())
        ]
    write_table(snakemake.output.scores, map(vars, predictions), COLUMNS)
    write_table(snakemake.output.left_out, left_out, ("split", "participant_id", "reason"))
