"""Chapter 15: weighted rank correlations, parts of an error, sorts of cells, a rule of thumb."""

from __future__ import annotations

import json
import runpy

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from taskspace_utils import reference_run, store
from taskspace_utils.studies import first_order
from taskspace_utils.tables import read_table

TASKS = pd.DataFrame(
    {
        "family": np.repeat(["u", "v", "w", "x"], 2),
        "phenomenon": np.repeat(["one", "two"], 4),
        "bag_accuracy": [0.5, 1.0] * 4,
    },
    index=list("abcdefgh"),
)


def cells(rng, seeds=(1, 2, 3), noise=0.5, **about) -> pd.DataFrame:
    """Predictions, and measurements that are these with noise."""
    rows = [(seed, a, b) for seed in seeds for a in TASKS.index for b in TASKS.index if a != b]
    table = pd.DataFrame(rows, columns=["seed", "source", "target"])
    table["predicted"] = rng.normal(size=len(table))
    table["real"] = table["predicted"] + noise * rng.normal(size=len(table))
    return table.assign(**({"scale": "S", "step": 8, "k": 1.0} | about))


def test_weights_stand_for_repeated_rows():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 6, 40), rng.integers(0, 6, 40)  # many ties
    y = y + x
    weights = rng.integers(0, 4, size=(5, 40))
    found = first_order.weighted_rho(weights.astype(float), x, y)
    for weight, value in zip(weights, found, strict=True):
        slow = spearmanr(np.repeat(x, weight), np.repeat(y, weight)).statistic
        assert value == pytest.approx(slow, abs=1e-12)
    flat = first_order.weighted_rho(np.ones((1, 4)), np.ones(4), np.arange(4))
    assert np.isnan(flat).all()
    assert np.isnan(first_order.weighted_rho(np.zeros((1, 3)), np.arange(3), np.arange(3))).all()


def test_the_sharper_form_undoes_the_scale_of_the_other():
    """By hand: g = (3, 4) on train pairs, (2, 0) on eval pairs, the target's is (1, 1)."""
    own, asked = 0.6, 3.0  # nats on eval pairs; on train pairs
    cross_half, expected = own * 7 / 6, asked * 7 / 25
    about = {"seed": [1], "scale": "S", "step": 8, "k": 1.0, "source": "a"}
    table = pd.DataFrame({**about, "target": "b", "predicted": cross_half}, index=[5])
    known = pd.DataFrame({**about, "own": own, "asked": asked, "held": 6 / 25})
    assert first_order.sharper(table, known).to_dict() == {5: pytest.approx(expected)}


def test_errors_and_signs_by_hand():
    some = pd.DataFrame({"predicted": [1.0, -1.0, 2.0], "real": [2.0, 1.0, 2.0]})
    weights = np.array([[1.0, 1, 1], [0, 0, 1], [1, 0, 1]])
    found = first_order.relative_error(some)(weights)
    np.testing.assert_allclose(found, np.sqrt([5 / 9, 0, 1 / 8]))
    np.testing.assert_allclose(first_order.right_sign(some)(weights), [2 / 3, 1, 1])


def test_numbers_are_put_together_over_seeds():
    rng = np.random.default_rng(1)
    table = pd.concat([cells(rng), cells(rng, noise=5.0, step=2)])
    found = first_order.together(table, TASKS, first_order.rho, draws=199).set_index("step")
    each = table[table["step"] == 8].groupby("seed")[["predicted", "real"]].apply(
        lambda some: spearmanr(some["predicted"], some["real"]).statistic)  # fmt: skip
    row = found.loc[8]
    assert row["value"] == pytest.approx(each.mean())
    np.testing.assert_allclose(row[["lowest", "highest"]].astype(float), [each.min(), each.max()])
    assert row["low"] < row["value"] < row["high"]
    assert (row["seeds"], row["cells"]) == (3, 56)
    parts = [table[table["step"] == step] for step in (8, 2)]
    between = first_order.difference(*parts, TASKS, first_order.rho, draws=199)
    assert between["value"] == pytest.approx(row["value"] - found.loc[2, "value"])
    assert between["low"] > 0


