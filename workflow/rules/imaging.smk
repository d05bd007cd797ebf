rule prepare:
    """Check every raw image of a patient; ADC units, diffusion maps, brain mask. `src` stands for the raw files."""
    output:
        record=record("prepare"),
    log:
        out("logs/prepare/{sub}.log"),
    benchmark:
        out("benchmarks/prepare/{sub}.tsv")
    params:
        cfg=config["prepare"],
        code=code("prepare", "imaging"),
        src=sources("adc", "trace", "dwi", "pwi", "gre", "flair", "t1w", "brain", *MAPS),
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory(700, per_mb=12),
        runtime=minutes(10, per_mb=0.2),
    script:
        "../../scripts/prepare.py"


rule register:
    """Align J1 and every contrast rigidly with the J0 diffusion image."""
    input:
        records=records_before("register"),
    output:
        record=record("register"),
    log:
        out("logs/register/{sub}.log"),
    benchmark:
        out("benchmarks/register/{sub}.tsv")
    params:
        cfg=config["register"],
        code=code("register", "imaging"),
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000, per_mb=10),
        runtime=minutes(20, per_mb=0.2),
    script:
        "../../scripts/register.py"


rule template:
    """Write the MNI152 template and its brain mask once, at the resolution that the configuration names."""
    output:
        record=record("template"),
        head=work("template/t1w.nii.gz"),
        brain=work("template/brain.nii.gz"),
    log:
        out("logs/template.log"),
    benchmark:
        out("benchmarks/template.tsv")
    params:
        cfg={"resolution_mm": config["normalise"]["resolution_mm"]},
        code=code("template", "imaging"),
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    script:
        "../../scripts/template.py"


rule normalise:
    """Warp the patient's anatomy to the MNI152 template."""
    input:
        records=records_before("normalise"),
        head=work("template/t1w.nii.gz"),
        brain=work("template/brain.nii.gz"),
    output:
        record=record("normalise"),
    log:
        out("logs/normalise/{sub}.log"),
    benchmark:
        out("benchmarks/normalise/{sub}.tsv")
    params:
        cfg=config["normalise"],
        code=code("normalise", "imaging"),
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory(1500, per_mb=8),
        runtime=minutes(45, per_mb=0.1),
    script:
        "../../scripts/normalise.py"


rule lesions:
    """Threshold ADC, raw and cleaned; take a given mask in its place; volumes, sides, loads, growth."""
    input:
        records=records_before("lesions"),
    output:
        record=record("lesions"),
    log:
        out("logs/lesions/{sub}.log"),
    benchmark:
        out("benchmarks/lesions/{sub}.tsv")
    params:
        cfg=config["lesions"],
        code=code("lesions", "imaging"),
        src=sources("lesion", atlases=cohort["atlases"]),
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory(700, per_mb=10),
        runtime=minutes(10, per_mb=0.1),
    script:
        "../../scripts/lesions.py"
