from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.imaging.patient_registration import register_patient
from reperfuse.imaging.reader import read_present
from reperfuse.imaging.volume import write_volume

with job:
    registered = register_patient(read_present(job.images_of("prepare")), **job.cfg)
    job.note(registered.faults)
    job.facts.update(registered.facts)
    for name, volume in registered.images.items():
        about = {
            "SpatialReference": job.uri(registered.facts["reference"]),
            "Resolution": "of the J0 ADC map",
        }
        units = {"Units": "1e-6 mm2/s"} if name.endswith("_adc") else {}
        source = job.uri(registered.facts["sources"][name])
        write_volume(job.image(name), volume, job.sidecar(Sources=[source], **about, **units))
