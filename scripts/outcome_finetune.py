import shutil
from pathlib import Path

from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.core.files import write_bytes
from reperfuse.core.records import key_of
from reperfuse.core.tables import read_table, write_table
from reperfuse.evaluation.interface import COLUMNS, Prediction
from reperfuse.studies.outcome import finetune
from reperfuse.studies.shown import shown_images

with job:
    given, out, config = snakemake.input, snakemake.output, snakemake.config
    visit, fold = Path(job.participant_id).name.split("-")
    cases = finetune.cases_of(map(Prediction.of, read_table(given.predictions)), job.cfg["target"])
    weights = config["studies"]["outcome"]["encoder"]["weights"]
    state = Path(out.model).parent / key_of(job.digests)
    shown = shown_images(job.files_of("prepare"), "adc", "brain", visits=[visit])
    done = finetune.finetune(
        cases, shown, job.facts_of("outcome_fit")["groups"],
        visit=visit, fold=int(fold), session_id=job.session_ids.get(visit, ""), state=state,
        weights=Path(weights) if weights else None, **job.cfg,
        device=config["execution"]["device"], devices=config["execution"]["devices"],
    )  # fmt: skip
    if done is not None:
        job.facts.update(done.facts)
        write_bytes(out.model, done.model)
        write_table(out.predictions, map(vars, done.predictions), COLUMNS)
        shutil.rmtree(state)  # gigabytes, and of no use beside the results
