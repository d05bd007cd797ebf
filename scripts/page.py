from pathlib import Path

from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.core.errors import Fault
from reperfuse.core.tables import read_table
from reperfuse.core.version import VERSION
from reperfuse.imaging.reader import read_present
from reperfuse.reporting.patient import PatientView, patient_page
from reperfuse.reporting.perfusion_figures import SHOWN

with job:
    judged = job.cfg["eligibility"].items()
    reasons = {study: "; ".join(Fault(**fault).reason for fault in found) for study, found in judged}
    shown = job.images_of("prepare", "register", "lesions") | job.images_of("perfusion", only=SHOWN)
    view = PatientView(
        participant_id=job.participant_id,
        records=job.records,
        images=read_present(shown),
        clinical=job.cfg["clinical"],
        eligibility=reasons,
        sessions=snakemake.config["sessions"],
        versions={"reperfuse": VERSION},
        tables={path.stem: read_table(path) for path in job.files_of("perfusion") if path.suffix == ".tsv"},
    )
    patient_page(view, Path(snakemake.output.page).parent)
