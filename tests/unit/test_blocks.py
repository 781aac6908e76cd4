"""Placement: the same cosines as the gradient space, and intervals that hold what they should."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from taskspace_utils import blocks, gradients
from taskspace_utils.blocks import BLOCKS
from taskspace_utils.store import InputError

from . import toys


@pytest.fixture(scope="module")
def pairs() -> pd.DataFrame:
    return toys.english(16)


@pytest.fixture(scope="module")
def placed(pairs) -> pd.DataFrame:
    return blocks.placement(toys.gpt2(), pairs, ["agree", "reflexive"], draws=50)


def test_its_cosines_are_those_of_the_gradient_space(pairs, placed):
    space, facts = gradients.gradient_space(toys.gpt2(), pairs)
    both = placed.merge(space, on=["a", "b"], suffixes=("", "_space"))
    assert len(both) == len(placed) == 2 * 3
    np.testing.assert_allclose(both["cosine"], both["cosine_space"], atol=1e-5)
    off = both[both["a"] != both["b"]]
    np.testing.assert_allclose(off["corrected"], off["cosine_corrected"], atol=1e-4)
    own = both[both["a"] == both["b"]].set_index("a")["cosine"]
    reliability = facts.set_index("task")["reliability"]
    np.testing.assert_allclose(own, reliability[own.index], atol=1e-5)


def test_its_columns_and_their_ranges(placed):
    assert (placed["low"] <= placed["high"]).all()
    others = placed[placed["a"] != placed["b"]]
    for column in ("nearest", "above_flips"):
        assert others[column].between(0, 1).all()
    shares = others.groupby("a")["nearest"].sum()
    assert shares.to_numpy() == pytest.approx(1)
    again = blocks.placement(toys.gpt2(), toys.english(16), ["agree", "reflexive"], draws=50)
    pd.testing.assert_frame_equal(again, placed)


def test_pairs_that_are_all_alike_leave_no_doubt():
    """Where every block is the same, redrawing changes nothing, and swapping leaves nothing."""
    one = {"agree": [("the cat sleeps .", "the cat sleep .")] * 12,
           "plural": [("the dogs see .", "the dogs sees .")] * 12}  # fmt: skip
    found = blocks.placement(toys.gpt2(), toys.pairs_of(one), ["agree"], draws=20)
    np.testing.assert_allclose(found["low"], found["cosine"], atol=1e-5)
    np.testing.assert_allclose(found["high"], found["cosine"], atol=1e-5)
    assert found.set_index("b").loc["plural", "above_flips"] == 1


def test_redrawn_cosines_are_those_of_redrawn_gradients():
    """Against plain vectors that are added up anew for each draw."""
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 2 * BLOCKS, 40))
    inside = np.stack([x @ x.T for x in (a, b)])
    drawn = [rng.integers(0, 3, size=(2, 5, BLOCKS)) + 0.5 for _ in "ab"]
    value, again = blocks._both_ways(a @ b.T, inside, tuple(drawn))

    def cosine(d, mine, its):
        x = drawn[0][mine][d] @ a[mine * BLOCKS : (mine + 1) * BLOCKS]
        y = drawn[1][its][d] @ b[its * BLOCKS : (its + 1) * BLOCKS]
        return x @ y / np.linalg.norm(x) / np.linalg.norm(y)

    expected = [(cosine(d, 0, 1) + cosine(d, 1, 0)) / 2 for d in range(5)]
    assert [value, *again] == pytest.approx(expected)


def test_intervals_hold_the_true_cosine_about_as_often_as_they_say(monkeypatch):
    rng, size = np.random.default_rng(2), 300
    truth = rng.normal(size=(2, size))
    truth[1] = 0.5 * truth[0] + 0.8 * truth[1]
    own = [np.linalg.norm(t) ** 2 for t in truth]
    corrected = truth[0] @ truth[1] / np.sqrt(own[0] * own[1])
    hits = []
    for seed in range(60):
        some = [t + rng.normal(size=(2 * BLOCKS, size), scale=1.5) for t in truth]
        dots = np.stack([[some[0] @ other.T for other in some]])
        inside = np.stack([x @ x.T for x in some])
        made = (dots, inside, [(BLOCKS, BLOCKS)] * 2)
        monkeypatch.setattr(blocks, "_products", lambda *_, made=made: made)
        pairs = toys.pairs_of({"a": [("x", "y")] * 4, "b": [("x", "y")] * 4})
        row = blocks.placement(None, pairs, ["a"], draws=150, seed=seed).iloc[1]
        hits.append(row["corrected_low"] <= corrected <= row["corrected_high"])
    assert 0.85 <= np.mean(hits) <= 1


def test_a_task_of_nothing_has_no_place():
    """Good and bad swapped in other pairs of either half: nothing stable is left to place."""
    pairs = toys.english(16)
    number = pairs.groupby(["task", "split"]).cumcount() + (pairs["split"] == "eval")
    swap = (pairs["task"] == "agree") & (number % 2 == 0)
    pairs.loc[swap, ["good", "bad"]] = pairs.loc[swap, ["bad", "good"]].to_numpy()
    found = blocks.placement(toys.gpt2(), pairs, ["agree"], draws=40).set_index("b")
    assert found.loc["agree", "cosine"] < 0.5
    assert found["corrected"].isna().all()
    assert found["nearest"].isna().all()


def test_a_task_that_is_not_there(pairs):
    with pytest.raises(InputError, match="there is no task binding to place"):
        blocks.placement(toys.gpt2(), pairs, ["binding"])


def test_too_little_disk_says_how_much_is_needed(pairs, monkeypatch):
    from types import SimpleNamespace

    monkeypatch.setattr(blocks.shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(InputError, match=r"1 tasks in 12 parts take .* GB.*fewer tasks"):
        blocks.placement(toys.gpt2(), pairs, ["agree"])


def test_the_pairs_of_an_item_stay_in_one_block(monkeypatch):
    """As a pair of opposites must: each block is then balanced, as the half is."""
    seen = []
    gradient = np.ones(3, np.float32)
    monkeypatch.setattr(
        blocks, "loss_gradient", lambda lm, some: (seen.append(some) or torch.tensor(gradient),)
    )
    both = toys.english(16).query("task == 'agree'").assign(split="train")
    items = both.assign(item=[str(i // 2) if i < 14 else "" for i in range(16)])
    rows = np.zeros((2 * BLOCKS, 3), np.float32)
    assert blocks._fill(None, items, "agree", rows) == (BLOCKS, 0)
    for chosen in seen:
        there = items["item"].isin(set(chosen["item"]) - {""})
        assert set(items.index[there]) <= set(chosen.index), "an item is torn"
    assert sorted(i for chosen in seen for i in chosen.index) == list(items.index)
    np.testing.assert_allclose(rows.sum(axis=0), gradient, rtol=1e-6)
    few = items.iloc[:6]  # three items make three blocks
    assert blocks._fill(None, few, "agree", rows) == (3, 0)
    alone = both.assign(item="")  # without items, pairs are dealt one by one
    seen.clear()
    blocks._fill(None, alone, "agree", rows)
    assert [list(some.index) for some in seen] == [list(alone.index[i::BLOCKS]) for i in range(6)]
