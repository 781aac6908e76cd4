"""Spaces of four tasks worked by hand, and tests whose false alarms are counted."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest, spearmanr

from taskspace_utils import spaces

NAMES = list("abcd")
GROUPS = pd.Series({"a": "x", "b": "x", "c": "y", "d": "y"})


def space(rows: list, names: list[str] = NAMES) -> pd.DataFrame:
    return pd.DataFrame(np.array(rows, dtype=float), index=names, columns=names)


FOUR = space([[1, 0.9, 0.1, 0.2], [0.9, 1, 0.3, 0], [0.1, 0.3, 1, 0.5], [0.2, 0, 0.5, 1]])


def random_space(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    full = rng.normal(size=(n, n))
    names = [f"t{i:02}" for i in range(n)]
    return pd.DataFrame((full + full.T) / 2, index=names, columns=names)


def test_a_long_table_becomes_a_square_one_whatever_the_order_of_its_rows():
    table = pd.DataFrame(
        [("b", "a", 3), ("a", "a", 1), ("b", "b", 4), ("a", "b", 2)], columns=["a", "b", "x"]
    )
    found = spaces.square(table, "x")
    assert found.to_numpy().tolist() == [[1, 2], [3, 4]]
    assert found.index.tolist() == found.columns.tolist() == ["a", "b"]


def test_tasks_are_shown_by_phenomenon_then_name():
    tasks = pd.DataFrame(
        {"task": ["d", "c", "b", "a", "z"], "phenomenon": ["p", "q", "q", "q", "p"]}
    )
    found = spaces.ordered(FOUR, tasks)
    assert found.index.tolist() == found.columns.tolist() == ["d", "a", "b", "c"]
    assert found.loc["c", "d"] == FOUR.loc["c", "d"]


def transfer_table(change: list) -> pd.DataFrame:
    rows = [
        {"source": s, "target": t, "margin_before": 1.5, "margin_after": 1.5 + change[i][j]}
        for i, s in enumerate("ab") for j, t in enumerate("ab")
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_transfer_raw_and_relative_worked_by_hand():
    table = transfer_table([[2.0, -1.0], [0.5, 4.0]])
    np.testing.assert_allclose(spaces.transfer(table), [[2, -1], [0.5, 4]])
    np.testing.assert_allclose(spaces.transfer(table, relative=True), [[1, -0.5], [0.125, 1]])
    for own in (0.0, -2.0, np.nan):  # a row that gained nothing has no relative transfer
        found = spaces.transfer(transfer_table([[own, -1.0], [0.5, 4.0]]), relative=True)
        assert found.loc["a"].isna().all()
        np.testing.assert_allclose(found.loc["b"], [0.125, 1])


def test_excess_asymmetry_is_what_the_norms_do_not_explain():
    """To first order τ_AB = ⟨g_A, g_B⟩ / ‖g_A‖², and nothing is left."""
    rng = np.random.default_rng(0)
    g = rng.normal(size=(4, 50)) * [[1], [3], [0.2], [7]] + 1
    norms = pd.Series(np.linalg.norm(g, axis=1), index=NAMES)
    relative = space(g @ g.T / np.diag(g @ g.T)[:, None])
    positive = (relative > 0).to_numpy()
    found = spaces.excess_asymmetry(relative, norms[::-1]).to_numpy()
    np.testing.assert_allclose(found[positive], 0, atol=1e-12)
    assert np.isnan(found[~positive]).all()
    relative.loc["a", "b"] *= np.e**2  # twice one nat more than explained, one way only
    found = spaces.excess_asymmetry(relative.abs(), norms)
    assert found.loc["a", "b"] == pytest.approx(2)
    assert found.loc["b", "a"] == pytest.approx(-2)


def test_symmetric_and_cells_worked_by_hand():
    one = space([[1, 2, 3], [4, 5, 6], [7, 8, 9]], list("abc"))
    found = spaces.symmetric(one)
    assert found.to_numpy().tolist() == [[1, 3, 5], [3, 5, 7], [5, 7, 9]]
    assert spaces.cells(found).tolist() == [3, 5, 7]


def test_a_space_agrees_with_itself():
    one = random_space(8, 0)
    r, p = spaces.agreement(one, one)
    assert r == pytest.approx(1)
    assert p == pytest.approx(1 / 1000)
    assert spaces.agreement(one, -one)[0] == pytest.approx(-1)
    shuffled = one.sample(frac=1, random_state=1)[one.columns[::-1]]
    shuffled = shuffled[shuffled.index]
    assert spaces.agreement(one, shuffled)[0] == pytest.approx(1)  # tasks are known by name
    assert spaces.agreement(one, np.exp(one))[0] == pytest.approx(1)  # ranks only


def test_agreement_is_spearman_over_the_tasks_that_both_have():
    one, other = random_space(9, 1), random_space(9, 2)
    upper = np.triu_indices(9, 1)
    plain = spearmanr(one.to_numpy()[upper], other.to_numpy()[upper]).statistic
    assert spaces.agreement(one, other, permutations=1)[0] == pytest.approx(plain)
    gap = other.copy()
    gap.loc["t03", :] = gap.loc[:, "t03"] = np.nan
    kept = [n for n in one.index if n != "t03"]
    expected = spaces.agreement(one.loc[kept, kept], other.loc[kept, kept])
    assert spaces.agreement(one, gap) == expected
    assert spaces.agreement(one.loc[kept, kept], other) == expected
    assert np.isnan(spaces.agreement(one.iloc[:3, :3], other.iloc[:3, :3])).all()


def test_the_p_of_an_agreement_is_that_of_all_permutations():
    """Five tasks have 120 orders: the drawn p must be near the exact one."""
    one, other = random_space(5, 3), random_space(5, 4)
    upper = np.triu_indices(5, 1)
    found = spearmanr(one.to_numpy()[upper], other.to_numpy()[upper]).statistic
    every = [
        spearmanr(one.to_numpy()[upper], other.to_numpy()[np.ix_(o, o)][upper]).statistic
        for o in map(list, itertools.permutations(range(5)))
    ]
    exact = np.mean(np.abs(every) >= abs(found) - 1e-12)
    assert spaces.agreement(one, other, 999)[1] == pytest.approx(exact, abs=0.05)


def test_p_values_are_uniform_where_nothing_is_to_find():
    agree, groups = [], pd.Series({f"t{i:02}": "ab"[i % 2] for i in range(8)})
    within = []
    for seed in range(100):
        one, other = random_space(8, 2 * seed), random_space(8, 2 * seed + 1)
        agree.append(spaces.agreement(one, other, 39, seed)[1])
        within.append(spaces.within_between(one, groups, 39, seed)["p"])
    for found in (agree, within):
        assert np.mean(np.array(found) <= 0.05) <= 0.12
        assert kstest(found, "uniform").pvalue > 0.01


def test_complete_drops_the_tasks_with_the_most_gaps():
    gap = FOUR.copy()
    gap.loc["b", "c"] = gap.loc["b", "d"] = np.nan
    assert spaces.complete(gap).index.tolist() == ["a", "c", "d"]
    assert spaces.complete(FOUR).equals(FOUR)
    assert spaces.complete(FOUR * np.nan).empty


def test_within_and_between_worked_by_hand():
    found = spaces.within_between(FOUR, GROUPS, permutations=2000)
    assert found["within"] == pytest.approx((0.9 + 0.5) / 2)
    assert found["between"] == pytest.approx((0.1 + 0.2 + 0.3 + 0) / 4)
    assert found["difference"] == pytest.approx(0.7 - 0.15)
    assert (found["n_within"], found["n_between"]) == (2, 4)
    # of the three ways to pair four tasks, ab|cd is the best: exactly one order in three
    assert found["p"] == pytest.approx(1 / 3, abs=0.04)


def test_within_and_between_leave_gaps_out():
    gap = FOUR.copy()
    gap.loc["a", "b"] = gap.loc["b", "a"] = gap.loc["a", "c"] = gap.loc["c", "a"] = np.nan
    found = spaces.within_between(gap, GROUPS)
    assert found["within"] == pytest.approx(0.5)
    assert found["between"] == pytest.approx((0.2 + 0.3 + 0) / 3)
    assert (found["n_within"], found["n_between"]) == (1, 3)
    alone = spaces.within_between(FOUR, pd.Series(dict(zip(NAMES, "wxyz", strict=True))))
    assert np.isnan([alone["within"], alone["p"]]).all()


def test_the_nearest_task_worked_by_hand():
    assert spaces.nearest_shares_group(FOUR, GROUPS) == 1.0
    other = pd.Series({"a": "x", "b": "y", "c": "x", "d": "y"})
    assert spaces.nearest_shares_group(FOUR, other) == 0.0
    # e is alone in its group, so it can't be right and isn't counted
    five = pd.DataFrame(np.eye(5), index=[*NAMES, "e"], columns=[*NAMES, "e"])
    five.loc[NAMES, NAMES] = FOUR
    five.loc["c", "e"] = five.loc["e", "c"] = 0.8
    groups = pd.concat([GROUPS, pd.Series({"e": "z"})])
    assert spaces.nearest_shares_group(five, groups) == 3 / 4
    five.loc["a", :] = np.nan  # a task without values has no nearest one
    assert spaces.nearest_shares_group(five, groups) == pytest.approx(2 / 3)


def test_a_map_of_a_flat_space_is_that_space():
    """Similarities made from points on a plane: their distances come back, whatever the axes."""
    rng = np.random.default_rng(0)
    points = rng.uniform(size=(7, 2))
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    names = [f"t{i}" for i in range(7)]
    found, stress, shuffled = spaces.task_map(space(1 - distance, names), permutations=5)
    back = np.linalg.norm(found.to_numpy()[:, None] - found.to_numpy()[None], axis=-1)
    np.testing.assert_allclose(back, distance, atol=1e-3)
    assert stress < 1e-3 < shuffled
    assert found.var()["x"] >= found.var()["y"]
    np.testing.assert_allclose(found.mean(), 0, atol=1e-9)


def test_maps_do_not_depend_on_the_order_of_tasks_and_know_signs():
    names = NAMES[::-1]
    one = spaces.task_map(FOUR)[0]
    pd.testing.assert_frame_equal(
        spaces.task_map(FOUR.loc[names, names])[0].loc[NAMES], one, atol=1e-4
    )
    opposite = space([[1, -1, 0], [-1, 1, 0], [0, 0, 1]], list("abc"))

    def apart(signed: bool) -> float:
        found = spaces.task_map(opposite, signed=signed)[0]
        return float(np.linalg.norm(found.loc["a"] - found.loc["b"]))

    assert apart(True) == pytest.approx(2, abs=0.05)
    assert apart(False) == pytest.approx(0, abs=0.05)
