from pathlib import Path

from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.core.files import read_json, write_json
from reperfuse.core.records import by_patient
from reperfuse.core.seeds import seed_of
from reperfuse.core.tables import write_table
from reperfuse.studies.fusion import embedded, names, strata

with job:
    given, out, section = snakemake.input, snakemake.output, job.cfg
    study = read_json(given.study)
    models = [one["facts"] for one in job.all_records if one["step"] == "fusion_fold"]
    codes = {Path(path).parent.name: embedded.read_codes(path) for path in given.embeddings}
    systems = embedded.side_by_side(models, codes)
    ids, mine = systems.pop(names.primary(section).name, ([], {}))
    found = strata.found(
        section, mine, ids, clinical=study["clinical"],
        facts=embedded.measured(by_patient(job.all_records)),
        groups={row["participant_id"]: str(row["group"]) for row in study["folds"]["fusion"]["rows"]},
        session_ids=dict.fromkeys(ids, job.session_ids.get("J0", "")), others=systems,
        seed=seed_of(section["salt"], "fusion", "strata"),
    )  # fmt: skip
    for path in out.tables:
        columns, rows = found.tables[Path(path).stem]
        write_table(path, rows, columns)
    write_json(out.summary, found.summary)
