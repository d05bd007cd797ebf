from pathlib import Path

from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.core.files import read_json, write_json
from reperfuse.core.records import by_patient
from reperfuse.core.tables import write_table
from reperfuse.evaluation import reported, tripod
from reperfuse.imaging.atlas import read_atlases
from reperfuse.studies.transformation import predicted, report, seen

with job:
    given, out = snakemake.input, snakemake.output
    section = dict(job.cfg)
    assumed = section.pop("assumed")
    manifest, voxels = read_json(given.manifest), predicted.read_predicted(given.voxels)
    records = by_patient(job.all_records)
    atlases, faults = read_atlases(snakemake.config["atlases"])
    job.note(faults)
    files = job.files_of("perfusion", "normalise")
    case = report.case_of(section, manifest)
    labels = report.labels_of(voxels, case.clinical, section["variable"])
    known = seen.of_patients(labels, records, files, case.clinical, atlases, section["statistics"])
    found = report.judged(
        voxels, case, section, manifest=manifest, seen=known, atlases=atlases, assumed=assumed,
        folds=[one["facts"] for one in job.all_records if one["step"] == "transformation_fold"],
        paper=reported.read_paper(Path(given.paper)),
        items=tripod.read_items(Path(given.checklist)) if given.get("checklist") else (),
    )  # fmt: skip
    for path in [out.predictions, *out.tables]:
        write_table(path, *found.tables[Path(path).stem])
    write_json(out.summary, found.summary)
    write_json(out.assumptions, found.assumptions)
