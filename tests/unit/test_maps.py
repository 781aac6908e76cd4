"""Maps turned onto one another, and stress beside that of spaces without structure."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from taskspace_utils import maps
from taskspace_utils.studies import nulls

NAMES = [f"t{i:02}" for i in range(12)]
FAMILY = pd.Series({name: f"f{i // 2}" for i, name in enumerate(NAMES)})


def points(seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(rng.normal(size=(12, 2)), index=NAMES, columns=["x", "y"])


def turned(one: pd.DataFrame, angle: float = 1.0, mirrored: bool = True) -> pd.DataFrame:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn = turn @ np.diag([1, -1 if mirrored else 1])
    return pd.DataFrame(one.to_numpy() @ turn + [3, 4], index=one.index, columns=["x", "y"])


def test_a_turned_and_mirrored_map_comes_back():
    one = points()
    some = turned(one).iloc[::-1].drop(index="t03")
    found = maps.aligned({"here": one, "there": some}, "here")
    np.testing.assert_allclose(found["here"], one, atol=1e-12)
    pd.testing.assert_frame_equal(found["there"], one.loc[some.index], atol=1e-9)
    smaller = maps.aligned({"here": one, "there": turned(one) / 2}, "here")["there"]
    assert np.ptp(smaller["x"]) == pytest.approx(np.ptp(one["x"]) / 2)  # nothing is stretched


def test_disparity_is_zero_for_the_same_map_and_large_for_another():
    one = points()
    same = maps.disparity(one, turned(one) * 7, FAMILY, 99, 49)
    assert same["disparity"] == pytest.approx(0, abs=1e-12)
    assert same["p"] == 1 / 100
    other = maps.disparity(one, points(1), FAMILY, 99, 49)
    assert other["disparity"] > 0.4
    assert other["p"] > 0.05
    assert other["low"] < other["disparity"] < 1
    assert other["n"] == 12


def test_a_flat_space_has_less_stress_than_any_without_structure():
    at = points().to_numpy() / 4
    distance = np.linalg.norm(at[:, None] - at, axis=-1)
    found = maps.stress(pd.DataFrame(1 - distance, NAMES, NAMES), permutations=19)[1]
    assert found["stress"] < 1e-2 < min(found["random"], found["shuffled"])
    assert found["p_shuffled"] == found["p_random"] == 1 / 20


def test_random_vectors_beat_shuffled_cells_but_not_each_other():
    """Why there are two comparisons: a table of cells in random places is no table of things."""
    rng = np.random.default_rng(0)
    family = pd.Series({f"t{i:02}": f"t{i}" for i in range(16)})
    p = [maps.stress(nulls.null_space(family, False, rng), True, 9, i)[1] for i in range(6)]
    table = pd.DataFrame(p)
    assert (table["shuffled"] > table["random"]).all()
    assert table["p_random"].min() < 1
    assert table["p_random"].mean() > 0.2
