rule transformation_fold:
    """Fit every configuration on the patients of the other folds, and predict the voxels of this one's."""
    input:
        study=SURVEYED.studies["transformation"],
        records=[record(one, sub) for sub, one in TRANSFORMED_RECORDS],
    output:
        record=record("transformation_fold", "transformation/{fold}"),
        voxels=out("transformation/voxels/{fold}.parquet"),
        models=out("transformation/models/{fold}/index.json"),
    log:
        out("logs/transformation_fold/{fold}.log"),
    benchmark:
        out("benchmarks/transformation_fold/{fold}.tsv")
    params:
        cfg=TRANSFORMATION_FITTED,
        code=code("transformation_fold", "study"),
        src=Path(SURVEYED.studies["transformation"]).name,
    conda:
        "../../envs/study.yaml"
    threads: 1  # folds are what runs side by side
    resources:
        gpu=TRAINING_GPUS,
        mem_mb=memory(8000),
        runtime=minutes(600, per_patient=1),
    script:
        "../../scripts/transformation_fold.py"


rule transformation_judge:
    """Measure the predictions of voxels and patients: metrics, intervals, comparisons, classes, strata."""
    input:
        manifest=MANIFEST,
        records=[
            *(record("transformation_fold", part) for part in TRANSFORMATION_PARTS),
            *(record(one, sub) for sub, one in JUDGED_RECORDS),
        ],
        voxels=[out(f"transformation/voxels/fold-{fold}.parquet") for fold in TRANSFORMATION_FOLDS],
        paper=ROOT / "resources/papers/transformation.tsv",
        checklist=ROOT / "resources/tripod_ai.tsv",
    output:
        record=record("transformation_judge"),
        predictions=out("transformation/predictions.tsv"),
        tables=[out(f"transformation/{name}.tsv") for name in TRANSFORMATION_TABLES],
        summary=out("transformation/summary.json"),
        assumptions=out("transformation/assumptions.json"),
    log:
        out("logs/transformation_judge.log"),
    benchmark:
        out("benchmarks/transformation_judge.tsv")
    params:
        cfg={**TRANSFORMATION, "assumed": TRANSFORMATION_ASSUMED},
        code=code("transformation_judge", "study"),
        src=Path(MANIFEST).name,
    conda:
        "../../envs/study.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000, per_patient=20),
        runtime=minutes(120),
    script:
        "../../scripts/transformation_judge.py"


rule transformation_page:
    """Draw the study's page."""
    input:
        records=[
            record("transformation_judge"),
            *(record("transformation_fold", part) for part in TRANSFORMATION_PARTS),
            *(record(one, sub) for sub, one in TRANSFORMED_RECORDS),
        ],
        tables=[out(f"transformation/{name}.tsv") for name in TRANSFORMATION_TABLES],
        summary=out("transformation/summary.json"),
    output:
        record=record("transformation_page"),
        page=out("report/transformation.html"),
    log:
        out("logs/transformation_page.log"),
    benchmark:
        out("benchmarks/transformation_page.tsv")
    params:
        code=code("transformation_page", "reporting", TEMPLATES),
    conda:
        "../../envs/reporting.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(20),
    script:
        "../../scripts/transformation_page.py"
