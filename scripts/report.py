from pathlib import Path

from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.cohort.flow import Stage
from reperfuse.core.files import read_json
from reperfuse.core.provenance import digest
from reperfuse.core.records import read_by_patient
from reperfuse.core.tables import read_table
from reperfuse.core.version import VERSION
from reperfuse.reporting.cohort_page import CohortView, cohort_page, qc_rows

summary = read_json(snakemake.input.summary)
records = read_by_patient(snakemake.input.records)
tables = {
    name: read_table(snakemake.input[name]) for name in ("participants", "status", "excluded", "lesions")
}
view = CohortView(
    **tables,
    flow=[Stage(**stage) for stage in summary["flow"]],
    qc=[row for participant_id, mine in records.items() for row in qc_rows(participant_id, mine)],
    eligibility=summary["eligibility"],
    run={"reperfuse": VERSION, "configuration": digest(snakemake.params.cfg)},
    available=summary["available"],
    pages=summary["pages"],
    sessions=summary["sessions"],
)
cohort_page(view, Path(snakemake.output.index).parent)