def test_a_word_needs_an_interval():
    row = pd.Series({"low": 0.81, "high": 0.9})
    assert first_order.verdict("at least", 0.8, row) == "consistent"
    assert first_order.verdict("at least", 0.95, row) == "contrary"
    assert first_order.verdict("at least", 0.85, row) == "undetermined"
    assert first_order.verdict("at least", 0.8, row * np.nan) == "not attempted"


def walked(rng, power=1.0) -> pd.DataFrame:
    """Stops at three gains, whose relative errors grow with a power of the gain."""
    table = pd.concat([cells(rng, noise=0).assign(asked=gain) for gain in (0.1, 0.2, 3.0)])
    table = table.reset_index(drop=True)
    error = table["asked"] ** (1 + power) * rng.normal(size=len(table))
    table["real"] = table["asked"] * rng.normal(size=len(table))
    return table.assign(first=table["real"] + error, first_train=table["real"] + 0.9 * error,
                        on_way=table["real"] - 0.2 * error)  # fmt: skip


def test_parts_of_an_error_leave_nothing_over():
    walks = walked(np.random.default_rng(2))
    parts = first_order.parts(walks)
    np.testing.assert_allclose(parts.sum(axis=1), walks["first"] - walks["real"], atol=1e-12)
    weights = np.random.default_rng(3).random((4, len(walks)))
    shares = {part: first_order.of_error(part)(walks)(weights) for part in first_order.ERRORS}
    planted = {"gain": 0.1, "turn": 1.1, "bend": -0.2}
    for part, share in planted.items():
        np.testing.assert_allclose(shares[part], share)
    np.testing.assert_allclose(first_order.of_error("turn", "bend")(walks)(weights), 1.3)
    none = walks.assign(first=walks["real"], first_train=walks["real"], on_way=walks["real"])
    assert np.isnan(first_order.of_error("turn")(none)(weights)).all()


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_the_power_of_growth_is_found_again(power):
    walks = walked(np.random.default_rng(4), power)
    found = first_order.growth(walks)(np.ones((1, len(walks))))
    assert found[0] == pytest.approx(power, abs=0.25)


def test_sorts_of_cells_by_hand():
    table = pd.DataFrame({"source": ["a", "a", "c", "e"], "target": ["b", "c", "g", "a"],
                          "predicted": [1.0, -1.0, 1.0, 1.0]})  # fmt: skip
    table = table.assign(seed=1, scale="S", step=8, k=1.0)
    sources = pd.DataFrame({"source": list("abceg"), "reached": [1, 1, 0, 1, 1],
                            "reliability": [0.9, 0.9, 0.9, 0.2, 0.9],
                            "accuracy": [0.8, 1.0, 0.4, 0.8, 0.8]})  # fmt: skip
    found = first_order.kinds(table, sources.assign(seed=1, scale="S", step=8, k=1.0), TASKS)
    expected = {
        "source not reached": [0, 0, 1, 0], "source unreliable": [0, 0, 0, 1],
        "target solved before": [1, 0, 0, 0], "target below chance": [0, 1, 0, 0],
        "source of order only": [1, 1, 1, 1], "target of order only": [0, 1, 1, 1],
        "same family": [1, 0, 0, 0], "same phenomenon, other family": [0, 1, 0, 0],
        "different phenomena": [0, 0, 1, 1], "predicted to fall": [0, 1, 0, 0],
    }  # fmt: skip
    for name, values in expected.items():
        assert found[name].astype(int).tolist() == values, name


def test_the_sort_that_is_badly_predicted_stands_out():
    rng = np.random.default_rng(5)
    table = cells(rng, noise=0.1)
    bad = (table["source"] == "a").to_numpy()
    table.loc[bad, "real"] = rng.normal(size=bad.sum())
    sorts = pd.DataFrame({"all cells": True, "bad": bad, "good": ~bad, "too few": False})
    found = first_order.by_kind(table, sorts, TASKS, draws=99)
    assert list(found.index) == ["all cells", "bad", "good"]
    assert found.loc["bad", "error"] > 0.8 > 0.2 > found.loc["good", "error"]
    assert found.loc["bad", "share of cells"] == pytest.approx(bad.mean())
    assert found.loc["good", "ρ low"] > found.loc["bad", "ρ"]


