from snakemake.utils import min_version

min_version("9.27")

if not workflow.overwrite_configfiles and exists("config/config.yaml"):

    configfile: "config/config.yaml"


# A group asks for as many GPUs as its hungriest member, and its members take turns.
resource_scopes:
    gpu="local",


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/cohort.smk"
include: "workflow/rules/imaging.smk"
include: "workflow/rules/perfusion.smk"
include: "workflow/rules/outcome_inputs.smk"
include: "workflow/rules/outcome.smk"
include: "workflow/rules/severity_inputs.smk"
include: "workflow/rules/severity.smk"
include: "workflow/rules/transformation_inputs.smk"
include: "workflow/rules/transformation.smk"
include: "workflow/rules/fusion_inputs.smk"
include: "workflow/rules/fusion.smk"
include: "workflow/rules/reporting.smk"
include: "workflow/rules/runs.smk"


if workflow.is_main_process:
    take_up()
    settle()


envvars:
    "REPERFUSE_PLAN",


onstart:
    begin()


onsuccess:
    end()


onerror:
    release()


rule all:
    default_target: True
    input:
        out("report/index.html"),
        [out("report/outcome.html"), out("outcome/predictions.tsv")] if PREDICTS else [],
        [out("report/severity.html"), out("severity/predictions.tsv")] if GRADES else [],
        [out("report/transformation.html"), out("transformation/predictions.tsv")] if TRANSFORMS else [],
        [out("report/fusion.html"), out("fusion/strata.tsv")] if FUSES else [],
        [external("cohort/status.tsv", name) for name in EXTERNAL],


rule preprocess:
    input:
        out("lesions.tsv"),
        out("cohort/status.tsv"),
        out("dataset_description.json"),
        [external("cohort/status.tsv", name) for name in EXTERNAL],


rule outcome:
    input:
        predicts("report/outcome.html", "outcome/predictions.tsv"),


rule severity:
    input:
        grades("report/severity.html", "severity/predictions.tsv"),


rule transformation:
    input:
        transforms("report/transformation.html", "transformation/predictions.tsv"),


rule fusion:
    input:
        fuses("report/fusion.html", "fusion/strata.tsv"),


rule score:
    input:
        predicts("outcome/scores.tsv") if PREDICTS or not (GRADES or FUSES) else [],
        grades("severity/scores.tsv") if GRADES else [],
        fuses("fusion/strata-others.tsv") if FUSES else [],
