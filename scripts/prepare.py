from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.cohort.layout import is_prepared
from reperfuse.imaging.prepare import Source, prepare_visit
from reperfuse.imaging.volume import write_volume

with job:
    for visit, roles in job.src.items():
        session_id = job.session_ids.get(visit, "")
        sources = {role: Source.of(job.bids_dir, files) for role, files in roles.items()}
        prepared = prepare_visit(sources, **job.cfg)
        job.note(prepared.faults, session_id)
        job.facts[visit] = prepared.facts
        for name, volume in prepared.images.items():
            if is_prepared(visit, name):
                write_volume(
                    job.image(f"{visit}_{name}"), volume, job.sidecar(**prepared.sidecars.get(name, {}))
                )
