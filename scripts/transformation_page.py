from pathlib import Path

from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.reporting.study_page import study_page
from reperfuse.reporting.voxel_maps import read_likelihoods
from reperfuse.reporting.voxel_page import VoxelParts
from reperfuse.reporting.voxel_view import read_voxel_view

with job:
    view = read_voxel_view(Path(snakemake.input.summary).parent)
    job.facts["link"] = [view.summary["title"], "transformation.html", "; ".join(view.stamps)]
    maps = read_likelihoods(view, job.files_of("transformation_fold"), job.files_of("perfusion"))
    target = Path(snakemake.output.page)
    study_page(view, target, study="transformation", home="index.html", mapped=maps, parts=VoxelParts)
