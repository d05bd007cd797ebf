from pathlib import Path

from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.core.records import by_patient
from reperfuse.studies.outcome import embedding, scanner
from reperfuse.studies.shown import mappers, shown_images

with job:
    settings, records = dict(job.cfg), by_patient(job.all_records)
    image, visits = settings.pop("image"), settings.pop("visits")
    names = ("lesion",) if image == "lesion" else ("adc", "brain")
    shown = shown_images(job.files_of("prepare", "lesions"), *names, visits=visits)
    job.facts["scans"] = scanner.scans_of(records)
    if image == "lesion":
        spaces = {who: steps["lesions"]["facts"]["space"] for who, steps in records.items()}
        carry = mappers(records, job.files_of("normalise"))
        vectors, faults = embedding.mask_vectors(shown, spaces, carry, **settings)
    else:
        weights = snakemake.config["studies"]["outcome"]["encoder"]["weights"]
        vectors, faults, job.facts["weights"] = embedding.adc_vectors(
            shown,
            weights=Path(weights) if weights else None,
            device=snakemake.config["execution"]["device"],
            cache=Path(snakemake.output.vectors).parents[1] / "embeddings",
            **settings,
        )
    job.note(faults)
    embedding.write_vectors(snakemake.output.vectors, vectors)
