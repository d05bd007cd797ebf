from pathlib import Path

from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.reporting.fusion_page import fusion_page
from reperfuse.reporting.fusion_view import read_fusion_view

with job:
    view = read_fusion_view(Path(snakemake.input.summary).parent)
    job.facts["link"] = [view.summary["title"], "fusion.html", "; ".join(view.stamps)]
    fusion_page(view, Path(snakemake.output.page), home="index.html", drawn=list(map(Path, snakemake.input.drawn)))
