rule embed:
    """Turn the images of a chunk of patients into vectors: a frozen network's, or a lesion mask's cells."""
    input:
        records=shown_records,
    output:
        record=record("embed", "{chunk}"),
        vectors=work("{chunk}/vectors.safetensors"),
    log:
        out("logs/embed/{chunk}.log"),
    benchmark:
        out("benchmarks/embed/{chunk}.tsv")
    params:
        cfg={key: value for key, value in ENCODER.items() if key != "weights"},
        code=code("embed", "study"),
        src=weights_digest(OUTCOME["encoder"]["weights"]),
    conda:
        "../../envs/study.yaml"
    threads: 2
    resources:
        gpu=GPU if SHOWN == "adc" else 0,
        mem_mb=memory(6000),
        runtime=lambda wildcards, attempt: (10 + len(CHUNKS[wildcards.chunk])) * attempt,
    script:
        "../../scripts/embed.py"


rule outcome_fit:
    """Cross-validate every configuration, and freeze those that are compared."""
    input:
        study=STUDY,
        records=[record(one, owner) for owner, one in lesions_and_chunks(FITTED_ON)],
        vectors=vectors(embedded(FITTED_ON)),
    output:
        record=record("outcome_fit"),
        predictions=work("outcome/predictions.tsv"),
        training=out("outcome/training.tsv"),
        leakage=out("outcome/leakage.tsv"),
        coefficients=out("outcome/coefficients.tsv"),
        permutation=out("outcome/permutation.tsv"),
        models=out("outcome/models/index.json"),
        directions=work("outcome/directions.safetensors"),
    log:
        out("logs/outcome_fit.log"),
    benchmark:
        out("benchmarks/outcome_fit.tsv")
    params:
        cfg=FITTED,
        code=code("outcome_fit", "study"),
        src=Path(STUDY).name,
    conda:
        "../../envs/study.yaml"
    threads: 1
    resources:
        mem_mb=memory(6000),
        runtime=minutes(240),
    script:
        "../../scripts/outcome_fit.py"


rule outcome_finetune:
    """Train the network on, on the ADC maps of one visit, and predict the fold that is held out."""
    input:
        records=[record("outcome_fit"), *(record("prepare", sub) for sub in EXPLAINED)],
        predictions=work("outcome/predictions.tsv"),
    output:
        record=record("outcome_finetune", "{part}"),
        model=work("{part}/model.safetensors"),
        predictions=work("{part}/predictions.tsv"),
    log:
        out("logs/outcome_finetune/{part}.log"),
    benchmark:
        out("benchmarks/outcome_finetune/{part}.tsv")
    params:
        cfg={**OUTCOME["finetune"], **SEEN, "target": LABEL, "salt": OUTCOME["salt"]},
        code=code("outcome_finetune", "study"),
        src=weights_digest(OUTCOME["encoder"]["weights"]),
    conda:
        "../../envs/study.yaml"
    threads: 4
    resources:
        gpu=TRAINING_GPUS,
        mem_mb=memory(12000),
        runtime=minutes(480),
    script:
        "../../scripts/outcome_finetune.py"


rule outcome_score:
    """Apply the frozen models to external cohorts and to patients without a label; nothing is fitted."""
    input:
        manifests=[MANIFESTS[name] for name in ["", *EXTERNAL]],
        records=[
            record("outcome_fit"),
            *(record(one, owner) for owner, one in lesions_and_chunks(SCORED)),
        ],
        vectors=vectors(embedded(SCORED)),
        models=out("outcome/models/index.json"),
        predictions=work("outcome/predictions.tsv"),
    output:
        record=record("outcome_score"),
        scores=out("outcome/scores.tsv"),
        sets=out("outcome/scores-sets.tsv"),
        left_out=out("outcome/scores-left-out.tsv"),
        domain=out("outcome/scores-domain.tsv"),
    log:
        out("logs/outcome_score.log"),
    benchmark:
        out("benchmarks/outcome_score.tsv")
    params:
        cfg=OUTCOME,
        code=code("outcome_score", "study"),
        src=[Path(MANIFESTS[name]).name for name in ["", *EXTERNAL]],
    conda:
        "../../envs/study.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes(60),
    script:
        "../../scripts/outcome_score.py"


