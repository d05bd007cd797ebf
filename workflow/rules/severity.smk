rule severity_inputs:
    """Bring what networks are shown onto one grid, and lesions to the template's cells, for a chunk of patients."""
    input:
        records=severity_records,
    output:
        record=record("severity_inputs", "{chunk}"),
        shown=work("{chunk}/severity.safetensors"),
    log:
        out("logs/severity_inputs/{chunk}.log"),
    benchmark:
        out("benchmarks/severity_inputs/{chunk}.tsv")
    params:
        cfg=SEVERITY_SHOWN,
        code=code("severity_inputs", "study"),
    conda:
        "../../envs/study.yaml"
    threads: 1
    resources:
        mem_mb=memory(3000, per_patient=2),
        runtime=lambda wildcards, attempt: (10 + len(SEVERITY_CHUNKS[wildcards.chunk])) * attempt,
    script:
        "../../scripts/severity_inputs.py"


rule severity_fold:
    """Fit every configuration on the patients of the other folds, calibrate it there, and predict this one's."""
    input:
        study=SURVEYED.studies["severity"],
        records=records_of(severity_seen(GRADED)),
        shown=severity_inputs_of(GRADED),
    output:
        record=record("severity_fold", "severity/{trial}"),
        predictions=work("severity/{trial}/predictions.tsv"),
        models=out("severity/models/{trial}/index.json"),
    log:
        out("logs/severity_fold/{trial}.log"),
    benchmark:
        out("benchmarks/severity_fold/{trial}.tsv")
    params:
        cfg=SEVERITY_FITTED,
        code=code("severity_fold", "study"),
        src=Path(SURVEYED.studies["severity"]).name,
    conda:
        "../../envs/study.yaml"
    threads: 1  # trials are what runs side by side
    resources:
        gpu=TRAINING_GPUS,
        mem_mb=memory(5000, per_patient=6),
        runtime=minutes(600, per_patient=2),
    script:
        "../../scripts/severity_fold.py"


rule severity_score:
    """Apply the models of the cohort's own folds to external cohorts and to patients without a label; nothing is fitted."""
    input:
        manifests=[MANIFESTS[name] for name in ["", *EXTERNAL]],
        records=records_of(SEVERITY_SCORED),
        shown=severity_inputs_of(UNGRADED),
        models=[out(f"severity/models/{trial}/index.json") for trial in FREEZING_TRIALS],
    output:
        record=record("severity_score"),
        scores=out("severity/scores.tsv"),
        left_out=out("severity/scores-left-out.tsv"),
    log:
        out("logs/severity_score.log"),
    benchmark:
        out("benchmarks/severity_score.tsv")
    params:
        cfg=SEVERITY_FITTED,
        code=code("severity_score", "study"),
        src=[Path(MANIFESTS[name]).name for name in ["", *EXTERNAL]],
    conda:
        "../../envs/study.yaml"
    threads: 2
    resources:
        mem_mb=memory(6000, per_patient=4),
        runtime=minutes(60, per_patient=0.5),
    script:
        "../../scripts/severity_score.py"


rule severity_judge:
    """Measure the predictions: metrics, comparisons, averages and whether they fit together, cuts, ablations, checklist."""
    input:
        manifests=[MANIFESTS[name] for name in ["", *EXTERNAL]],
        records=records_of(SEVERITY_JUDGED),
        predictions=[work(f"severity/{trial}/predictions.tsv") for trial in SEVERITY_TRIALS],
        scores=out("severity/scores.tsv"),
        unscored=out("severity/scores-left-out.tsv"),
        paper=ROOT / "resources/papers/severity.tsv",
        checklist=ROOT / "resources/tripod_ai.tsv",
    output:
        record=record("severity_judge"),
        predictions=out("severity/predictions.tsv"),
        tables=[out(f"severity/{name}.tsv") for name in SEVERITY_TABLES],
        summary=out("severity/summary.json"),
        assumptions=out("severity/assumptions.json"),
    log:
        out("logs/severity_judge.log"),
    benchmark:
        out("benchmarks/severity_judge.tsv")
    params:
        cfg={**SEVERITY, "assumed": SEVERITY_ASSUMED},
        code=code("severity_judge", "study"),
        src=[Path(MANIFESTS[name]).name for name in ["", *EXTERNAL]],
    conda:
        "../../envs/study.yaml"
    threads: 1
    resources:
        mem_mb=memory(3000),
        runtime=minutes(120),
    script:
        "../../scripts/severity_judge.py"


rule severity_saliency:
    """Map where the network looked, by the models that never saw the patient, and measure whether it was the lesion."""
    input:
        records=records_of(SEVERITY_EXPLAINED),
        shown=severity_inputs_of(GRADED),
        template=TEMPLATE_IMAGES if SEVERITY["space"] == "template" else [],
        models=[out(f"severity/models/{trial}/index.json") for trial in FREEZING_TRIALS],
        predictions=[work(f"severity/{trial}/predictions.tsv") for trial in FREEZING_TRIALS],
    output:
        record=record("severity_saliency"),
        table=out("severity/saliency.tsv"),
        randomised=out("severity/randomised.tsv"),
        summary=out("severity/saliency-summary.tsv"),
    log:
        out("logs/severity_saliency.log"),
    benchmark:
        out("benchmarks/severity_saliency.tsv")
    params:
        cfg={**SEVERITY_FITTED, "saliency": SEVERITY["saliency"], "statistics": SEVERITY["statistics"]},
        code=code("severity_saliency", "study"),
    conda:
        "../../envs/study.yaml"
    threads: 2
    resources:
        mem_mb=memory(6000, per_patient=4),
        runtime=minutes(120),
    script:
        "../../scripts/severity_saliency.py"


rule severity_page:
    """Draw the study's page."""
    input:
        records=records_of(SEVERITY_PAGE),
        tables=[out(f"severity/{name}.tsv") for name in SEVERITY_TABLES],
        summary=out("severity/summary.json"),
    output:
        record=record("severity_page"),
        page=out("report/severity.html"),
    log:
        out("logs/severity_page.log"),
    benchmark:
        out("benchmarks/severity_page.tsv")
    params:
        code=code("severity_page", "reporting", TEMPLATES),
    conda:
        "../../envs/reporting.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(20),
    script:
        "../../scripts/severity_page.py"
