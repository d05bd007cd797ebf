from pathlib import Path

from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.core.files import read_json
from reperfuse.core.records import by_patient
from reperfuse.core.tables import read_table, write_table
from reperfuse.learning.device import choose_device
from reperfuse.studies.fusion import assemble, bundle, embedded, inputs, score

with job:
    given, records = snakemake.input, by_patient(job.all_records)
    device = choose_device(snakemake.config["execution"]["device"])
    [final] = [one["facts"] for one in job.all_records if one["step"] == "fusion_fold"]
    codes, strata = embedded.read_codes(given.embeddings[0]), read_table(given.strata)
    model = bundle.read_model(Path(given.models[0]), device=device)
    arrays = inputs.read_inputs(given.shown)
    why = final.get("not_frozen")
    unmade = f"the model was not frozen: {why}" if why else "no model was fitted"
    rows = []
    for manifest in map(read_json, given.manifests):
        cohort = assemble.cohort(job.cfg, manifest, records, arrays)
        rows += score.scored(
            model, job.cfg, cohort, manifest, codes=codes, ids=final.get("embedded", []), strata=strata, unmade=unmade,
        )  # fmt: skip
    write_table(snakemake.output.others, rows, score.COLUMNS)
