from __future__ import annotations

import json
from functools import lru_cache

import numpy as np
import pytest

from reperfuse.core.tables import write_table
from reperfuse.evaluation.partition import adjusted_rand
from reperfuse.studies.fusion import associations, clusters, phenotypes, strata
from tests.studies.fusion.made_strata import PLANTED_FACTORS, Made, section

MADE = Made(200)


def found(codes, made=MADE, others=None, **changed):
    return strata.found(
        section(**changed),
        codes,
        made.ids,
        clinical=made.clinical,
        facts=made.facts,
        groups=made.groups,
        session_ids=dict.fromkeys(made.ids, "01"),
        others=others or {},
        seed=1,
    )


@lru_cache(maxsize=1)
def planted():
    """Three folds and a final encoder, each with some noise of its own."""
    codes = MADE.codes(3, noise=0.2)
    rng = np.random.default_rng(0)
    return found(
        codes,
        others={
            "half[none]": (MADE.ids[:150], {k: c[:150] for k, c in MADE.codes(2, noise=0.2, seed=9).items()}),
            "noise": (MADE.ids, {"final": rng.normal(size=(200, 2))}),
        },
    )


def rows(table, result=None, **where):
    result = result or planted()
    return [row for row in result.tables[table][1] if all(row[k] == v for k, v in where.items())]


def labels(result):
    return [row["stratum"] for row in result.tables["strata"][1]]


def latent_rand():
    """The adjusted Rand index that the latents themselves give."""
    one = found({"final": MADE.latents}, strata={"resamples": 0}, statistics={"permutations": 0})
    return adjusted_rand(MADE.truth, labels(one))


def test_the_planted_strata_and_factors_are_found():
    assert latent_rand() > 0.9
    assert adjusted_rand(MADE.truth, labels(planted())) >= 0.9 * latent_rand()
    significant = rows("associations", analysis="plain", what="factor", significant=1)
    names = [row["name"].split(": ")[1].rsplit("_", 1)[0] for row in significant]
    named = {name.split("_1")[0].split("_2")[0].split("_3")[0] for name in names}
    assert named >= PLANTED_FACTORS
    assert len(significant) <= len(PLANTED_FACTORS) + 1
    assert all(row["p_permutation"] < 0.02 for row in significant)
    assert planted().summary["n_significant"] == len(significant)
    assert planted().summary["p_n_significant"] < 0.02


def test_the_consensus_is_of_all_encoders_and_says_how_often_they_agree():
    summary = planted().summary
    assert summary["of"] == "consensus" and summary["encoders"] == 3 and summary["n_strata"] == 4
    assert summary["sizes"] == sorted(summary["sizes"], reverse=True) and sum(summary["sizes"]) == 200
    share = [row["consensus_share"] for row in rows("strata")]
    assert 0.6 < np.mean(share) < 1 and max(share) <= 1
    assert len(rows("strata", exemplar=1)) == 4
    assert {row["stratum"] for row in rows("strata", exemplar=1)} == {1, 2, 3, 4}
    assert {row["source"] for row in rows("strata-grid")} == {
        f"{prefix}{source}"
        for prefix in ("", "adjusted-")
        for source in ("fold-1", "fold-2", "fold-3", "final", "consensus")
    }


def test_stability_tells_signal_from_noise():
    of = {row["what"]: row for row in rows("stability") if not row["configuration"]}
    assert of["bootstrap_ari"]["estimate"] > 0.7 > 0.1 > abs(of["random_ari"]["estimate"])
    assert of["bootstrap_ari"]["ci_low"] <= of["bootstrap_ari"]["estimate"] <= of["bootstrap_ari"]["ci_high"]
    assert of["fold_ari"]["n"] == 3 and of["final_ari"]["n"] == 200
    assert of["k_means_ari"]["estimate"] > 0.6
    assert of["adjusted_ari"]["estimate"] > 0.7
    assert abs(of["volume_alone_ari"]["estimate"]) < 0.1
    other = {row["configuration"]: row for row in rows("stability", what="other_ari")}
    assert other["half[none]"]["estimate"] > 0.6 and other["half[none]"]["n"] == 150
    assert abs(other["noise"]["estimate"]) < 0.1
    assert all(0 <= row["stability"] <= 1 for row in rows("strata"))


def test_lesion_volume_alone_explains_severity_and_no_planted_factor():
    (nihss,) = rows("associations", analysis="volume_alone", name="nihss")
    assert nihss["significant"] == 1 and nihss["effect"] > 0.2
    assert planted().summary["analyses"]["volume_alone"]["n_factors_significant"] <= 1


def test_pairs_are_compared_where_strata_differ():
    significant = rows("associations", analysis="plain", significant=1, test="kruskal_wallis")
    assert len(rows("posthoc")) == 6 * len(significant)
    assert all(row["p_holm"] >= row["p"] for row in rows("posthoc"))


