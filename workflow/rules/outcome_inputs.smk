# What the rules of the outcome study read, and what it may be asked for.
OUTCOME = config["studies"]["outcome"]
SHOWN = "lesion" if OUTCOME["image"] == "lesion" else "adc"
ENCODER = {
    "image": OUTCOME["image"],
    "visits": OUTCOME["visits"],
    **({"cell_mm": OUTCOME["cell_mm"]} if SHOWN == "lesion" else OUTCOME["encoder"]),
}
SEEN = {key: value for key, value in OUTCOME["encoder"].items() if key not in ("weights", "precision")}
NOT_FITTED = ("flags", "selection", "saliency", "finetune", "n_folds", "group", "frozen_folds")
# What the cross-validation and the frozen models follow from; a limit of a warning is none of it, and folds stand in
# the excerpt that is fitted on.
FITTED = {
    **{k: v for k, v in OUTCOME.items() if k not in NOT_FITTED},
    "encoder": {key: value for key, value in OUTCOME["encoder"].items() if key != "weights"},
    "statistics": {key: OUTCOME["statistics"][key] for key in ("level", "permutations", "refits")},
}
LABEL = f"{OUTCOME['variable']}<={OUTCOME['favourable_max']}"
# Patient → visits of the study whose image is there; a model of J0 alone is for whoever has that of J0.
SEEN_AT = {
    sub: [v for v in OUTCOME["visits"] if SHOWN in visits.get(v, {})] for sub, visits in ACTIVE.items()
}
# Whom the models are fitted on: eligible, and with a fold. Nobody else is known to the rules that fit.
STUDY = SURVEYED.studies["outcome"]
FITTED_ON = taking_part(cohort, "outcome")
CHUNKS = chunked((sub for sub, visits in SEEN_AT.items() if visits), set(FITTED_ON))
ASSUMED = {
    key.removeprefix("studies.outcome."): value
    for key, value in PLAN["assumed"].items()
    if key.startswith("studies.outcome.") and not key.endswith((".weights", ".frozen_folds"))
}
PREDICTS = cohort["folds"]["outcome"]["n_folds"] > 1
if PREDICTS:
    try:
        check_names(OUTCOME)
        known = {name: entry["available_at"] for name, entry in cohort["dictionary"].items()}
        check_predictors(OUTCOME, known, layout.criteria_of(config["lesions"]))
    except ConfigError as error:
        raise WorkflowError(str(error)) from None
TABLES = "metrics metrics-by-fold comparisons roc calibration decision sweep spread conformal subgroups ordinal flags tripod".split()
SHOWN_STEPS = ("prepare",) if SHOWN == "adc" else ("register", "normalise", "lesions")


def shown_records(wildcards):
    """Records of what the network is shown, of the patients of a chunk."""
    return [
        record(one, sub) for sub in CHUNKS[wildcards.chunk] for one in SHOWN_STEPS if goes_through(sub, one)
    ]


def embedded(subs):
    """Chunks that hold one of these patients."""
    mine = set(subs)
    return [chunk for chunk, members in CHUNKS.items() if mine & set(members)]


def vectors(chunks):
    return [work(f"{chunk}/vectors.safetensors") for chunk in chunks]


def lesions_and_chunks(subs):
    """Patient or chunk, and step, that the predictors of these patients are made from."""
    lesions = [(sub, "lesions") for sub in subs if "lesions" in STEPS[sub]]
    return [*lesions, *((chunk, "embed") for chunk in embedded(subs))]


predicts = partial(results_of, "outcome", PREDICTS)


SCORED = [sub for name in ("", *EXTERNAL) for sub in patients(name)]
# What is explained, and what the explanation is drawn on; networks are trained on the same patients.
EXPLAINED = FITTED_ON if SHOWN == "adc" else []
EXPLAINED_RECORDS = [(sub, one) for sub in EXPLAINED for one in ("prepare", "lesions")]
# Networks that are trained on, one for each visit and fold.
TUNES = PREDICTS and SHOWN == "adc" and OUTCOME["finetune"]["epochs"] > 0
FOLDS = sorted({row["fold"] for row in cohort["folds"]["outcome"]["rows"]}) if TUNES else []
TUNED = [f"outcome/{visit}-{fold}" for visit in OUTCOME["visits"] for fold in FOLDS]
EXPLAINS = PREDICTS and SHOWN == "adc" and OUTCOME["saliency"] > 0


def expected_outcome():
    """Yield every result of the study, each after those that it is made from."""
    if PREDICTS:
        for chunk, subs in CHUNKS.items():
            yield expected(
                "embed", chunk, [(sub, one) for sub in subs for one in SHOWN_STEPS if goes_through(sub, one)]
            )
        fit, scored, judged = (("cohort", f"outcome_{one}") for one in ("fit", "score", "judge"))
        yield expected("outcome_fit", "cohort", lesions_and_chunks(FITTED_ON))
        yield expected("outcome_score", "cohort", [fit, *lesions_and_chunks(SCORED)])
        for part in TUNED:
            yield expected("outcome_finetune", part, [fit, *((sub, "prepare") for sub in EXPLAINED)])
        yield expected(
            "outcome_judge", "cohort", [fit, scored, *((part, "outcome_finetune") for part in TUNED)]
        )
        explained = [("cohort", "outcome_saliency"), *EXPLAINED_RECORDS] if EXPLAINS else []
        if EXPLAINS:
            yield expected("outcome_saliency", "cohort", [fit, *EXPLAINED_RECORDS])
        yield expected("outcome_page", "cohort", [fit, scored, judged, *explained])
