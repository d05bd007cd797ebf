# What the rules of the fusion study read, and what it may be asked for.
FUSION = config["studies"]["fusion"]
FUSED = taking_part(cohort, "fusion")
FUSES = cohort["folds"]["fusion"]["n_folds"] > 1 and len(FUSED) >= FUSION["fewest"]
if FUSES:
    try:
        fusion_checks.check(
            FUSION, cohort["dictionary"], config["images"].get("maps", {}), ROOT / "workflow/schemas"
        )
    except ConfigError as error:
        raise WorkflowError(str(error)) from None
FEWER = (
    f"{len(FUSED)} patients can take part, and `studies.fusion.fewest` asks for {FUSION['fewest']}."
    if len(FUSED) < FUSION["fewest"]
    else ""
)
fuses = partial(results_of, "fusion", FUSES, why=FEWER)
# A job for each system and fold, and one for the network that is fitted on everybody and stays.
FUSION_TRIALS = fusion_names.models(
    FUSION, {row["fold"] for row in cohort["folds"]["fusion"]["rows"]} if FUSES else ()
)
FINAL_TRIAL = FUSION_TRIALS[-1:]
# Whose codes are made strata of: what reconstructs from the code alone.
CODED_TRIALS = [trial for trial in FUSION_TRIALS if fusion_names.parse(trial).kind != fusion_names.UNET]
# The pictures that are drawn: of networks of the primary set.
DRAWN_TRIALS = [trial for trial in FUSION_TRIALS if fusion_names.draws(FUSION, trial)]
FUSION_SHOWN = {key: FUSION[key] for key in ("contrasts", "grid", "leave_out")}
# What the contrasts of one patient take in memory, in half precision.
FUSION_MB = 2e-6 * len(FUSION["contrasts"]) * math.prod(FUSION["grid"]["shape"])
FUSION_STEPS = ("prepare", "register", "normalise", "lesions")
FUSION_STEPS += ("perfusion",) if set(FUSION["contrasts"]) & fusion_names.PERFUSED else ()
# Everybody with enough contrasts, in chunks of this study's own.
SHOWN_TO_FUSION = [
    sub
    for sub, visits in ACTIVE.items()
    for need in (NEEDS["fusion"].images if FUSES else ())
    if len(need.there(visits.get(need.visit, ()))) >= need.at_least
]
FUSION_CHUNKS = chunked(SHOWN_TO_FUSION, set(FUSED))
NOT_FUSED = sorted(set(SHOWN_TO_FUSION) - set(FUSED))
# What strata follow from, beside the codes: not by how much a reconstruction must fail to be flagged.
FUSION_GROUPED = {key: FUSION[key] for key in ("contrasts", "primary", "salt", "strata", "phenotypes")}
FUSION_GROUPED["statistics"] = {
    key: value for key, value in FUSION["statistics"].items() if key not in ("mse_flags", "cnr_drop")
}
# What the strata of others follow from, beside the frozen model.
FUSION_OTHERS = {key: FUSION[key] for key in ("contrasts", "minimum", "grid", "salt", "strata")}
FUSION_ASSUMED = {
    key.removeprefix("studies.fusion."): value
    for key, value in PLAN["assumed"].items()
    if key.startswith("studies.fusion.") and not key.endswith(".frozen_folds")
}
STRATA_TABLES = (
    "strata strata-grid stability factors factor-scores parallel associations posthoc phenotypes-left-out map2d"
).split()
FUSION_TABLES = (
    "metrics metrics-by-fold metrics-by-subject parameters flags contrasts-curve comparisons paper left-out leakage "
    "training"
).split()
TEMPLATE_BRAIN = [("cohort", "template")]


def fusion_shown(chunk):
    """Patient and step that the inputs of a chunk are made from, and the template."""
    return [*TEMPLATE_BRAIN, *of_these(FUSION_CHUNKS[chunk], *FUSION_STEPS)]


def fusion_records(wildcards):
    """Records of what networks are shown, of the patients of a chunk."""
    return records_of(fusion_shown(wildcards.chunk))


def fusion_memory(wildcards, attempt):
    """Memory in MB for a chunk, all of whose patients are written at once."""
    return math.ceil((3000 + 2 * FUSION_MB * len(FUSION_CHUNKS[wildcards.chunk])) * attempt)


def fusion_inputs_of(subs):
    """What networks are shown of these patients."""
    return [work(f"{chunk}/fusion.safetensors") for chunk in chunks_with(FUSION_CHUNKS, subs)]


def fusion_chunks(subs):
    """Owner and step of what networks are shown of these patients."""
    return [(chunk, "fusion_inputs") for chunk in chunks_with(FUSION_CHUNKS, subs)]


def fusion_trials(trials):
    """Owner and step of the models."""
    return [(f"fusion/{trial}", "fusion_fold") for trial in trials]


def of_trials(trials, name):
    """A file of each of the models."""
    return [work(f"fusion/{trial}/{name}") for trial in trials]


@spared
def fusion_model(wildcards):
    """What a model follows from: not which others there are, nor how results are judged."""
    return fusion_names.shaping(FUSION, wildcards.trial)


# What results are made from: owner and step.
FUSION_FITTED = [*TEMPLATE_BRAIN, *fusion_chunks(FUSED)]
FUSION_STRATIFIED = [*fusion_trials(CODED_TRIALS), *of_these(FUSED, "prepare", "lesions")]
FUSION_SCORED = [*fusion_trials(FINAL_TRIAL), ("cohort", "fusion_strata"), *fusion_chunks(NOT_FUSED)]
FUSION_JUDGED = [
    *fusion_trials(FUSION_TRIALS),
    ("cohort", "fusion_strata"),
    ("cohort", "fusion_score"),
    *fusion_chunks([*FUSED, *NOT_FUSED]),
]
FUSION_PAGE = [*fusion_trials(DRAWN_TRIALS), ("cohort", "fusion_judge")]


def expected_fusion():
    """Yield every result of the study, each after those that it is made from."""
    if FUSES:
        for chunk in FUSION_CHUNKS:
            yield expected("fusion_inputs", chunk, fusion_shown(chunk))
        for owner, step in fusion_trials(FUSION_TRIALS):
            yield expected(step, owner, FUSION_FITTED)
        yield expected("fusion_strata", "cohort", FUSION_STRATIFIED)
        yield expected("fusion_score", "cohort", FUSION_SCORED)
        yield expected("fusion_judge", "cohort", FUSION_JUDGED)
        yield expected("fusion_page", "cohort", FUSION_PAGE)
