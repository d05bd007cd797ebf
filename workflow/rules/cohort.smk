rule tables:
    """Gather records and judgement: who is there, who is out and why, lesion volumes. `manifest` shows new patients."""
    input:
        manifest=MANIFEST,
        records=all_records(*IMAGING),
    output:
        record=record("tables"),
        index=out("cohort/index.tsv"),
        participants=out("cohort/participants.tsv"),
        excluded=out("cohort/excluded.tsv"),
        status=out("cohort/status.tsv"),
        eligibility=out("cohort/eligibility.tsv"),
        quality=out("cohort/quality.tsv"),
        lesions=out("lesions.tsv"),
        growth=out("growth.tsv"),
        loads=out("loads.tsv"),
        perfusion=out("perfusion.tsv"),
        agreement=out("perfusion-agreement.tsv"),
        summary=work("summary.json"),
    log:
        out("logs/tables.log"),
    benchmark:
        out("benchmarks/tables.tsv")
    params:
        code=code("tables", "imaging"),
        src=Path(MANIFEST).name,
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000, per_patient=0.3),
        runtime=minutes(15, per_patient=0.01),
    script:
        "../../scripts/tables.py"


use rule tables as external_tables with:
    input:
        manifest=manifest_of,
        records=external_records,
    output:
        record=record("external_tables", "external/{external}"),
        index=external("cohort/index.tsv"),
        participants=external("cohort/participants.tsv"),
        excluded=external("cohort/excluded.tsv"),
        status=external("cohort/status.tsv"),
        eligibility=external("cohort/eligibility.tsv"),
        quality=external("cohort/quality.tsv"),
        lesions=external("lesions.tsv"),
        growth=external("growth.tsv"),
        loads=external("loads.tsv"),
        perfusion=external("perfusion.tsv"),
        agreement=external("perfusion-agreement.tsv"),
        summary=work("external/{external}/summary.json"),
    log:
        out("logs/external/{external}.log"),
    benchmark:
        out("benchmarks/external/{external}.tsv")
    params:
        code=code("tables", "imaging"),
        src=manifest_name,


rule publish:
    """Link images under their BIDS names and describe the derivative dataset; markers stay in `work`."""
    input:
        manifest=MANIFEST,
        records=all_records(*IMAGING),
    output:
        record=record("publish"),
        description=out("dataset_description.json"),
        files=out("cohort/published.tsv"),
    log:
        out("logs/publish.log"),
    benchmark:
        out("benchmarks/publish.tsv")
    params:
        code=code("publish", "imaging"),
        src=Path(MANIFEST).name,
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000, per_patient=0.3),
        runtime=minutes(15, per_patient=0.02),
    script:
        "../../scripts/publish.py"
