from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.cohort.layout import LESIONS_READ
from reperfuse.imaging.atlas import read_atlases
from reperfuse.imaging.carry import mask_mapper
from reperfuse.imaging.given import read_given
from reperfuse.imaging.patient_lesions import lesions_of_patient
from reperfuse.imaging.reader import read_present
from reperfuse.imaging.volume import write_volume
from reperfuse.imaging.warp import find_warp

with job:
    atlases, faults = read_atlases(snakemake.config["atlases"])
    job.note(faults)
    given, findings = read_given(job.src, job.bids_dir)
    for visit, faults in findings.items():
        job.note(faults, job.session_ids.get(visit, ""))
    warp = find_warp(job.files_of("normalise"))
    lesions = lesions_of_patient(
        read_present(job.images_of("prepare", only=LESIONS_READ)),
        given,
        atlases,
        refused=set(findings) - set(given),
        sessions=job.session_ids,
        to_template=mask_mapper(warp, job.facts_of("normalise"), job.facts_of("register")),
        **job.cfg,
    )
    job.note(lesions.faults)
    job.facts.update(lesions.facts)
    for name, volume in lesions.images.items():
        space = lesions.facts["space"].get(name)
        read = [job.uri(f"{name[:2]}_{image}") for image in ("adc", "trace", "brain")]
        about = {
            "Type": "Lesion",
            "SpatialReference": space or read[0],
            "Criterion": lesions.criterion_of(name),
        }
        write_volume(job.image(name), volume, job.sidecar(Sources=[] if space else read, **about))
