from pathlib import Path

from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.reporting.fusion_maps import read_shown
from reperfuse.reporting.fusion_page import FusionParts
from reperfuse.reporting.fusion_view import read_fusion_view
from reperfuse.reporting.study_page import study_page

with job:
    given, target = snakemake.input, Path(snakemake.output.page)
    view = read_fusion_view(Path(given.summary).parent)
    job.facts["link"] = [view.summary["title"], "fusion.html", "; ".join(view.stamps)]
    mapped = read_shown(map(Path, given.drawn))
    study_page(view, target, study="fusion", home="index.html", mapped=mapped, parts=FusionParts)
