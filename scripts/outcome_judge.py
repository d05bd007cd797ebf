from pathlib import Path

from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.core.files import read_json, write_json
from reperfuse.core.tables import read_table, write_table
from reperfuse.evaluation import interface, reported, tripod
from reperfuse.studies.outcome import assemble, report, selected, tuned

with job:
    given, out = snakemake.input, snakemake.output
    manifests = [read_json(path) for path in given.manifests]
    scores, domain = (
        assemble.judged(read_table(path), manifests[0]) for path in (given.scores, given.domain)
    )
    rows = read_table(given.predictions) + scores + tuned.pooled(given.tuned)
    predictions = [interface.Prediction.of(row) for row in rows]
    section = dict(job.cfg)
    facts = {**job.facts_of("outcome_fit"), "assumptions": section.pop("assumed")}
    case = report.case_of(section, manifests, facts)
    tables = report.judged(
        predictions, case, facts, section,
        paper=reported.read_paper(Path(given.paper)), items=tripod.read_items(Path(given.checklist)),
        training=read_table(given.training), permutation=read_table(given.permutation), manifests=manifests,
        beyond=domain, unscored=read_table(given.unscored),
    )  # fmt: skip
    write_table(out.predictions, rows, interface.COLUMNS)
    for path in out.tables:
        write_table(path, *tables.tables[Path(path).stem])
    write_table(out.left_out, assemble.left_out(facts["left_out"], manifests[0]), assemble.LEFT_OUT_COLUMNS)
    for name, (found, columns) in selected.tables(section, manifests[0]).items():
        write_table(out[name], found, columns)
    write_table(out.weighted, *selected.weighted(predictions, case, manifests[0], section))
    write_json(out.summary, tables.summary)
    write_json(out.assumptions, tables.assumptions)
