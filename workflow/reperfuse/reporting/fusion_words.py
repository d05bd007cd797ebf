"""How to read each part of the fusion study's page, what was found in words, and what it does not show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from reperfuse.reporting.fusion_view import WITH_SKIPS, FusionView, contrast
from reperfuse.reporting.pages import number, to_float
from reperfuse.reporting.study_reading import READING
from reperfuse.reporting.study_view import count, value, with_limits
from reperfuse.reporting.study_words import primary_sentences

WORDS: Mapping[str, str] = {
    "embedding": "the numbers that a network keeps of all contrasts of a patient; what it reconstructs from these "
    "alone says what they hold.",
    "with skips": "as the paper's network, with connections that carry the image around the embedding. Its error "
    "does not measure the embedding, and no strata are made from it.",
    "MSE": "mean squared error of intensities between 0 and 1, inside the template's brain.",
    "R² over the mean image": "1 − MSE / MSE of the mean image of the training patients: 0, the embedding says nothing "
    "of the patient that the mean does not; 1, everything.",
    "normalised difference": "Σ|x − x̂| / Σ|x|.",
    "CNR": "contrast to noise, |μ₁ − μ₂| / √(σ₁² + σ₂²), of grey and white matter, or of the lesion and its mirror "
    "image; only of contrasts whose originals tell these apart. To leave noise out raises it, and so does every "
    "average: the mean image may have more than any original, and a gain says nothing about fidelity.",
    "generalisation gap": "MSE of held-out patients − MSE of the patients that the network was fitted on.",
    "shuffled": "another held-out patient's embedding is decoded in place of the patient's own.",
    "principal components of voxels": "the same number of numbers by principal components, without a network.",
    "strata": "groups of patients by affinity propagation on the embedding. Phenotypes have no part in it.",
    "ARI": "adjusted Rand index of two partitions: 1, the same; 0, as alike as by chance.",
    "factor": "what several phenotypes have in common: principal components by parallel analysis, turned by varimax.",
    "q": "p adjusted for the number of tests (Benjamini and Hochberg).",
    "ε²": "share of the ranks' variance that strata explain, H / (n − 1).",
}
READINGS: Mapping[str, Sequence[str]] = {
    **READING,
    "paper": (
        "The paper's patients are healthy young adults with other contrasts, and its definitions of mask, scale and "
        "clustering are not public: its numbers set the scale and are not to be reached.",
    ),
    "reconstruction": (
        "Held-out patients only. The first row counts: decoded from the embedding alone. Below, what the same "
        "contrasts give with skips, by the baseline and by variants of the network.",
    ),
    "triptychs": (
        "The held-out patients with the least, the median and the largest error. From above: original, decoded from "
        "the embedding alone, what that has too much (orange) or too little (blue), and decoded with skips.",
    ),
    "curve": (
        "Every set of contrasts has a network and an embedding of its own, of the same length. To the right, more "
        "contrasts share it: how much of each is lost, what it costs, and whether the strata remain the same.",
    ),
    "cost": (
        "“Standard” is the same network with ordinary convolutions. The paper's number is of one "
        "block. A linear path holds principal components beside the network; they are not trained.",
    ),
    "comparisons": (
        "The primary comparison, in bold, was declared before scoring. Over folds: a t test that allows for shared "
        "training patients. Over patients: families are drawn again, which says nothing of another training.",
    ),
    "strata": (
        "Each dot is a patient, on the first two principal components of the embedding; strata were made from more of "
        "them, so that they may overlap here. Numbered by size.",
        "Stability: patients drawn again, other encoders, random strata of the same sizes, k-means of as many. Near 1, "
        "the strata are found again; near the random ones, they are not to be relied on. Encoders, damping and "
        "preference stay what they were when patients are drawn again: what another training or "
        "choice adds is not in it.",
    ),
    "phenotypes": (
        "A factor is told apart by the strata if q is below the false discovery rate. p by permutation: strata are "
        "exchanged between patients. Interpretation is for the reader: an association has no direction.",
        "Trivial reasons come first: strata can be of age, sex, head size or the volume of the lesion. What remains "
        "when these are regressed out of the embedding, and what volume explains alone, stands beside.",
    ),
    "training": ("Mean over folds of the loss of training patients.",),
    "others": (
        "The final encoder, fitted on everybody, is applied as it is; the stratum is that of the nearest medoid, "
        "the member who is closest to all others of the stratum. "
        "“Beyond”: farther from it than any patient of that stratum, so that it need not be of any.",
    ),
    "assumptions": ("Another reasonable choice of these values could give other results.",),
}
LIMITS: Sequence[str] = (
    "The embedding keeps what explains most variance of intensities: size and shape of the head, large lesions. A "
    "small lesion in a telling place may leave no trace in it.",
    "Strata are always found where they are looked for; whether they are kinds of patients or cuts through a continuum "
    "is not told by their number. See the stability.",
    "Encoders of different folds have spaces of their own and are never pooled; the embedding of the final encoder is "
    "of patients that it was fitted on.",
    "Where settings of the network were chosen on patients of the same cohort, errors of held-out patients and what is "
    "gained over a baseline are too favourable.",
    "Associations of strata and phenotypes are exploratory, and of one cohort.",
    "What the paper does not state is assumed; a difference from its numbers is no refutation.",
    "Strata must not guide treatment.",
)
# How many times as large the error from another patient's embedding must be for words to say so.
HARDLY, CLEARLY = 1.1, 1.5


def headline(view: FusionView) -> list[str]:
    """Return what was found: what embeddings hold, strata, how stable they are and what tells them apart."""
    return [*held(view), *carried(view), *compared(view), *map(str, view.strata_summary.get("words") or ())]


def held(view: FusionView) -> list[str]:
    """Return how well held-out patients are reconstructed, from the embedding alone and with skips."""
    chief = view.chief
    r2, worst, mse = (
        view.estimate(chief, *what)
        for what in (("r2", "fold_mean"), ("r2", "fold_worst"), ("mse", "fold_mean"))
    )
    if not r2:
        return ["No network was fitted."]
    mine = next((row for row in view.parameters if row["configuration"] == chief), {})
    length = f"{count(mine['code_length'])} numbers" if mine.get("code_length") else "numbers"
    shown = ", ".join(map(contrast, view.chief_contrasts))
    said = [
        f"Decoded from the {length} of the embedding alone, images of held-out patients ({shown}) have an R² over the "
        f"mean image of {with_limits(r2)}, in the worst fold {value(worst.get('estimate'))}, and a mean squared error "
        f"of {value(mse.get('estimate'), 4)}."
    ]
    around = view.estimate(chief + WITH_SKIPS, "mse", "fold_mean")
    if around:
        said.append(
            f"With skips, as in the paper, the error is {value(around.get('estimate'), 4)}, which does not measure "
            "the embedding."
        )
    return said


def carried(view: FusionView) -> list[str]:
    """Return what decoding another patient's embedding does, without and with skips."""
    said = []
    for name in (view.chief, view.chief + WITH_SKIPS):
        ratio = to_float(view.estimate(name, "shuffled_ratio", "fold_mean").get("estimate"))
        if ratio is None:
            continue
        who = "With skips, decoding" if name.endswith(WITH_SKIPS) else "Decoding"
        around = name.endswith(WITH_SKIPS)
        times = f"{number(ratio, 2)} times"
        if ratio >= CLEARLY:
            said.append(
                f"{who} another patient's embedding makes the error {times} as large: it carries the patient."
            )
        elif ratio >= HARDLY:
            why = "the skips carry most of the image" if around else "it carries something of the patient"
            said.append(f"{who} another patient's embedding makes the error {times} as large: {why}.")
        else:
            why = "the skips carry the image" if around else "it says little of the patient"
            said.append(
                f"{who} another patient's embedding hardly changes the error ({times} as large): {why}."
            )
    return said


