import gc
import math
import os
import sys
from functools import partial
from inspect import signature
from pathlib import Path
from types import SimpleNamespace

from snakemake.exceptions import WorkflowError

ROOT = Path(workflow.basedir)
if (ROOT / "workflow/reperfuse").is_dir():
    sys.path.insert(0, str(ROOT / "workflow"))  # scripts inherit this entry

import reperfuse
from reperfuse.cohort import layout
from reperfuse.cohort.excerpt import taking_part
from reperfuse.cohort.survey import read_survey, survey, write_drawn
from reperfuse.core import kept
from reperfuse.core.claim import announce, announced, claim, claimed, release
from reperfuse.core.errors import ConfigError
from reperfuse.core.files import lines_of, read_json
from reperfuse.core.leftovers import still_queued
from reperfuse.core.participants import cohort_of
from reperfuse.core.plan import read_plan, write_plan
from reperfuse.core.provenance import Parsed, code_digest, stamp_of
from reperfuse.core.reruns import Expected, reconcile
from reperfuse.core.seeds import seed_of
from reperfuse.core.settings import assumed, resolve
from reperfuse.studies.fusion import checks as fusion_checks
from reperfuse.studies.fusion import names as fusion_names
from reperfuse.studies.outcome.names import check_names, check_predictors
from reperfuse.studies.severity import names as severity_names
from reperfuse.studies.transformation import names as transformation_names
from reperfuse.studies.requirements import requirements

LIBRARY = Path(reperfuse.__file__).resolve().parent.parent
LOCK = ROOT / "requirements/default.txt"
TEMPLATES = sorted((LIBRARY / "reperfuse/reporting").glob("templates/*"))

# What the main process has settled for every job: configuration, survey, digests of code. Jobs read it, so that all
# have the same `params`, and none pays for finding out again.
if workflow.is_main_process:
    try:
        config.update(resolve(config, ROOT / "workflow/schemas"))
        config["output_dir"] = config["output_dir"].rstrip(os.sep)
        surveyed = survey(config, requirements(config["studies"]))
    except ConfigError as error:
        raise WorkflowError(str(error)) from None
    PLAN = {"survey": str(surveyed), "assumed": assumed(config, ROOT / "workflow/schemas"), "code": {}}
    PARSED = Parsed(surveyed.with_name("code.json"))
else:
    try:
        PLAN = read_plan()
    except ConfigError as error:
        raise WorkflowError(str(error)) from None
    config.update(PLAN["config"])

SURVEYED = read_survey(PLAN["survey"])
MANIFESTS = SURVEYED.manifests  # the main cohort's under the empty name
MANIFEST = MANIFESTS[""]
COHORTS = {name: read_json(path) for name, path in MANIFESTS.items()}
EXTERNAL = sorted(set(COHORTS) - {""})
for one in COHORTS.values():
    del one["participants"]  # as large as all the rest, and of use in jobs alone
cohort = {**COHORTS[""], "external": {name: COHORTS[name] for name in EXTERNAL}}
config["sessions"] = cohort["sessions"]
for name in EXTERNAL:
    config["external_cohorts"][name]["sessions"] = COHORTS[name]["sessions"]
SHARED = ("template", "tables", "publish", "report")
SHARED += ("outcome_fit", "outcome_score", "outcome_judge", "outcome_saliency", "outcome_page")
SHARED += ("severity_score", "severity_judge", "severity_saliency", "severity_page")
SHARED += ("transformation_judge", "transformation_page")
SHARED += ("fusion_strata", "fusion_score", "fusion_judge", "fusion_page")
IMAGING = ("prepare", "register", "normalise", "lesions", "perfusion")
ACTIVE = {sub: visits for one in COHORTS.values() for sub, visits in one["active"].items()}
MB = {sub: size for one in COHORTS.values() for sub, size in one["mb"].items()}
MAPS = {role for visits in ACTIVE.values() for role in visits.get("J0", ()) if role.startswith(layout.MAP)}
NEEDS = requirements(config["studies"])
STEPS = {sub: layout.steps_of(visits) for sub, visits in ACTIVE.items()}
for name in EXTERNAL:  # pages are of the main cohort
    STEPS.update({sub: [one for one in STEPS[sub] if one != "page"] for sub in COHORTS[name]["active"]})

# What rules that can use a GPU ask for; without one at hand they take turns all the same, and compute on the CPU.
GPU = int(config["execution"]["device"] != "cpu")
TRAINING_GPUS = GPU * config["execution"]["devices"]

# What the configuration says about the main cohort's results; where data lie and how work is done is none of it.
RESULTS = sorted(set(config) - {"bids_dir", "output_dir", "atlases", "external_cohorts", "execution"})


wildcard_constraints:
    chunk=r"chunk-([0-9A-Za-z]+-)?[0-9]+(-others)?",
    fold=r"fold-[0-9]+",
    part=r"[a-z]+/J[01]-[0-9]+",
    sub=r"sub-[0-9A-Za-z+]+",
    trial=r"[0-9A-Za-z_+]+-[0-9A-Za-z_]+-[0-9]+",
    external="|".join(EXTERNAL) or "(?!)",


def out(path):
    return f"{config['output_dir']}/{path}"


