from pathlib import Path

from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.core.files import read_json, write_json
from reperfuse.core.tables import read_table, write_table
from reperfuse.evaluation import reported
from reperfuse.studies.fusion import report

with job:
    given, out, section = snakemake.input, snakemake.output, dict(job.cfg)
    assumed = section.pop("assumed")
    of = {step: [one["facts"] for one in job.all_records if one["step"] == step]
          for step in ("fusion_fold", "fusion_inputs")}  # fmt: skip
    found = report.judged(
        [row for path in given.reconstructions for row in read_table(path)], section,
        models=of["fusion_fold"], manifest=read_json(given.manifests[0]),
        images={who: why for facts in of["fusion_inputs"] for who, why in facts["left_out"].items()},
        strata=read_json(given.strata), stability=read_table(given.stability), others=read_table(given.others),
        paper=reported.read_paper(Path(given.paper)), assumed=assumed,
    )  # fmt: skip
    for path in out.tables:
        write_table(path, *found.tables[Path(path).stem])
    write_json(out.summary, found.summary)
    write_json(out.assumptions, found.assumptions)
