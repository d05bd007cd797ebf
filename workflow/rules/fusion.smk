rule fusion_inputs:
    """Bring every contrast of a chunk of patients to the template, onto the grid that networks are shown."""
    input:
        brain=work("template/brain.nii.gz"),
        records=fusion_records,
    output:
        record=record("fusion_inputs", "{chunk}"),
        shown=work("{chunk}/fusion.safetensors"),
    log:
        out("logs/fusion_inputs/{chunk}.log"),
    benchmark:
        out("benchmarks/fusion_inputs/{chunk}.tsv")
    params:
        cfg=FUSION_SHOWN,
        code=code("fusion_inputs", "study"),
    conda:
        "../../envs/study.yaml"
    threads: 1
    resources:
        mem_mb=fusion_memory,
        runtime=lambda wildcards, attempt: (10 + len(FUSION_CHUNKS[wildcards.chunk])) * attempt,
    script:
        "../../scripts/fusion_inputs.py"


rule fusion_fold:
    """Fit one system on the patients of the other folds, reconstruct this one's, and embed everybody."""
    input:
        places=SURVEYED.places["fusion"],
        brain=work("template/brain.nii.gz"),
        records=records_of(FUSION_FITTED),
        shown=fusion_inputs_of(FUSED),
    output:
        record=record("fusion_fold", "fusion/{trial}"),
        reconstruction=work("fusion/{trial}/reconstruction.tsv"),
        embeddings=work("fusion/{trial}/embeddings.safetensors"),
        drawn=work("fusion/{trial}/shown.safetensors"),
        model=out("fusion/models/{trial}/index.json"),
    log:
        out("logs/fusion_fold/{trial}.log"),
    benchmark:
        out("benchmarks/fusion_fold/{trial}.tsv")
    params:
        cfg=fusion_model,
        code=code("fusion_fold", "study"),
        src=Path(SURVEYED.places["fusion"]).name,
    conda:
        "../../envs/study.yaml"
    threads: 1  # models are what runs side by side
    resources:
        gpu=TRAINING_GPUS,
        mem_mb=memory(6000, per_patient=3 * FUSION_MB),
        runtime=minutes(600, per_patient=2),
    script:
        "../../scripts/fusion_fold.py"


rule fusion_strata:
    """Make strata of the codes, and test what tells them apart."""
    input:
        study=SURVEYED.studies["fusion"],
        records=records_of(FUSION_STRATIFIED),
        embeddings=of_trials(CODED_TRIALS, "embeddings.safetensors"),
    output:
        record=record("fusion_strata"),
        tables=[out(f"fusion/{name}.tsv") for name in STRATA_TABLES],
        summary=out("fusion/strata-summary.json"),
    log:
        out("logs/fusion_strata.log"),
    benchmark:
        out("benchmarks/fusion_strata.tsv")
    params:
        cfg=FUSION_GROUPED,
        code=code("fusion_strata", "study"),
        src=Path(SURVEYED.studies["fusion"]).name,
    conda:
        "../../envs/study.yaml"
    threads: 1
    resources:
        mem_mb=memory(3000, per_patient=2),
        runtime=minutes(120, per_patient=0.5),
    script:
        "../../scripts/fusion_strata.py"


rule fusion_score:
    """Embed external cohorts and patients without a fold by the frozen network, each into its nearest stratum."""
    input:
        manifests=[MANIFESTS[name] for name in ["", *EXTERNAL]],
        records=records_of(FUSION_SCORED),
        shown=fusion_inputs_of(NOT_FUSED),
        models=[out(f"fusion/models/{trial}/index.json") for trial in FINAL_TRIAL],
        embeddings=of_trials(FINAL_TRIAL, "embeddings.safetensors"),
        strata=out("fusion/strata.tsv"),
    output:
        record=record("fusion_score"),
        others=out("fusion/strata-others.tsv"),
    log:
        out("logs/fusion_score.log"),
    benchmark:
        out("benchmarks/fusion_score.tsv")
    params:
        cfg=FUSION_OTHERS,
        code=code("fusion_score", "study"),
        src=[Path(MANIFESTS[name]).name for name in ["", *EXTERNAL]],
    conda:
        "../../envs/study.yaml"
    threads: 2
    resources:
        mem_mb=memory(6000, per_patient=2 * FUSION_MB),
        runtime=minutes(60, per_patient=0.5),
    script:
        "../../scripts/fusion_score.py"


rule fusion_judge:
    """Measure the reconstructions: errors, what the code carries, comparisons, cost, flags."""
    input:
        manifests=[MANIFESTS[name] for name in ["", *EXTERNAL]],
        records=records_of(FUSION_JUDGED),
        reconstructions=of_trials(FUSION_TRIALS, "reconstruction.tsv"),
        stability=out("fusion/stability.tsv"),
        strata=out("fusion/strata-summary.json"),
        others=out("fusion/strata-others.tsv"),
        paper=ROOT / "resources/papers/fusion.tsv",
    output:
        record=record("fusion_judge"),
        tables=[out(f"fusion/{name}.tsv") for name in FUSION_TABLES],
        summary=out("fusion/summary.json"),
        assumptions=out("fusion/assumptions.json"),
    log:
        out("logs/fusion_judge.log"),
    benchmark:
        out("benchmarks/fusion_judge.tsv")
    params:
        cfg={**FUSION, "assumed": FUSION_ASSUMED},
        code=code("fusion_judge", "study"),
        src=[Path(MANIFESTS[name]).name for name in ["", *EXTERNAL]],
    conda:
        "../../envs/study.yaml"
    threads: 1
    resources:
        mem_mb=memory(3000),
        runtime=minutes(60),
    script:
        "../../scripts/fusion_judge.py"


rule fusion_page:
    """Draw the study's page."""
    input:
        records=records_of(FUSION_PAGE),
        tables=[out(f"fusion/{name}.tsv") for name in [*STRATA_TABLES, "strata-others", *FUSION_TABLES]],
        summary=out("fusion/summary.json"),
        drawn=of_trials(DRAWN_TRIALS, "shown.safetensors"),
    output:
        record=record("fusion_page"),
        page=out("report/fusion.html"),
    log:
        out("logs/fusion_page.log"),
    benchmark:
        out("benchmarks/fusion_page.tsv")
    params:
        code=code("fusion_page", "reporting", TEMPLATES),
    conda:
        "../../envs/reporting.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(20),
    script:
        "../../scripts/fusion_page.py"
