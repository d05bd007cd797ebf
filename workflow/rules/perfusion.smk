# The series is read as `prepare` reads it, and the brain found as there where no transform brings it.
READING = ("max_declared_gib", "max_ratio", "allow_no_orientation", "max_nonfinite_percent")
BRAIN = ("smoothing_mm", "opening_mm", "edge_mm")
PERFUSION = {
    **config["perfusion"],
    "limits": {key: config["prepare"][key] for key in READING},
    "brain": {key: config["prepare"][f"brain_{key}"] for key in BRAIN},
}


rule perfusion:
    """Make perfusion maps from J0's series, their volumes, and other images on its grid."""
    input:
        records=records_before("perfusion"),
    output:
        record=record("perfusion"),
    log:
        out("logs/perfusion/{sub}.log"),
    benchmark:
        out("benchmarks/perfusion/{sub}.tsv")
    params:
        cfg=PERFUSION,
        code=code("perfusion", "imaging"),
        src=sources("pwi", "aif", "ht"),
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory(900, per_mb=15),
        runtime=minutes(10, per_mb=0.2),
    script:
        "../../scripts/perfusion.py"
