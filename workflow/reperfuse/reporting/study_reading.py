"""How to read each part of a study's page, for those who do not make models."""

from __future__ import annotations

READING: dict[str, tuple[str, ...]] = {
    "paper": (
        "Mean ± SD over folds is what papers often report; with few patients in a fold it says little about "
        "precision. The interval of the pooled value does.",
        "Squares: our mean ± SD, which may reach beyond 1. Open diamonds: the paper's (a question mark: row "
        "uncertain). Dots: single folds. Dashed: chance.",
    ),
    "roc": (
        "The further a curve rises to the upper left, the better high predictions separate patients with "
        "the outcome from those without; the diagonal is chance. Heavy: the primary comparison.",
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
        "Each AUC with its interval; dotted lines are all patients together. Subgroups are small: "
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
SELECTION = (
    "Results hold for patients like those who took part. A standardised difference above 0.1 or below −0.1 "
    "means that the groups were not alike."
)
EMPTY_CELLS = "A cell of the paper is empty where the paper gives no value."
UNCERTAIN = "In colour: the paper does not say clearly which configuration the value belongs to."
AUDIT_GAPS = "For some fitted objects it is not recorded whom they have seen."
CLEAN = "Nothing that was fitted has seen a patient whom it predicts for."
