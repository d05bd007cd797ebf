from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.core.files import write_json
from reperfuse.imaging.patient_normalisation import normalise_patient
from reperfuse.imaging.reader import read_optional, read_present
from reperfuse.imaging.template import NAME
from reperfuse.imaging.volume import sidecar_path, write_volume
from reperfuse.imaging.warp import write_warp

with job:
    cfg = {key: value for key, value in job.cfg.items() if key != "resolution_mm"}
    normalised = normalise_patient(
        read_present(job.images_before()),
        job.facts_of("register"),
        read_optional(snakemake.input.head),
        read_optional(snakemake.input.brain).data > 0.5,
        template_name=NAME,
        **cfg,
    )
    job.note(normalised.faults)
    job.facts.update(normalised.facts)
    outputs = job.images()
    for name, volume in normalised.images.items():
        write_volume(outputs[name], volume, job.sidecar(SpatialReference=NAME))
    if normalised.warp:
        fields = {"forward": outputs["to-MNI_warp"], "inverse": outputs["from-MNI_warp"]}
        for path in fields.values():
            write_json(sidecar_path(path), job.sidecar(SpatialReference=NAME, Units="mm"))
        write_warp(normalised.warp, affine=snakemake.output.affine, **fields)
