from pathlib import Path

from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.cohort.flow import Stage
from reperfuse.core.files import read_json
from reperfuse.core.provenance import digest
from reperfuse.core.records import by_patient
from reperfuse.core.tables import read_table
from reperfuse.core.version import VERSION
from reperfuse.reporting.cohort_page import CohortView, cohort_page, qc_rows
from reperfuse.reporting.cohort_tables import assumed_section, folds_section
from reperfuse.reporting.perfusion_cohort import cohort_perfusion
from reperfuse.reporting.study_tables import studies_section

with job:
    tables = {
        name: read_table(snakemake.input[name]) for name in ("participants", "status", "excluded", "lesions")
    }
    summary = read_json(snakemake.input.summary)
    view = CohortView(
        **tables,
        flow=[Stage(**stage) for stage in summary["flow"]],
        qc=[row for sub, records in by_patient(job.all_records).items() for row in qc_rows(sub, records)],
        eligibility=summary["eligibility"],
        run={"reperfuse": VERSION, "configuration": digest(job.cfg["configuration"])},
        available=summary["available"],
        pages=summary["pages"],
        sessions=summary["sessions"],
    )
    links = [record["facts"]["link"] for record in job.all_records if "link" in record["facts"]]
    perfusion = cohort_perfusion(by_patient(job.all_records), view.pages)
    more = [folds_section(summary["folds"]), assumed_section(job.cfg["assumed"])]
    more = [studies_section([tuple(link) for link in links]), *more] if links else more
    more = [perfusion, *more] if perfusion.html else more
    cohort_page(view, Path(snakemake.output.index).parent, more=more)
