from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.cohort.layout import NORMALISE_READ
from reperfuse.core.files import write_json
from reperfuse.imaging.patient_normalisation import normalise_patient
from reperfuse.imaging.reader import read_made, read_present
from reperfuse.imaging.template import NAME
from reperfuse.imaging.volume import sidecar_path, write_volume
from reperfuse.imaging.warp import WARP, write_warp

with job:
    cfg = {key: value for key, value in job.cfg.items() if key != "resolution_mm"}
    normalised = normalise_patient(
        read_present(job.images_of("prepare", only=NORMALISE_READ)),
        job.facts_of("register"),
        read_made(snakemake.input.head),
        read_made(snakemake.input.brain).data > 0.5,
        template_name=NAME,
        **cfg,
    )
    job.note(normalised.faults)
    job.facts.update(normalised.facts)
    for name, volume in normalised.images.items():
        write_volume(job.image(name), volume, job.sidecar(SpatialReference=NAME))
    if normalised.warp:
        files = {part: job.file(name) for part, name in WARP.items()}
        for part in ("forward", "inverse"):
            write_json(sidecar_path(files[part]), job.sidecar(SpatialReference=NAME, Units="mm"))
        write_warp(normalised.warp, **files)
