# What the rules of the transformation study read, and what it may be asked for.
TRANSFORMATION = config["studies"]["transformation"]
TRANSFORMS = cohort["folds"]["transformation"]["n_folds"] > 1
if TRANSFORMS:
    try:
        transformation_names.check(
            TRANSFORMATION,
            {name: entry["available_at"] for name, entry in cohort["dictionary"].items()},
        )
    except ConfigError as error:
        raise WorkflowError(str(error)) from None
transforms = partial(results_of, "transformation", TRANSFORMS)
# Whom the models are fitted on, and a job for each fold: it needs the perfusion of all of them.
TRANSFORMED = taking_part(cohort, "transformation") if TRANSFORMS else []
TRANSFORMED_RECORDS = [(sub, "perfusion") for sub in TRANSFORMED if "perfusion" in STEPS[sub]]
# Lesions give the share of the infarct that bled; the transforms bring atlases onto the PWI grid.
JUDGED_RECORDS = [
    (sub, one)
    for sub in TRANSFORMED
    for one in ("register", "normalise", "lesions", "perfusion")
    if one in STEPS[sub]
]
TRANSFORMATION_FOLDS = (
    sorted({row["fold"] for row in cohort["folds"]["transformation"]["rows"]}) if TRANSFORMS else []
)
TRANSFORMATION_PARTS = [f"transformation/fold-{fold}" for fold in TRANSFORMATION_FOLDS]
# What the fits follow from; folds stand in the excerpt that is fitted on, and how results are judged is none of it.
NOT_IN_A_FOLD = ("n_folds", "group", "frozen_folds", "comparator", "statistics")
TRANSFORMATION_FITTED = {key: v for key, v in TRANSFORMATION.items() if key not in NOT_IN_A_FOLD}
TRANSFORMATION_ASSUMED = {
    key.removeprefix("studies.transformation."): value
    for key, value in PLAN["assumed"].items()
    if key.startswith("studies.transformation.") and not key.endswith(".frozen_folds")
}
TRANSFORMATION_TABLES = (
    "metrics metrics-by-fold metrics-by-subject comparisons patients severity burden strata calibration roc pr "
    "left-out leakage searched paper tripod"
).split()


def expected_transformation():
    """Yield every result of the study, each after those that it is made from."""
    if TRANSFORMS:
        folds = [(part, "transformation_fold") for part in TRANSFORMATION_PARTS]
        for part, step in folds:
            yield expected(step, part, TRANSFORMED_RECORDS)
        yield expected("transformation_judge", "cohort", [*folds, *JUDGED_RECORDS])
        yield expected(
            "transformation_page",
            "cohort",
            [*folds, ("cohort", "transformation_judge"), *TRANSFORMED_RECORDS],
        )
