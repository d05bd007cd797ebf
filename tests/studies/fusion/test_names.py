"""Sets, systems and models by name, and what the configuration may not name."""

from __future__ import annotations

import re
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from reperfuse.studies.fusion import names
from tests.studies.fusion.made_cohort import section

FOUR = ["trace", "adc", "flair", "jac"]


def test_pairs_come_first_then_sets_then_all_of_them() -> None:
    asked = section(contrasts=FOUR, sizes=[2, 5], sets=[["jac", "trace"], ["flair", "trace", "adc"]])
    assert names.sets(asked) == [
        "trace+adc", "trace+flair", "trace+jac", "adc+flair", "adc+jac", "flair+jac",
        "trace+adc+flair", "trace+adc+flair+jac",
    ]  # fmt: skip


@given(st.permutations(FOUR), st.lists(st.integers(1, 6), unique=True, max_size=4), st.booleans())
def test_every_subset_once_in_the_order_of_the_contrasts(
    order: list[str], sizes: list[int], first: bool
) -> None:
    asked = section(contrasts=order, sizes=sizes, primary="jac+adc" if first else "")
    found = names.sets(asked)
    expected = {frozenset(one) for size in sizes for one in combinations(order, size)}
    expected.add(frozenset(names.primary(asked).contrasts))
    assert len(found) == len(set(found)) == len(expected)
    assert {frozenset(one.split("+")) for one in found} == expected
    assert all(one.split("+") == sorted(one.split("+"), key=order.index) for one in found)
    for trial in names.models(asked, [1, 2]):
        assert re.fullmatch(r"[0-9A-Za-z_+]+-[0-9A-Za-z_]+-[0-9]+", trial)
        assert str(names.parse(trial)) == trial


def test_baselines_and_variants_are_of_the_primary_set_alone() -> None:
    variants = {"code8": {"network": {"code": 8}}}
    asked = section(contrasts=FOUR[:3], sizes=[2], baselines=["voxel_pca"], variants=variants)
    found = [one.name for one in names.systems(asked)]
    last = "trace+adc+flair"
    assert found[:3] == ["trace+adc", "trace+adc[unet]", "trace+flair"]
    assert found[-4:] == [last, f"{last}[unet]", f"{last}[voxel_pca]", f"{last}[code8]"]
    assert names.primary(asked) == (last, "none") and names.primary(asked).contrasts == tuple(FOUR[:3])
    # The one that strata are made of is fitted even where only networks with skips are asked for.
    assert [one.kind for one in names.systems(section(contrasts=["adc"], minimum=1, sizes=[], skips=["unet"]))] == [
        "unet", "none", "voxel_pca",
    ]  # fmt: skip


def test_models_are_one_for_each_fold_and_the_final_one() -> None:
    asked = section(contrasts=["lesion"], minimum=1, sizes=[], skips=["none"], baselines=[])
    assert names.models(asked, {2, 1}) == ["lesion-none-1", "lesion-none-2", "lesion-none-0"]
    assert names.models(asked, []) == []
    place = names.parse("trace+adc-voxel_pca-3")
    assert place == ("trace+adc", "voxel_pca", 3) and place.system.name == "trace+adc[voxel_pca]"


def test_a_variant_changes_what_it_names() -> None:
    asked = section(variants={"wide": {"network": {"widths": [8, 8, 8]}, "training": {"epochs": 9}}})
    plain, wide = names.effective(asked, "none"), names.effective(asked, "wide")
    assert wide["network"] == {**plain["network"], "widths": [8, 8, 8]}
    assert wide["training"] == {**plain["training"], "epochs": 9}
    assert (
        names.effective(asked, "voxel_pca") == plain == {key: asked[key] for key in ("network", "training")}
    )


def test_what_shapes_a_model_is_nothing_of_other_models_nor_of_how_they_are_judged() -> None:
    asked = section(contrasts=FOUR, sizes=[2], variants={"wide": {"network": {"code": 64}}})
    model = "adc+jac-none-3"
    changed = [
        {"sizes": [2, 3]}, {"sets": [["trace", "adc", "jac"]]}, {"variants": {}}, {"baselines": []},
        {"skips": ["none"]},
        {"phenotypes": {}}, {"statistics": {}}, {"strata": {}}, {"title_note": "x"}, {"primary": "adc+jac"},
    ]  # fmt: skip
    for one in changed:
        assert names.shaping({**asked, **one}, model) == names.shaping(asked, model)
    for one in ({"salt": "other"}, {"training": {"epochs": 7}}, {"grid": {}}):
        assert names.shaping({**asked, **one}, model) != names.shaping(asked, model)
    assert names.shaping(asked, "trace+adc+flair+jac-wide-1")["variants"] == asked["variants"]


def test_networks_of_the_primary_set_are_drawn_but_not_the_one_of_everybody() -> None:
    asked = section(contrasts=FOUR, primary="jac+adc")
    drawn = [trial for trial in names.models(asked, [1, 2]) if names.draws(asked, trial)]
    assert drawn == [f"adc+jac-{kind}-{fold}" for kind in ("none", "unet") for fold in (1, 2)]
