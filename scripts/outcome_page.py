from pathlib import Path

from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.reporting.study_page import study_page
from reperfuse.reporting.study_view import read_view

with job:
    view = read_view(Path(snakemake.input.summary).parent)
    job.facts["link"] = [view.summary["title"], "outcome.html", "; ".join(view.stamps)]
    study_page(view, Path(snakemake.output.page), study="outcome", home="index.html")