def test_every_table_is_written_and_the_summary_is_json(tmp_path):
    for name, (columns, table) in planted().tables.items():
        write_table(tmp_path / f"{name}.tsv", table, columns)
        assert all(set(row) <= set(columns) for row in table), name
    assert set(planted().tables) == set(strata.COLUMNS)
    text = json.dumps(planted().summary, allow_nan=False)
    assert json.loads(text)["words"][0].startswith("4 strata of ")


def test_the_same_again_is_the_same():
    few = Made(60)
    codes = few.codes(2, noise=0.2)
    first, second = (found(codes, made=few, statistics={"permutations": 20}) for _ in range(2))
    assert first == second


def test_strata_are_the_same_whatever_phenotypes_are():
    rng = np.random.default_rng(0)
    few, other = Made(60), Made(60)
    for row in other.clinical.values():
        row.update({name: float(rng.normal()) for name in row if name != "sex"})
    codes = few.codes(2, noise=0.2)
    quick = {"strata": {"resamples": 0}, "statistics": {"permutations": 0}}
    assert labels(found(codes, made=few, **quick)) == labels(found(codes, made=other, **quick))


def test_an_embedding_of_noise_has_few_significant_factors():
    rng = np.random.default_rng(0)
    one = found({"final": rng.normal(size=(200, 2))}, strata={"of": "final", "resamples": 3})
    assert one.summary["n_significant"] <= 1
    assert adjusted_rand(MADE.truth, labels(one)) < 0.1


def test_where_everybody_is_the_same_nothing_is_tested_and_it_is_said():
    one = found({"fold-1": np.ones((200, 4)), "fold-2": np.zeros((200, 4)), "final": np.ones((200, 4))})
    assert set(labels(one)) == {1}
    assert one.tables["associations"][1] == [] and one.tables["posthoc"][1] == []
    assert one.summary["n_strata"] == 1 and one.summary["n_significant"] is None
    assert one.summary["words"] == [
        "No strata were found: no setting of affinity propagation gave two clusters that count (all similarities "
        "are equal), so nothing was tested."
    ]
    assert len(one.tables["map2d"][1]) == 200 and one.tables["factor-scores"][1]
    json.dumps(one.summary, allow_nan=False)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 5, 12])
def test_few_patients_are_no_defect(n):
    few = Made(n)
    rng = np.random.default_rng(0)
    codes = {name: rng.normal(size=(n, 32)) for name in ("fold-1", "fold-2", "final")}
    one = found(codes, made=few, strata={"components": "elbow"}, statistics={"permutations": 20})
    assert len(one.tables["strata"][1]) == n and one.summary["n"] == n
    assert set(one.summary) == set(planted().summary)
    json.dumps(one.summary, allow_nan=False)


def test_to_an_encoder_without_strata_everybody_is_together():
    codes = MADE.codes(2, noise=0.2) | {"fold-3": np.ones((200, 2))}
    one = found(codes, strata={"resamples": 2}, statistics={"permutations": 0})
    assert one.summary["encoders"] == 2 and "2 of 3 encoders" in one.summary["words"][0]
    assert adjusted_rand(MADE.truth, labels(one)) > 0.6
    assert rows("stability", one, what="bootstrap_ari")[0]["n"] == 2
    settings = section()["strata"]
    similarity = clusters.clustered(codes, settings, seed=1).similarity
    assert similarity.min() == pytest.approx(1 / 3)
    assert similarity.max() == 1


def test_where_fewer_than_half_of_the_encoders_find_strata_there_are_none():
    codes = MADE.codes(1, noise=0.2) | {f"fold-{k}": np.ones((200, 2)) for k in (2, 3)}
    one = found(codes, statistics={"permutations": 0})
    assert one.summary["n_strata"] == 1 and not rows("associations", one)
    assert one.summary["words"] == [
        "No strata were found: 1 of 3 encoders found any, fewer than half, so nothing was tested."
    ]


def test_what_cannot_be_regressed_out_is_named():
    quick = {"strata": {"resamples": 0}, "statistics": {"permutations": 0}}
    one = found(MADE.codes(1, noise=0.2), phenotypes={"adjust": ["age", "brain_ml"]}, **quick)
    assert one.summary["adjusted_for"] == ["age"]
    assert "Could not be regressed out: brain_ml (nobody has it)." in one.summary["words"]
    (row,) = rows("phenotypes-left-out", one, variable="brain_ml")
    assert row["why"] == "not regressed out: nobody has it" and row["missing"] == 1


def test_one_encoder_gives_the_strata_where_asked_or_where_there_is_no_other():
    codes = MADE.codes(2, noise=0.2)
    quick = {"statistics": {"permutations": 0}}
    one = found(codes, strata={"of": "final", "resamples": 2}, **quick)
    assert one.summary["of"] == "final"
    assert {row["consensus_share"] for row in rows("strata", one)} == {None}
    assert found({"fold-1": codes["fold-1"]}, strata={"resamples": 0}, **quick).summary["of"] == "fold-1"


