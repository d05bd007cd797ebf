"""Every configuration has the name that tables and pages know it by, and sees what the name says."""

from __future__ import annotations

import pytest

from reperfuse.studies.outcome.configurations import base_recipe, comparators, main_recipes, variants
from reperfuse.studies.outcome.names import declared
from tests.studies.outcome.cohorts import section

PAPER = ("mri", "clinical", "mri+lesion", "clinical+lesion", "mri+clinical", "mri+clinical+lesion")
MAIN = {
    *(f"J0_{row}" for row in PAPER),
    *(f"J1_{row}" for row in PAPER),
    "J1_mri+J0_clinical",
    "J0+J1_mri+clinical+lesion",
    "J1-J0_mri+clinical+lesion",
}
COMPARATORS = {"nihss_24h", "age+nihss", "log_volume_J0", "log_volume_J1", "thrive", "span100"}
KINDS = ("mri", "clinical", "lesion")
BLOCKS = [f"{visit}:{kind}" for visit in ("J0", "J1") for kind in KINDS] + ["J1-J0:mri", "J1-J0:lesion"]
SIMPLE = "J1:nihss_24h J0:age+nihss J0:log_volume J1:log_volume J0:thrive J0:span100".split()


def test_names_are_those_of_the_tables() -> None:
    recipes, left_out = main_recipes(section(), BLOCKS)
    assert set(recipes) == MAIN and left_out == {}
    assert set(comparators(section(), SIMPLE)) == COMPARATORS
    assert set(declared(section())) <= set(recipes)


def test_a_name_says_what_the_configuration_sees() -> None:
    recipes, _ = main_recipes(section(), BLOCKS)
    assert recipes["J0_mri"].blocks == ("J0:mri",)
    assert set(recipes["J1_mri+clinical+lesion"].blocks) == {"J1:mri", "J1:clinical", "J1:lesion"}
    assert set(recipes["J1_mri+J0_clinical"].blocks) == {"J1:mri", "J0:clinical"}
    assert set(recipes["J0+J1_mri+clinical+lesion"].blocks) == {
        "J0:mri", "J1:mri", "J1:clinical", "J0:lesion", "J1:lesion",
    }  # fmt: skip
    assert set(recipes["J1-J0_mri+clinical+lesion"].blocks) == {"J1-J0:mri", "J1:clinical", "J1-J0:lesion"}
    for name, one in {**recipes, **comparators(section(), SIMPLE)}.items():
        sees_j1 = any("J1" in block for block in one.blocks)
        assert one.visit == ("J1" if sees_j1 else "J0"), name
        if name.startswith("J0_"):
            assert not sees_j1


def test_one_visit_gives_half_the_table_and_lesion_masks_another_name() -> None:
    recipes, left_out = main_recipes(
        section(visits=["J0"], image="lesion"), ["J0:mask", "J0:clinical", "J0:lesion", "J0:territories"]
    )
    rows = {f"J0_{row.replace('mri', 'mask')}" for row in PAPER}
    atlas = {"J0_territories", "J0_clinical+lesion+territories", "J0_mask+clinical+lesion+territories"}
    assert set(recipes) == rows | atlas and left_out == {}


def test_without_a_block_its_configurations_are_left_out_with_the_reason() -> None:
    recipes, left_out = main_recipes(section(), [one for one in BLOCKS if one != "J1:lesion"])
    assert set(recipes) | set(left_out) == MAIN and not set(recipes) & set(left_out)
    assert left_out["J1_mri+lesion"] == "nobody has J1:lesion"
    assert "J1_mri" in recipes and "J0+J1_mri+clinical+lesion" in left_out
    assert comparators(section(), ["J0:thrive"]).keys() == {"thrive"}


def test_the_settings_are_the_papers_and_come_from_the_configuration() -> None:
    base = base_recipe(section())
    assert (base.classifier, base.kernel, base.c) == ("svm", "linear", 0.1)
    assert (base.reduction.components, base.reduction.variance, base.order) == (12, 0.95, "pca_on_embeddings")
    other = base_recipe(section(classifier={"kernel": "logistic", "c": 2}, fusion_order="concat_then_pca"))
    assert (other.classifier, other.kernel, other.c, other.order) == (
        "logistic",
        "linear",
        2,
        "concat_then_pca",
    )
    assert base_recipe(section(classifier={"kernel": "rbf"})).kernel == "rbf"


def test_comparators_are_plain_logistic_regressions_whatever_the_machine() -> None:
    given = section(classifier={"kernel": "rbf"}, fusion_order="concat_then_pca")
    for one in comparators(given, SIMPLE).values():
        assert (one.classifier, one.kernel, one.order) == ("logistic", "linear", "pca_on_embeddings")
        assert one.c >= 1e6  # as good as no penalty


def test_a_variant_changes_one_choice_and_says_which() -> None:
    one = main_recipes(section(), BLOCKS)[0]["J1_mri+clinical+lesion"]
    found = variants(
        "X",
        one,
        {
            "c": [0.01, 0.1],
            "components": [4, 12, "none"],
            "method": ["pls"],
            "kernel": ["linear", "rbf", "logistic"],
            "order": ["pca_on_embeddings", "concat_then_pca"],
        },
    )
    assert list(found) == [
        "X[c=0.01]", "X[components=4]", "X[components=none]", "X[method=pls]", "X[kernel=rbf]", "X[kernel=logistic]",
        "X[order=concat_then_pca]",
    ]  # fmt: skip
    assert found["X[c=0.01]"] == one.with_(c=0.01)
    assert found["X[components=4]"].reduction.components == 4
    assert found["X[components=none]"].reduction.method == "none"
    assert found["X[kernel=logistic]"].classifier == "logistic"
    assert all(changed.blocks == one.blocks for changed in found.values())


@pytest.mark.parametrize("kernel", ["linear", "rbf", "logistic"])
def test_a_variants_kernel_is_the_one_that_it_names(kernel: str) -> None:
    one = base_recipe(section(classifier={"kernel": kernel})).with_(blocks=("J0:mri",))
    found = variants("X", one, {"kernel": ["linear", "rbf", "logistic"]})
    assert set(found) == {f"X[kernel={other}]" for other in ("linear", "rbf", "logistic") if other != kernel}
    for name, changed in found.items():
        named = name.partition("=")[2].rstrip("]")
        made = "logistic" if changed.classifier == "logistic" else changed.kernel
        assert made == named
