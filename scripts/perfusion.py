from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.cohort.layout import PERFUSION_READ
from reperfuse.core.tables import write_table
from reperfuse.imaging.reader import read_present
from reperfuse.imaging.stream import ReadLimits
from reperfuse.imaging.volume import write_volume
from reperfuse.perfusion.inputs import read_inputs
from reperfuse.perfusion.line import CURVES, MOTION, UNITS
from reperfuse.perfusion.patient_perfusion import perfuse_patient

with job:
    cfg = dict(job.cfg)
    limits, step_s = ReadLimits(**cfg.pop("limits")), cfg["kinetics"]["resampling"]["step_s"]
    wanted = (*PERFUSION_READ, f"J0_{cfg['volumes']['core_criterion']}")
    images = read_present(job.images_of("prepare", "lesions", only=wanted))
    inputs = read_inputs(job.src, job.bids_dir, limits, prepared=images)
    facts = {
        name: job.facts_of(step) for name, step in (("prepared", "prepare"), ("registration", "register"))
    }
    perfused = perfuse_patient(inputs, images, lesions=job.facts_of("lesions"), **facts, **cfg)
    for visit, faults in {**inputs.faults, "": perfused.faults}.items():
        job.note(faults, job.session_ids.get(visit or "J0", ""))
    job.facts.update(perfused.facts)
    for name, volume in perfused.images.items():
        units = {"Units": UNITS[name]} if name in UNITS else {}
        about = {"SpatialReference": "the perfusion series", "Sources": [perfused.facts["sources"][name]]}
        write_volume(
            job.image(name),
            volume,
            job.sidecar(**about, **units),
            tr_s=step_s if volume.data.ndim == 4 else None,
        )
    write_table(job.file("PWI_curves.tsv"), perfused.curves, CURVES)
    write_table(job.file("PWI_motion.tsv"), perfused.motion, MOTION)
