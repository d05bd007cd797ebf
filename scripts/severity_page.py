from dataclasses import replace
from pathlib import Path

from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.reporting.severity_maps import read_maps
from reperfuse.reporting.severity_page import SeverityParts
from reperfuse.reporting.severity_view import read_severity_view
from reperfuse.reporting.study_page import study_page

with job:
    folder = Path(snakemake.input.summary).parent
    view = read_severity_view(folder)
    if "severity_saliency" not in job.records:  # what an earlier run mapped is not this one's
        view = replace(view, saliency=(), randomised=(), saliency_summary=())
    job.facts["link"] = [view.summary["title"], "severity.html", "; ".join(view.stamps)]
    mapped = read_maps(view, folder / "saliency", job.files_of("prepare", "lesions"))
    target = Path(snakemake.output.page)
    study_page(view, target, study="severity", home="index.html", mapped=mapped, parts=SeverityParts)
