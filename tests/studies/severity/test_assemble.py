from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from reperfuse.core.errors import ConfigError
from reperfuse.studies.severity import assemble, names
from tests.studies.severity.made_cohorts import made_cohort, small_section, tables


def test_the_score_reaches_nothing_but_labels_and_targets() -> None:
    asked = small_section(hybrid=["log_volume", "age", "sex"])
    excerpt, records, images, cells = tables(12)
    for i, row in enumerate(excerpt["clinical"].values()):
        row |= {"sex": "FM"[i % 2], "nihss_5a": 3, "glucose": 7.0}
    found = assemble.cohort(asked, excerpt, records, images, cells)
    assert all(set(row) == {"age", "sex"} for row in found.clinical.values())
    assert found.clinical["sub-001"]["sex"] == 1.0
    assert {who: int(grade > 4) for who, grade in found.grade.items()} == dict(found.labels)
    assert found.volumes_ml["sub-003"] == pytest.approx(sum(found.loads["sub-003"].values()))


def test_who_has_no_image_is_left_out_with_the_reason_of_the_inputs() -> None:
    excerpt, records, images, cells = tables(12)
    del excerpt["name"]  # a study's excerpt has none
    del images["sub-002"], images["sub-004"], cells["sub-005"]
    records["chunk-3"] = {"severity_inputs": {"facts": {"left_out": {"sub-002": "no trace"}}}}
    del records["sub-006"]
    found = assemble.cohort(small_section(), excerpt, records, images, cells)
    assert dict(found.left_out) == {"sub-002": "no trace", "sub-004": "no image"}
    assert "sub-005" in found.ids and "sub-005" not in found.cells
    assert "sub-006" in found.ids and "sub-006" not in found.volumes_ml
    assert np.isnan(assemble.cell_array(found, ["sub-005"])).all()
    assert assemble.cell_array(found, []).shape[0] == 0


def test_text_is_no_predictor() -> None:
    asked = small_section(hybrid=["log_volume", "glucose"])
    excerpt, *others = tables(4)
    excerpt["clinical"]["sub-001"]["glucose"] = "high"
    with pytest.raises(ConfigError, match=r"names glucose, which is text"):
        assemble.cohort(asked, excerpt, *others)


def test_the_first_repeat_is_the_table_and_others_are_drawn_alike() -> None:
    asked = small_section(n_folds=3, other_n_folds=[5], repeats=2)
    found = made_cohort(asked, 60)
    assert assemble.folds(asked, found, "3-1-2") == dict(found.places)
    for trial, n in (("3-2-1", 3), ("5-1-1", 5), ("5-2-1", 5)):
        drawn = assemble.folds(asked, found, trial)
        assert set(drawn) == set(found.ids) and set(drawn.values()) == set(range(1, n + 1))
        positive = Counter(at for who, at in drawn.items() if found.labels[who])
        assert max(positive.values()) - min(positive.values()) <= 2
        for one, other in (("sub-000", "sub-001"), ("sub-002", "sub-003")):
            assert drawn[one] == drawn[other]
    assert assemble.folds(asked, found, "5-1-1") != assemble.folds(asked, found, "5-2-1")
    assert assemble.folds(asked, found, "3-2-1") != dict(found.places)
    assert {names.parse(one).fold for one in names.trials(asked, {1, 2, 3})} == {1, 2, 3, 4, 5}


def test_inner_folds_hold_both_classes_or_are_fewer() -> None:
    labels = {f"s{i}": int(i < 5) for i in range(20)}
    for asked, n in ((3, 3), (8, 5)):
        drawn = assemble.inner_folds(labels, {}, asked, seed=1)
        assert set(drawn.values()) == set(range(1, n + 1))
        for fold in range(1, n + 1):
            assert {labels[who] for who, at in drawn.items() if at == fold} == {0, 1}
    family = dict.fromkeys(list(labels)[:5], "one")  # all of one class are relatives
    assert assemble.inner_folds(labels, family, 3, seed=1) == {}
    assert assemble.inner_folds({"a": 1, "b": 0, "c": 0}, {}, 3, seed=1) == {}
    assert assemble.inner_folds({}, {}, 3, seed=1) == {}


def test_frozen_models_may_judge_whom_none_was_fitted_on() -> None:
    excerpt, *others = tables(9)
    del excerpt["clinical"]["sub-007"]["nihss"]
    excerpt["folds"]["severity"]["rows"] = excerpt["folds"]["severity"]["rows"][:8]
    found = assemble.cohort(small_section(), excerpt, *others)
    assert assemble.unseen(found, excerpt) == ("new", ["sub-007", "sub-008"])
    split, ids = assemble.unseen(found, {**excerpt, "name": "there"})
    assert split == "external:there" and len(ids) == 9
