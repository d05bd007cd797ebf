STUDY_PAGES = [
    study
    for study, there in (
        ("outcome", PREDICTS),
        ("severity", GRADES),
        ("transformation", TRANSFORMS),
        ("fusion", FUSES),
    )
    if there
]


rule page:
    """Draw a patient's page: maps, contours, volumes, registration checks, findings."""
    input:
        records=records_before("page"),
    output:
        record=record("page"),
        page=out("report/{sub}.html"),
    log:
        out("logs/page/{sub}.log"),
    benchmark:
        out("benchmarks/page/{sub}.tsv")
    params:
        cfg=about,
        code=code("page", "reporting", TEMPLATES),
    conda:
        "../../envs/reporting.yaml"
    threads: 1
    resources:
        mem_mb=memory(700, per_mb=10),
        runtime=minutes(10, per_mb=0.1),
    script:
        "../../scripts/page.py"


rule report:
    """Draw the cohort's page: flow, volumes, quality, patients."""
    input:
        summary=work("summary.json"),
        participants=out("cohort/participants.tsv"),
        lesions=out("lesions.tsv"),
        status=out("cohort/status.tsv"),
        excluded=out("cohort/excluded.tsv"),
        records=[
            record("tables"),
            record("publish"),
            *(record(f"{study}_page") for study in STUDY_PAGES),
            *all_records(*IMAGING, "page"),
        ],
    output:
        record=record("report"),
        index=report(
            out("report/index.html"),
            caption="../report/index.rst",
            category="Cohort",
        ),
    log:
        out("logs/report.log"),
    benchmark:
        out("benchmarks/report.tsv")
    params:
        cfg={
            "configuration": {key: config[key] for key in RESULTS},
            "assumed": PLAN["assumed"],
        },
        code=code("report", "reporting", TEMPLATES),
    conda:
        "../../envs/reporting.yaml"
    threads: 1
    resources:
        mem_mb=memory(1500, per_patient=0.3),
        runtime=minutes(15, per_patient=0.01),
    script:
        "../../scripts/report.py"