def test_embeddings_that_do_not_hold_everybody_are_refused():
    with pytest.raises(ValueError, match="final has 199 rows; expected 200"):
        found({"final": MADE.latents[:-1]})


def test_new_patients_get_the_stratum_of_the_nearest_exemplar():
    codes = MADE.codes(2, noise=0.2)["final"]
    one = section()
    table = [{k: str(v) for k, v in row.items()} for row in rows("strata")]
    new = np.vstack([codes[:5], codes.mean(axis=0) + 40 * codes.std(axis=0)])
    given = strata.assigned(one, codes, MADE.ids, table, new, [*MADE.ids[:5], "sub-far"], seed=1)
    assert [row["participant_id"] for row in given] == [*MADE.ids[:5], "sub-far"]
    assert [row["beyond"] for row in given] == [0, 0, 0, 0, 0, 1]
    everybody = strata.assigned(one, codes, MADE.ids, table, codes, MADE.ids, seed=1)
    assert adjusted_rand([row["stratum"] for row in everybody], labels(planted())) > 0.6
    assert strata.assigned(one, codes, MADE.ids, table, codes[:0], [], seed=1) == []


def test_groups_by_volume_are_of_equal_frequency_and_keep_equal_volumes_together():
    groups = associations.by_volume(np.array([5.0, np.nan, 1, 2, 3, 4, 6]), 3)
    assert groups.tolist() == [3, 0, 1, 1, 2, 2, 3]
    tied = associations.by_volume(np.array([0.0, 0, 0, 0, 1, 2]), 3)
    assert len(set(tied[:4].tolist())) == 1


@pytest.mark.parametrize(
    ("within", "n_blocks", "n_cells"), [("family", None, 1), ("sex_age", 200, 8), ("none", 200, 1)]
)
def test_who_may_stand_for_whom(within, n_blocks, n_cells):
    blocks, cells = associations.blocks_of(within, MADE.ids, MADE.clinical, MADE.groups)
    assert len(set(blocks)) == (n_blocks or len(set(MADE.groups.values())))
    assert len(set(cells)) == n_cells


def test_the_number_of_significant_factors_has_its_level_where_nothing_differs():
    rng = np.random.default_rng(4)
    nothing = phenotypes.Singles({}, {}, ())
    rejected = []
    for draw in range(100):
        names = tuple("abcdef")
        scores = rng.normal(size=(60, 6))
        factors = phenotypes.Factors(names, scores, np.eye(6), names, (), ())
        one = associations.tested(
            rng.integers(1, 4, size=60), factors, nothing, analysis="plain", blocks=list(range(60)),
            cells=[""] * 60, statistics={"permutations": 99, "fdr": 0.2}, seed=draw,
        )  # fmt: skip
        rejected.append(one.p_n_significant <= 0.05)
    assert 0 < np.mean(rejected) <= 0.1


def test_twins_who_share_stratum_and_scores_make_no_factor_significant():
    rng = np.random.default_rng(6)
    names, twins = tuple("abcdef"), np.repeat(np.arange(60), 2)
    found_any = 0
    for draw in range(30):
        scores = rng.normal(size=(60, 6))[twins] + 0.2 * rng.normal(size=(120, 6))
        one = associations.tested(
            rng.integers(1, 4, size=60)[twins], phenotypes.Factors(names, scores, np.eye(6), names, (), ()),
            phenotypes.Singles({}, {}, ()), analysis="plain", blocks=twins.tolist(), cells=[""] * 120,
            statistics={"permutations": 299, "fdr": 0.05}, seed=draw,
        )  # fmt: skip
        found_any += bool(one.significant)
    assert found_any <= 5  # 17 of 30 by the χ² distribution


def test_levels_have_the_p_of_the_null_and_variables_a_rate_of_their_own():
    rng = np.random.default_rng(5)
    labels = np.repeat([1, 2], 30)
    levels = ["a"] * 26 + ["b"] * 8 + ["a"] * 2 + ["b"] * 24
    singles = phenotypes.Singles({"x": rng.normal(size=60)}, {"y": levels}, ())
    none = phenotypes.Factors((), np.empty((60, 0)), np.empty((0, 0)), (), (), ())
    one = associations.tested(
        labels, none, singles, analysis="plain", blocks=list(range(60)), cells=[""] * 60,
        statistics={"permutations": 199, "fdr": 0.05}, seed=0,
    )  # fmt: skip
    x, y = one.rows
    assert (x["name"], y["name"]) == ("x", "y")
    assert y["test"] == "chi_squared" and y["p"] == y["p_permutation"] == 1 / 200
    assert y["q"] == pytest.approx(2 / 200) and y["significant"] == 1 and x["significant"] == 0
    assert one.significant == () and one.p_n_significant is None
