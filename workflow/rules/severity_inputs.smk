# What the rules of the severity study read, and what it may be asked for.
SEVERITY = config["studies"]["severity"]
GRADES = cohort["folds"]["severity"]["n_folds"] > 1
if GRADES:
    try:
        severity_names.check(SEVERITY, cohort["dictionary"])
    except ConfigError as error:
        raise WorkflowError(str(error)) from None
grades = partial(results_of, "severity", GRADES)
# Whom the models are fitted on, and a job for each fold of each cross-validation.
GRADED = taking_part(cohort, "severity") if GRADES else []
SEVERITY_TRIALS = severity_names.trials(
    SEVERITY,
    {row["fold"] for row in cohort["folds"]["severity"]["rows"]} if GRADES else (),
)
FREEZING_TRIALS = [trial for trial in SEVERITY_TRIALS if severity_names.freezes(SEVERITY, trial)]
# Everybody with the images that networks are shown, in chunks of this study's own.
SHOWN_TO_NETWORKS = [
    sub
    for sub, visits in ACTIVE.items()
    if GRADES and all(set(need.roles) & set(visits.get(need.visit, ())) for need in NEEDS["severity"].images)
]
SEVERITY_CHUNKS = chunked(SHOWN_TO_NETWORKS, set(GRADED))
SEVERITY_SHOWN = {key: SEVERITY[key] for key in ("channels", "space", "grid", "cell_mm", "leave_out")}
# What the fits of a fold follow from: not how many folds and repeats there are besides, nor how results are judged.
NOT_IN_A_TRIAL = (
    *("repeats", "other_n_folds", "frozen_folds", "title_note", "other_cuts"),
    *("primary", "comparator", "saliency", "statistics"),
)
SEVERITY_FITTED = {key: value for key, value in SEVERITY.items() if key not in NOT_IN_A_TRIAL}
SEVERITY_ASSUMED = {
    key.removeprefix("studies.severity."): value
    for key, value in PLAN["assumed"].items()
    if key.startswith("studies.severity.") and not key.endswith(".frozen_folds")
}
SEVERITY_TABLES = (
    "metrics metrics-by-fold averages consistency comparisons roc calibration decision conformal subgroups cuts "
    "thresholds ablations left-out leakage training paper tripod"
).split()
EXPLAINS_SEVERITY = GRADES and SEVERITY["saliency"]["patients"] > 0


def severity_shown(chunk):
    """Patient and step that the inputs of a chunk are made from; without a template or a lesion there are fewer."""
    return of_these(SEVERITY_CHUNKS[chunk], "prepare", "register", "normalise", "lesions")


def severity_records(wildcards):
    """Records of what networks are shown, of the patients of a chunk."""
    return records_of(severity_shown(wildcards.chunk))


def severity_inputs_of(subs):
    """What networks are shown of these patients."""
    return [work(f"{chunk}/severity.safetensors") for chunk in chunks_with(SEVERITY_CHUNKS, subs)]


def severity_seen(subs):
    """Patient or chunk, and step, that is known of these patients: their lesions, and what networks are shown."""
    return [
        *of_these(subs, "lesions"),
        *((one, "severity_inputs") for one in chunks_with(SEVERITY_CHUNKS, subs)),
    ]


def severity_trials(trials):
    """Owner and step of the trials."""
    return [(f"severity/{trial}", "severity_fold") for trial in trials]


# What models are applied to: whoever was not fitted on, of the main cohort and of each external one.
UNGRADED = sorted(set(SHOWN_TO_NETWORKS) - set(GRADED))
# What the results of the cohort are made from: owner and step.
SEVERITY_SCORED = [*severity_trials(FREEZING_TRIALS), *severity_seen(UNGRADED)]
SEVERITY_JUDGED = [
    *severity_trials(SEVERITY_TRIALS),
    ("cohort", "severity_score"),
    *severity_seen([*GRADED, *UNGRADED]),
]
TEMPLATE_IMAGES = [work(f"template/{name}.nii.gz") for name in ("t1w", "brain")]
# Explanations are drawn on the patient's own images, or on the template's.
SEVERITY_DRAWN_ON = of_these(GRADED, "prepare", "register", "normalise", "lesions")
SEVERITY_EXPLAINED = [
    *severity_trials(FREEZING_TRIALS),
    *((chunk, "severity_inputs") for chunk in chunks_with(SEVERITY_CHUNKS, GRADED)),
    *SEVERITY_DRAWN_ON,
]
SEVERITY_PAGE = [
    *severity_trials(SEVERITY_TRIALS),
    ("cohort", "severity_judge"),
    *([("cohort", "severity_saliency"), *SEVERITY_DRAWN_ON] if EXPLAINS_SEVERITY else []),
]


def expected_severity():
    """Yield every result of the study, each after those that it is made from."""
    if GRADES:
        for chunk in SEVERITY_CHUNKS:
            yield expected("severity_inputs", chunk, severity_shown(chunk))
        for owner, step in severity_trials(SEVERITY_TRIALS):
            yield expected(step, owner, severity_seen(GRADED))
        yield expected("severity_score", "cohort", SEVERITY_SCORED)
        yield expected("severity_judge", "cohort", SEVERITY_JUDGED)
        if EXPLAINS_SEVERITY:
            yield expected("severity_saliency", "cohort", SEVERITY_EXPLAINED)
        yield expected("severity_page", "cohort", SEVERITY_PAGE)