WORK = out("work")


def work(path):
    return f"{WORK}/{path}"


def external(path, name="{external}"):
    """Path of a result of an external cohort."""
    return out(f"external/{name}/{path}")


def patients(cohort=""):
    """Patients of the main cohort, or of an external one, of whom any image can be used."""
    return list(COHORTS[cohort or ""]["active"])


def manifest_of(wildcards):
    return MANIFESTS[wildcards.external]


def manifest_name(wildcards):
    return Path(manifest_of(wildcards)).name


def record(step, owner="{sub}"):
    """Path of a step's record; steps of the cohort have one for everybody, other owners are patients."""
    return work(f"cohort/{step}.json" if step in SHARED else f"{owner}/{step}.json")


def spared(function):
    """Spare Snakemake the look into a function's parameters, which it takes for every job anew."""
    function.__signature__ = signature(function)
    return function


def goes_through(sub, step):
    return step in SHARED or step in STEPS[sub]


def records_before(step):
    """Records of the steps before, as far as the patient goes through them."""

    def before(wildcards):
        return [record(one, owner) for owner, one in before_of(wildcards.sub, step)]

    return spared(before)


def memory(base, per_mb=0, per_patient=0):
    """Memory in MB, for a patient's raw images and for the number of patients; more with each attempt."""
    fixed = base + per_patient * len(ACTIVE)

    def asked(wildcards, attempt):
        mine = per_mb * MB.get(getattr(wildcards, "sub", ""), 0)
        return math.ceil((fixed + mine) * attempt)

    return spared(asked)


def minutes(base, per_mb=0, per_patient=0):
    """Time in minutes, likewise."""
    return memory(base, per_mb, per_patient)


def of_all(*steps, cohort=None):
    """Patient and step, for every patient of the main cohort, or of an external one, who goes through the steps."""
    return [(sub, one) for sub in patients(cohort) for one in steps if one in STEPS[sub]]


def all_records(*steps, cohort=None):
    """Records of every patient of the main cohort, or of an external one, who goes through the steps."""
    return [record(one, sub) for sub, one in of_all(*steps, cohort=cohort)]


def of_these(subs, *steps):
    """Patient and step, for these patients as far as they go through the steps."""
    return [(sub, one) for sub in subs for one in steps if one in STEPS[sub]]


def records_of(pairs):
    """Records of owners and steps."""
    return [record(step, owner) for owner, step in pairs]


def chunks_with(chunks, subs):
    """Chunks that hold one of these patients."""
    mine = set(subs)
    return [chunk for chunk, members in chunks.items() if mine & set(members)]


def external_records(wildcards):
    return all_records(*IMAGING, cohort=wildcards.external)


def chunked(subs, fitted):
    """Chunk → patients of one cohort, those whom a study is fitted on apart from all others of the main one.

    A patient's number depends on the name alone. Who is not fitted on has it followed by `others`, which no name of
    a cohort can be taken for: that stands before the number.
    """
    found = {}
    for sub in sorted(subs):
        name = cohort_of(sub, EXTERNAL)
        number = f"{seed_of(sub) % config['execution']['chunks']:03d}"
        others = "" if name or sub in fitted else "others"
        found.setdefault("-".join(filter(None, ("chunk", name, number, others))), []).append(sub)
    return found


def results_of(study, possible, *paths, why=""):
    """Results of a study, for a target; a cohort that cannot be cross-validated is told why."""
    why = why or " ".join(cohort["folds"][study]["notices"])

    def asked(wildcards):
        if not possible:
            raise WorkflowError(f"The study `{study}` cannot be made: {why} See cohort/eligibility.tsv.")
        return [out(path) for path in paths]

    return asked


def weights_digest(path):
    """Content stamp of a file of weights; its name where there is none."""
    known = Path(work("weights-stamps.json"))
    return stamp_of(Path(path), known, keep=workflow.is_main_process) if path else ""


def code(step, env, files=()):
    """Digest of a rule's script, the modules it reaches, its environment, the lock and other files."""
    if workflow.is_main_process:
        read = [*sorted((ROOT / "envs").glob(f"{env}.*")), LOCK, *files]
        PLAN["code"][step] = code_digest(ROOT / f"scripts/{step}.py", LIBRARY, read, parsed=PARSED)
    return PLAN["code"][step]


def sources(*roles, **shared):
    """Content stamps of a patient's raw files that play one of the roles, and of files that all patients share."""

    def stamps(wildcards):
        mine = {
            visit: {role: files for role, files in found.items() if role in roles}
            for visit, found in ACTIVE[wildcards.sub].items()
        }
        return {**mine, **shared}

    return spared(stamps)


@spared
def about(wildcards):
    """What a patient's page says beside the images: clinical data, and what keeps the patient out of each study."""
    sub = wildcards.sub
    return {
        "clinical": cohort["clinical"].get(sub, {}),
        "eligibility": {study: found[sub] for study, found in cohort["eligibility"].items()},
    }


def before_of(sub, step):
    """Patient or cohort, and step, that a step of a patient is made from."""
    mine = [one for one in layout.AFTER[step] if goes_through(sub, one)]
    return [("cohort" if one in SHARED else sub, one) for one in mine]
