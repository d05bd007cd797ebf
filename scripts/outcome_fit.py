from pathlib import Path

from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.core.files import read_json
from reperfuse.core.records import by_patient
from reperfuse.core.tables import write_table
from reperfuse.evaluation import interface
from reperfuse.studies.outcome import assemble, directions, domain, embedding, frozen, report, run

with job:
    out, manifest = snakemake.output, read_json(snakemake.input.study)
    vectors = embedding.read_vectors(snakemake.input.vectors)
    found = assemble.sources(manifest, by_patient(job.all_records), vectors)
    study = assemble.study(job.cfg, manifest, found)
    labels = assemble.labels(job.cfg, found.clinical, study.eligible())
    folds = assemble.folds(job.cfg, manifest, next(iter(labels.values())), study.groups)
    done = run.run(study, labels, folds, assemble.session_ids(manifest))
    stamps = assemble.stamps_of(job.all_records)
    job.facts.update(report.facts_of_run(study, done, stamps, assemble.refusals_of(job.all_records)))
    write_table(out.predictions, map(vars, done.predictions), interface.COLUMNS)
    write_table(out.training, done.training, run.TRAINING_COLUMNS)
    write_table(out.leakage, done.leakage, run.LEAKAGE_COLUMNS)
    write_table(out.coefficients, done.coefficients, run.COEFFICIENT_COLUMNS)
    write_table(out.permutation, done.permutation, run.PERMUTATION_COLUMNS)
    directions.write_directions(out.directions, next(iter(study.compared), ""), done.directions)
    models, job.facts["not_frozen"] = frozen.shareable(done.frozen)
    card = report.card(
        study, labels, stamps, weights=assemble.weights_of(job.all_records), atlases=manifest["atlases"]
    )
    frozen.write_models(Path(out.models), models, card, domain.domains(study, models))
