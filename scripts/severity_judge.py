from pathlib import Path

from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.core.files import read_json, write_json
from reperfuse.core.tables import read_table, write_table
from reperfuse.evaluation import reported, tripod
from reperfuse.evaluation.interface import Prediction
from reperfuse.studies.severity import report

with job:
    given, out, section = snakemake.input, snakemake.output, dict(job.cfg)
    assumed = section.pop("assumed")
    manifests = [read_json(path) for path in given.manifests]
    rows = [row for path in given.predictions for row in read_table(path)]
    case = report.case_of(section, manifests, job.all_records)
    found = report.judged(
        [Prediction.of(row) for row in rows], read_table(given.scores), case, section,
        manifests=manifests, left_out=read_table(given.unscored), assumed=assumed,
        trials=[one["facts"] for one in job.all_records if one["step"] == "severity_fold"],
        paper=reported.read_paper(Path(given.paper)), items=tripod.read_items(Path(given.checklist)),
    )  # fmt: skip
    for path in [out.predictions, *out.tables]:
        write_table(path, *found.tables[Path(path).stem])
    write_json(out.summary, found.summary)
    write_json(out.assumptions, found.assumptions)