rule outcome_judge:
    """Measure the predictions: metrics, comparisons, calibration, warnings, checklist."""
    input:
        manifests=[MANIFESTS[name] for name in ["", *EXTERNAL]],
        records=[
            record("outcome_fit"),
            record("outcome_score"),
            *(record("outcome_finetune", part) for part in TUNED),
        ],
        predictions=work("outcome/predictions.tsv"),
        tuned=[work(f"{part}/predictions.tsv") for part in TUNED],
        training=out("outcome/training.tsv"),
        permutation=out("outcome/permutation.tsv"),
        scores=out("outcome/scores.tsv"),
        unscored=out("outcome/scores-left-out.tsv"),
        domain=out("outcome/scores-domain.tsv"),
        paper=ROOT / "resources/papers/outcome.tsv",
        checklist=ROOT / "resources/tripod_ai.tsv",
    output:
        record=record("outcome_judge"),
        predictions=out("outcome/predictions.tsv"),
        tables=[out(f"outcome/{name}.tsv") for name in TABLES],
        left_out=out("outcome/left-out.tsv"),
        selection=out("outcome/selection.tsv"),
        reasons=out("outcome/selection-reasons.tsv"),
        weighted=out("outcome/selection-weighted.tsv"),
        summary=out("outcome/summary.json"),
        assumptions=out("outcome/assumptions.json"),
    log:
        out("logs/outcome_judge.log"),
    benchmark:
        out("benchmarks/outcome_judge.tsv")
    params:
        cfg={**OUTCOME, "assumed": ASSUMED},
        code=code("outcome_judge", "study"),
        src=[Path(MANIFESTS[name]).name for name in ["", *EXTERNAL]],
    conda:
        "../../envs/study.yaml"
    threads: 1
    resources:
        mem_mb=memory(3000),
        runtime=minutes(60),
    script:
        "../../scripts/outcome_judge.py"


rule outcome_saliency:
    """Map where the network's features speak for or against the outcome, for the most certain predictions."""
    input:
        records=[record("outcome_fit"), *(record(one, sub) for sub, one in EXPLAINED_RECORDS)],
        predictions=work("outcome/predictions.tsv"),
        directions=work("outcome/directions.safetensors"),
    output:
        record=record("outcome_saliency"),
        table=out("outcome/saliency.tsv"),
    log:
        out("logs/outcome_saliency.log"),
    benchmark:
        out("benchmarks/outcome_saliency.tsv")
    params:
        cfg={"n": OUTCOME["saliency"], "target": LABEL, "encoder": SEEN},
        code=code("outcome_saliency", "study"),
        src=weights_digest(OUTCOME["encoder"]["weights"]),
    conda:
        "../../envs/study.yaml"
    threads: 2
    resources:
        mem_mb=memory(6000),
        runtime=minutes(60),
    script:
        "../../scripts/outcome_saliency.py"


rule outcome_page:
    """Draw the study's page."""
    input:
        records=[
            record(f"outcome_{one}")
            for one in ("fit", "score", "judge", *(["saliency"] if EXPLAINS else []))
        ]
        + [record(one, sub) for sub, one in (EXPLAINED_RECORDS if EXPLAINS else [])],
        tables=[out(f"outcome/{name}.tsv") for name in TABLES],
        summary=out("outcome/summary.json"),
    output:
        record=record("outcome_page"),
        page=out("report/outcome.html"),
    log:
        out("logs/outcome_page.log"),
    benchmark:
        out("benchmarks/outcome_page.tsv")
    params:
        code=code("outcome_page", "reporting", TEMPLATES),
    conda:
        "../../envs/reporting.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(20),
    script:
        "../../scripts/outcome_page.py"


rule fetch_weights:
    """Fetch and convert the published weights, by name only: the one rule that needs the network."""
    output:
        record=work("fetch_weights.json"),
    log:
        out("logs/fetch_weights.log"),
    benchmark:
        out("benchmarks/fetch_weights.tsv")
    params:
        # No output: Snakemake removes those before a job begins, and what was fetched before must outlive a failure.
        cfg={"weights": OUTCOME["encoder"]["weights"] or "weights/resnet_50_23dataset.safetensors"},
        code=code("fetch_weights", "fetch"),
    conda:
        "../../envs/fetch.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes(60),
    script:
        "../../scripts/fetch_weights.py"
