"""How to read each part of a study's page, for those who do not make models."""

from __future__ import annotations

# Scores of models that were calibrated apart share no scale: of pure noise the pooled AUC lies below 0.5.
POOLED = (
    "The mean AUC over folds is unbiased. The pooled AUC ranks the scores of separately calibrated models together: "
    "near chance it is somewhat low, and its interval is approximate and may be too narrow. Neither is an external "
    "validation."
)
READING: dict[str, tuple[str, ...]] = {
    "paper": (
        "Mean ± SD over folds is what papers often report; with few patients in a fold the SD says little about "
        "precision.",
        POOLED,
        "Squares: our mean ± SD, which may reach beyond 1. Open diamonds: the paper's (a question mark: row "
        "uncertain). Dots: single folds. Dashed: chance.",
    ),
    "roc": (
        "The further a curve rises to the upper left, the better high predictions separate patients with "
        "the outcome from those without; the diagonal is chance. Heavy: the primary comparison.",
        POOLED,
    ),
    "calibration": (
        "On the diagonal, a prediction of 70 % comes true in 70 of 100 patients; above it predictions are "
        "too low, below it too high. Bars: 95 % Wilson intervals.",
        "A slope of 1 and an intercept of 0 are ideal; a slope below 1 means predictions that are too "
        "extreme.",
    ),
    "decision": (
        "Net benefit weighs patients rightly treated against those treated in vain, for each probability "
        "above which one would act. A model is of use only where it lies above treating all and treating "
        "none.",
    ),
    "coefficients": (
        "A bar to the right speaks for the outcome, to the left against it; its length is the weight per "
        "standard deviation. Where the interval crosses zero, or the sign is not the same in nearly all "
        "fits, do not rely on it.",
        "Grey bars, centred on zero, are components of the image: size only. Components are not the same from fold "
        "to fold, so that only the mean size of their weight is known, not whether they speak for the outcome.",
    ),
    "saliency": (
        "Orange places speak for the outcome and blue ones against it, by the model that never saw the patient. "
        "The network sees coarsely, so that a colour belongs to a region and not to a voxel.",
        "Stability is the mean correlation with the maps of the other folds' models: well below 1, another "
        "choice of patients would have given another picture. A map that lies in the lesion no more than by "
        "chance, or mostly outside the brain, is no sign that the network reads the stroke.",
    ),
    "sensitivity": (
        "A result that holds for one setting only is fragile; flat lines are what one wants to see.",
    ),
    "comparisons": (
        "The primary comparison, in bold, was declared before scoring. All others are exploratory: read the "
        "adjusted p, which allows for their number.",
    ),
    "permutation": (
        "Labels were shuffled between patients and everything was fitted again: the grey values show what "
        "chance alone gives. Their middle far from 0.5 would mean that information leaks.",
    ),
    "conformal": (
        "For each patient the outcomes that cannot be ruled out at error rate ε. Coverage should lie on the "
        "dashed line; many sets with both outcomes mean that the model often does not know.",
    ),
    "subgroups": (
        "Each pooled AUC with its approximate interval; dotted lines are all patients together. Subgroups are small: "
        "differences whose intervals overlap widely are no finding.",
    ),
    "ordinal": (
        "Whether predictions also follow the grades of the outcome, not only the cut between two groups.",
    ),
    "external": ("Frozen models on patients who took no part in fitting: nothing was fitted again.",),
    "assumptions": ("Another reasonable choice of these values could give other results.",),
    "tripod": (
        "Items of the reporting guideline that the run could fill in, and those that the authors of a "
        "report must.",
    ),
}
WORDS = {
    "J0, J1": "the visits: J0 with the first MRI, J1 with the second, by design about 24 h later.",
    "J1-J0": "the change between visits: a value of J1 minus that of J0.",
    "J0+J1": "the values of both visits side by side.",
    "mri": "features that a network computed from the ADC map.",
    "mask": "where there is no ADC map: how much of each cell of a template the mask of the lesion fills.",
    "lesion": "volumes of the lesion, as log(1 + ml).",
    "territories": "how much of each region of an atlas the lesion takes.",
    "decision value": "what a model gives before it is turned into a probability; above 0 it speaks for the outcome.",
    "AUC": "the share of pairs, one patient with the outcome and one without, that the model ranks rightly; 0.5 is "
    "chance.",
    "Brier score": "mean squared difference between predicted probability and outcome; 0 is best.",
    "Brier skill": "how much better the Brier score is than that of telling everybody the overall share; 0 is no "
    "better, 1 is perfect.",
    "slope": "of calibration: 1 is ideal, below 1 predictions are too extreme, above 1 not extreme enough.",
    "intercept": "of calibration, beside the slope: 0 is ideal.",
    "in the large": "whether predictions are too low (above 0) or too high (below 0) on the whole.",
    "ICI, E50, E90": "mean, median and 90th percentile of the distance between predicted probability and a smooth "
    "curve of what was observed; 0 is best.",
    "ECE": "mean distance between predicted and observed share in ten groups of like size; 0 is best.",
    "PPV, NPV": "of those predicted to have the outcome, or not to have it, the share of whom that is true.",
    "NIHSS": "severity of the stroke, 0 (none) to 42.",
    "mRS, mRS before the stroke": "modified Rankin scale of disability, 0 (no symptoms) to 6 (dead), at the time of "
    "the outcome, and as it was before the stroke (mrs_prestroke).",
    "systolic blood pressure (sbp)": "in mmHg, at admission.",
    "THRIVE": "a score of 0 to 9 from NIHSS, age, hypertension, diabetes and atrial fibrillation; higher is worse.",
    "SPAN-100": "1 where age in years and NIHSS add up to 100 or more, else 0; 1 is worse.",
}
CALIBRATED = (
    "Calibration of predicted probabilities, pooled (approximate 95 % CI). Support vector machines after Platt "
    "scaling; logistic models have none and need none."
)
SELECTION = (
    "Results hold for patients like those who took part. A standardised difference above 0.1 or below −0.1 "
    "means that the groups were not alike."
)
EMPTY_CELLS = "A cell of the paper is empty where the paper gives no value."
UNCERTAIN = "In colour: the paper does not say clearly which configuration the value belongs to."
AUDIT_GAPS = "For some fitted objects it is not recorded whom they have seen."
CLEAN = "Nothing that was fitted has seen a patient whom it predicts for."