def test_a_rule_of_thumb_is_found_where_it_was_planted():
    rng = np.random.default_rng(6)
    expected = rng.uniform(0, 1, 400)
    rho = np.where(expected < 0.3, 0.9, 0.1)
    some = pd.DataFrame({"expected": expected, "rho": rho})
    # four in five: the badly predicted ones beyond 0.3 may be a fifth of all that are trusted
    assert first_order.longest_trusted(some, 0.8) == pytest.approx(0.3 / 0.8, abs=0.02)
    assert first_order.longest_trusted(some, 0.95) == 0.0
    assert first_order.longest_trusted(some, 0.05) == expected.max()
    assert first_order.longest_trusted(some.iloc[:0], 0.8) == 0.0


def test_correlations_of_all_groups_are_those_of_each():
    table = cells(np.random.default_rng(8)).round({"predicted": 1, "real": 1})  # with ties
    table.loc[table["source"] == "b", "real"] = 1.0
    found = first_order.rank_correlations(table, ["seed", "source"])
    for key, some in table.groupby(["seed", "source"]):
        if key[1] == "b":
            assert np.isnan(found[key])
        else:
            slow = spearmanr(some["predicted"], some["real"]).statistic
            assert found[key] == pytest.approx(slow)


def test_a_source_has_the_correlation_of_its_own_targets():
    table = cells(np.random.default_rng(7))
    table.loc[table["source"] == "a", "real"] = -table["predicted"]
    known = table[["seed", "scale", "step", "k", "source"]].drop_duplicates().assign(expected=1.0)
    found = first_order.by_source(table, known)
    assert len(found) == 24
    assert (found.loc[found["source"] == "a", "rho"] == -1).all()
    assert (found.loc[found["source"] != "a", "rho"] > 0).all()


# ---------------------------------------------------------------------------- the shipped reference


def test_the_shipped_predictions_are_whole_and_those_of_the_shipped_spaces():
    """At step 800 they are worked out again from the tables of data/reference/grammar."""
    folder = store.data_path("reference", "prediction")
    about = json.loads((folder / "manifest.json").read_text())
    script = runpy.run_path(str(store.project_root() / "scripts" / "predict.py"))
    assert about["seeds"] == list(script["SEEDS"])
    assert about["grammar"] == store.tree_hash(store.data_path("grammar").glob("*.yml"))
    found = {name: read_table(folder / f"{name}.csv.xz") for name in ("cells", "sources", "walks")}
    keys = ["scale", "seed", "step", "k"]
    assert set(found["cells"].groupby(keys).size()) == {50 * 49}
    assert set(found["sources"].groupby(keys).size()) == {50}
    assert set(found["walks"].groupby([*keys, "source", "asked"]).size()) == {50}
    run, where = reference_run("grammar"), "scale == 'S' and seed == 2 and step == 800"
    real = run.table("transfer").query(where + " and tuning == 'differential-k1-g3'")
    real = real.assign(d=real["margin_after"] - real["margin_before"])
    real = real.set_index(["source", "target"])["d"]
    dots = run.table("gradient").query(where).set_index(["a", "b"])["dot"]
    some = found["cells"].query(where + " and k == 1").set_index(["source", "target"])
    np.testing.assert_allclose(some["real"], real[some.index], rtol=1e-3, atol=1e-6)
    for source, target in list(some.index)[::97]:
        expected = real[source, source] * dots[source, target] / dots[source, source]
        assert some.loc[(source, target), "predicted"] == pytest.approx(expected, rel=3e-3)


def test_walks_end_where_the_shipped_lessons_do():
    """A walk's last stop is the lesson of the transfer space: the same changes of margins."""
    folder = store.data_path("reference", "prediction")
    walks = read_table(folder / "walks.csv.xz")
    cells = read_table(folder / "cells.csv.xz")
    last = walks[walks["asked"] == walks["asked"].max()]
    keys = ["scale", "seed", "step", "k", "source", "target"]
    both = last.merge(cells, on=keys, suffixes=("", "_swept"))
    assert len(both) > 3000
    assert (both["real"] - both["real_swept"]).abs().max() < 2e-3
    near = (both["first"] - both["predicted"]).abs() <= 2e-2 * both["predicted"].abs() + 1e-3
    assert near.mean() > 0.99
