from dataclasses import replace
from pathlib import Path

from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.reporting.study_page import study_page
from reperfuse.reporting.study_saliency import read_mapped
from reperfuse.reporting.study_view import read_view

with job:
    folder = Path(snakemake.input.summary).parent
    view = read_view(folder)
    if "outcome_saliency" not in job.records:  # what an earlier run mapped is not this one's
        view = replace(view, saliency=())
    job.facts["link"] = [view.summary["title"], "outcome.html", "; ".join(view.stamps)]
    mapped = read_mapped(view, folder / "saliency", job.files_of("prepare", "lesions"))
    study_page(view, Path(snakemake.output.page), study="outcome", home="index.html", mapped=mapped)
