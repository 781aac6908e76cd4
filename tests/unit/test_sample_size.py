"""How many pairs: the formula against what more signal and the same noise give."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from taskspace_utils.sample_size import advice, couples, needed, projected, table, torn

from . import toys


def cosine_of_halves(signal: float, noise: float, pairs: float) -> float:
    """What the cosine of two halves' gradients tends to in many dimensions: s² / (s² + σ²/n)."""
    return signal**2 / (signal**2 + noise**2 / (pairs / 2))


@pytest.mark.parametrize(("signal", "noise"), [(1.0, 3.0), (0.4, 5.0), (2.0, 0.5)])
@pytest.mark.parametrize("factor", [0.25, 1, 2, 7])
def test_the_formula_is_what_averaging_noise_does(signal, noise, factor):
    before = cosine_of_halves(signal, noise, 80)
    assert projected(before, factor) == pytest.approx(cosine_of_halves(signal, noise, 80 * factor))


@pytest.mark.parametrize("wanted", [0.3, 0.5, 0.9])
def test_with_so_many_pairs_it_is_reached_and_with_two_fewer_it_is_not(wanted):
    measured = cosine_of_halves(1.0, 4.0, 60)
    pairs = needed(measured, 60, wanted)
    assert pairs % 2 == 0
    assert cosine_of_halves(1.0, 4.0, pairs) >= wanted - 1e-9
    assert cosine_of_halves(1.0, 4.0, pairs - 2) < wanted


def test_simulated_gradients_follow_it():
    rng, size = np.random.default_rng(0), 4000
    signal = rng.normal(size=size)

    def halves(pairs):
        one, other = (signal + rng.normal(size=(pairs // 2, size), scale=3).mean(0) for _ in "ab")
        return one @ other / np.linalg.norm(one) / np.linalg.norm(other)

    assert projected(halves(8), 8) == pytest.approx(halves(64), abs=0.06)


def test_where_the_halves_have_nothing_in_common_no_number_is_told():
    assert math.isinf(needed(0.0, 60))
    assert math.isinf(needed(-0.3, 60))
    assert math.isinf(needed(math.nan, 60))
    assert needed(1.0, 60) == 60
    with pytest.raises(ValueError, match="between 0 and 1"):
        needed(0.5, 60, 1.0)


def test_the_table_has_a_column_for_each_wanted_reliability():
    tasks = pd.DataFrame({"task": ["a", "b"], "n": [40, 40], "reliability": [0.5, -0.1]})
    found = table(tasks)
    assert list(found.columns) == ["task", "n", "reliability", "for 0.5", "for 0.7", "for 0.9"]
    assert found.loc[0, "for 0.5":].tolist() == [40, 94, 360]
    assert np.isinf(found.loc[1, "for 0.5":].to_numpy(float)).all()


def test_tasks_that_go_both_ways_are_told_to_keep_their_pairs_together():
    crossed = [(f"{n} since May .", f"{n} for May .") for n in "abcd"]
    crossed += [(f"{n} for days .", f"{n} since days .") for n in "abc"]
    pairs = toys.pairs_of({
        "crossed": crossed,
        "one_way": [(f"the {n} laughs .", f"the {n} laugh .") for n in "abcd"],
        "order": [(f"{n} it up .", f"{n} up it .") for n in "abcd"],
    })  # fmt: skip
    assert torn(pairs) == ["crossed"]
    assert "same `item`" in advice(pairs)
    kept = pairs.assign(item=["0", "1", "2", "3", "0", "1", "2"] + 8 * [""])
    assert torn(kept) == []
    assert advice(kept) == ""
    assert torn(pairs.drop(index=[4, 5, 6])) == [], "nothing goes the other way"


def test_a_pair_and_its_opposite_share_an_item_and_nobody_has_two_opposites():
    both = [("a since May .", "a for May ."), ("b for days .", "b since days .")]
    pairs = toys.pairs_of({
        "crossed": [*both, ("c since noon .", "c for noon ."), ("d it up .", "d up it .")],
        "other": [("e for years .", "e since years .")],  # its opposite is in another task
    })  # fmt: skip
    pairs = pairs.sample(frac=1, random_state=3)
    items = couples(pairs)
    assert items.index.equals(pairs.index)
    coupled = pairs[items != ""]
    assert set(coupled["task"]) == {"crossed"}
    assert len(coupled) == 2
    assert items[items != ""].nunique() == 1
    assert {good.split()[1] for good in coupled["good"]} == {"since", "for"}
