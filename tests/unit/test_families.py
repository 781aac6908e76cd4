"""Intervals and tests by family, on tables worked by hand and on spaces with known structure."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from taskspace_utils import families, hypotheses, spaces

from .test_spaces import FOUR, GROUPS, random_space


def of(n: int, size: int = 2) -> pd.Series:
    return pd.Series({f"t{i:02}": f"f{i // size}" for i in range(n)})


def test_cells_are_those_of_tasks_that_have_values_everywhere():
    gap = FOUR.copy()
    gap.loc["a", "b"] = gap.loc["b", "a"] = np.nan
    found = families.cell_table({"one": FOUR, "gap": gap})
    assert found[["a", "b"]].to_numpy().tolist() == [["b", "c"], ["b", "d"], ["c", "d"]]
    assert found["one"].tolist() == [0.3, 0, 0.5]
    assert len(families.cell_table({"one": FOUR}, ordered=True)) == 12


def test_a_bootstrap_by_family_is_one_of_family_means_where_families_are_of_one_size():
    """Three families of two tasks each: 27 draws, whose means can be written down."""
    table = pd.DataFrame({"a": list("uvwxyz"), "value": [0.0, 0, 3, 3, 6, 6]})
    family = pd.Series(dict(zip("uvwxyz", "ppqqrr", strict=True)))
    found = families.bootstrap(table, lambda t: t["value"].mean(), family, ("a",), 4000).iloc[0]
    # 0 and 6 each need one draw of 27, 1 and 5 three: beyond 2.5 % at either end lies 0 alone
    assert found.tolist() == [3, 0, 6]
    inner = families.bootstrap(table, lambda t: t["value"].mean(), family, ("a",), 4000, level=0.8)
    assert inner.iloc[0].tolist() == [3, 1, 5]


def test_a_cell_counts_as_often_as_both_its_families_were_drawn():
    table = pd.DataFrame({"a": ["u", "u"], "b": ["v", "w"], "value": [1.0, 1.0]})
    family = pd.Series({"u": "p", "v": "p", "w": "q", "x": "r"})
    sizes = []
    families.bootstrap(pd.concat([table, pd.DataFrame({"a": ["x"], "b": ["u"], "value": [1.0]})]),
                       lambda t: sizes.append(len(t)) or 0.0, family, draws=60)  # fmt: skip
    times = [(p, q, 3 - p - q) for p in range(4) for q in range(4 - p)]
    assert set(sizes[1:]) <= {p + p * q + r * p for p, q, r in times}


def test_weights_of_cells_draw_families_whole():
    one, other = ["x", "x", "y"], ["x", "y", "y"]
    seen = set()

    def statistic(weight):
        seen.add(tuple(weight))
        return weight.sum()

    low, high = families.interval(statistic, one, other, draws=50)
    assert seen == {(1, 1, 1), (2, 0, 0), (0, 0, 2)}
    assert low >= 2
    assert high <= 3
    assert np.isnan(families.interval(lambda weight: np.nan, one, other)).all()


def test_too_few_families_have_no_interval_and_say_so():
    table = pd.DataFrame({"a": list("uv"), "value": [1.0, 2.0]})
    found = families.bootstrap(table, lambda t: t["value"].mean(), pd.Series({"u": "p"}), ("a",))
    assert np.isnan(found[["low", "high"]].to_numpy()).all()
    assert families.say(found.iloc[0]) == "1.50 [no interval]"
    assert families.say(pd.Series({"value": np.nan, "low": np.nan, "high": 1.0})) == "no number"
    assert (
        families.say(pd.Series({"value": 0.5, "low": 0.25, "high": 1}), ".0%") == "50% [25%, 100%]"
    )


def test_the_space_of_families_worked_by_hand():
    found = families.by_family(FOUR, GROUPS)
    assert found.index.tolist() == found.columns.tolist() == ["x", "y"]
    assert found.loc["x", "y"] == found.loc["y", "x"] == pytest.approx((0.1 + 0.2 + 0.3 + 0) / 4)
    gap = FOUR.copy()
    gap.loc["a", "c"] = gap.loc["c", "a"] = np.nan
    assert families.by_family(gap, GROUPS).loc["x", "y"] == pytest.approx((0.2 + 0.3 + 0) / 3)
    alone = families.by_family(FOUR, pd.Series(dict(zip("abcd", "wxyz", strict=True))))
    np.testing.assert_allclose(alone, FOUR)  # families of one task are the tasks


def test_likeness_within_families_is_no_likeness_beyond_them():
    """Blocks of two alike tasks and nothing else; phenomena of two families each."""
    family = of(16)
    phenomenon = pd.Series({task: f"p{int(name[1:]) // 2}" for task, name in family.items()})
    space = random_space(16, 0) * 0.01
    same = family.to_numpy()[:, None] == family.to_numpy()
    space = space + same.astype(float)
    found = families.within_between(space, phenomenon, family, 199, 199)
    assert found.loc["difference", "p"] <= 0.05
    assert found.loc["difference", "low"] > 0.2
    assert abs(found.loc["beyond", "value"]) < 0.01
    assert found.loc["beyond", "low"] < 0 < found.loc["beyond", "high"]
    assert found.loc["beyond", "p"] > 0.05
    assert found["n"].tolist() == [24, 96, 120, 112]


def test_what_families_do_share_is_found_beyond_them():
    family = of(16)
    phenomenon = pd.Series({task: f"p{int(name[1:]) // 2}" for task, name in family.items()})
    same = phenomenon.to_numpy()[:, None] == phenomenon.to_numpy()
    space = random_space(16, 0) * 0.05 + same.astype(float)
    found = families.within_between(space, phenomenon, family, 199, 199).loc["beyond"]
    assert found["value"] == pytest.approx(1, abs=0.1)
    assert found["p"] <= 0.05


def test_numbers_are_those_of_the_method_rooms():
    one, other, family = random_space(12, 1), random_space(12, 2), of(12)
    found = families.agreement(one, other, family, 99, 49)
    assert found.loc["all", ["value", "p"]].tolist() == pytest.approx(
        list(spaces.agreement(one, other, 99))
    )
    both = {"x": other, "z": random_space(12, 3)}
    known = hypotheses.regress(one, both, 99)
    mine = families.regress(one, both, family, 99, 49)
    pd.testing.assert_frame_equal(mine[known.columns], known)
    table = families.cell_table({"space": one, **both})
    assert families.slopes(table, ["x", "z"]).tolist() == pytest.approx(known["slope"].tolist())
    assert (mine["low"] < mine["slope"]).all()
    assert (mine["slope"] < mine["high"]).all()
    assert set(mine["n_families"]) == {6}


def test_nearest_tasks_are_counted_as_in_spaces():
    found = families.nearest(FOUR, GROUPS, pd.Series(dict(zip("abcd", "wxyz", strict=True))))
    assert found["value"].item() == spaces.nearest_shares_group(FOUR, GROUPS)
    one = random_space(12, 4)
    groups = of(12, 3)
    found = families.nearest(one, groups, of(12), 99).iloc[0]
    assert found["value"] == pytest.approx(spaces.nearest_shares_group(one, groups))
    assert found["low"] <= found["value"] <= found["high"]


def test_what_says_nothing_between_families_has_no_p_there():
    family = of(12)
    inside = hypotheses.same_label(family.rename("f").rename_axis("task").reset_index(), "f")
    found = families.regress(random_space(12, 5), {"inside": inside}, family, 49, 49)
    assert found["p"].notna().all()
    assert found["p_families"].isna().all()
    few = random_space(6, 5)
    x = {"x": random_space(6, 6)}
    assert families.regress(few, x, of(6), 49, 49)["p_families"].isna().all()
