from pathlib import Path

from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.core.files import read_json
from reperfuse.core.records import by_patient
from reperfuse.core.tables import read_table, write_table
from reperfuse.evaluation.interface import COLUMNS, Prediction
from reperfuse.studies.outcome import assemble, domain, embedding, frozen, score

with job:
    models, records = frozen.read_models(Path(snakemake.input.models)), by_patient(job.all_records)
    vectors = embedding.read_vectors(snakemake.input.vectors)
    predictions, left_out, beyond = [], [], []
    for manifest in map(read_json, snakemake.input.manifests):
        found = assemble.sources(manifest, records, vectors)
        split, candidates = assemble.unseen(job.cfg, manifest, found, manifest["name"])
        ids = assemble.session_ids(manifest)
        made, reasons, rows = score.score(models, job.cfg, candidates, found, split=split, session_ids=ids)
        predictions += made
        beyond += rows
        left_out += [
            {"split": split, "participant_id": who, "reason": why} for who, why in sorted(reasons.items())
        ]
    write_table(snakemake.output.scores, map(vars, predictions), COLUMNS)
    known = map(Prediction.of, read_table(snakemake.input.predictions))
    sets = score.prediction_sets(predictions, known, epsilon=job.cfg["statistics"]["epsilon"])
    write_table(snakemake.output.sets, sets, score.SET_COLUMNS)
    write_table(snakemake.output.domain, beyond, domain.COLUMNS)
    write_table(snakemake.output.left_out, left_out, ("split", "participant_id", "reason"))
