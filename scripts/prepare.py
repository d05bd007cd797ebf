from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.imaging.prepare import Source, prepare_visit
from reperfuse.imaging.volume import write_volume

with job:
    outputs = job.images()
    for visit, roles in job.src.items():
        session_id = job.session_ids.get(visit, "")
        sources = {role: Source.of(job.bids_dir, files) for role, files in roles.items()}
        prepared = prepare_visit(sources, **job.cfg)
        job.note(prepared.faults, session_id)
        job.facts[visit] = prepared.facts
        for name, volume in prepared.images.items():
            if path := outputs.get(f"{visit}_{name}"):
                write_volume(path, volume, job.sidecar(**prepared.sidecars.get(name, {})))
