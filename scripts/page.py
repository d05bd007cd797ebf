from pathlib import Path

from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.core.errors import Fault
from reperfuse.core.version import VERSION
from reperfuse.imaging.reader import read_present
from reperfuse.reporting.patient import PatientView, patient_page

with job:
    judged = job.cfg["eligibility"].items()
    reasons = {study: "; ".join(Fault(**fault).reason for fault in found) for study, found in judged}
    view = PatientView(
        participant_id=job.participant_id,
        records=job.records,
        images=read_present(job.images_of("prepare", "register", "lesions")),
        clinical=job.cfg["clinical"],
        eligibility=reasons,
        sessions=snakemake.config["sessions"],
        versions={"reperfuse": VERSION},
    )
    patient_page(view, Path(snakemake.output.page).parent)