def compared(view: FusionView) -> list[str]:
    """Return the declared comparison in words."""
    rows = [row for row in view.comparisons if to_float(row.get("p")) is not None]
    own = replace(view, comparisons=rows, summary={**view.summary, "n": None})
    return primary_sentences(own, "R²") if rows else []


def lost(view: FusionView) -> list[str]:
    """Return in how many held-out reconstructions something is wrong."""
    limits: Sequence[float] = view.summary.get("mse_flags") or []
    drop = to_float(view.summary.get("cnr_drop"))
    subjects = {r["participant_id"] for r in view.metrics_by_subject if r["configuration"] == view.chief}
    if not subjects or len(limits) != 2 or drop is None:
        return []
    mine = [row for row in view.flags if row["configuration"] == view.chief]

    def who(quantity: str, level: str) -> int:
        return len({r["participant_id"] for r in mine if r["quantity"] == quantity and r["level"] == level})

    return [
        f"Of {len(subjects)} held-out patients, in at least one contrast and from the embedding alone, "
        f"{who('mse', 'failed')} have an MSE above {limits[1]:g}, {who('mse', 'doubtful')} one between {limits[0]:g} "
        f"and that, and {who('cnr_change', 'failed')} lose more than {100 * drop:g} % of the CNR; see flags.tsv."
    ]
