"""Chapter 15: lessons stopped on their way, where the way is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from taskspace_utils import Config, loss_gradient, margins, store, tuned
from taskspace_utils.ftgd import flat_weights, set_weights
from taskspace_utils.studies import walks

from . import toys

PREDICTIONS = ["first", "first_train", "on_way", "both_ends"]


def pairs_of(tasks: dict[str, list[tuple[str, str]]]) -> pd.DataFrame:
    """Each task's pairs, the first half for training."""
    rows = [(task, good, bad, "train" if i < len(some) // 2 else "eval")
            for task, some in tasks.items() for i, (good, bad) in enumerate(some)]  # fmt: skip
    return pd.DataFrame(rows, columns=["task", "good", "bad", "split"])


NUMBER = [("the cat sees", "the cat see"), ("a dog sleeps", "a dog sleep")]
CLOSE = [("the dog sees", "the dog see"), ("a cat sleeps", "a cat sleep")]
OTHER = [("the cats see", "the cats sees"), ("near dogs sleep", "near dogs sleeps")]
TASKS = pairs_of({"number": NUMBER * 2, "close": CLOSE * 2, "other": OTHER * 2})


def bent() -> walks.Start:
    """A small transformer in double precision."""
    return walks.Start(toys.gpt2(double=True), TASKS)


@pytest.mark.parametrize("k", [1.0, 0.2])
def test_where_margins_are_straight_nothing_is_lost(k):
    """Sentences of one length in a unigram model: normalisers cancel, margins are linear."""
    words = torch.linspace(-1, 1, 20, dtype=torch.double)
    start = walks.Start(toys.bind(toys.Unigram(words)), TASKS)
    found = walks.walk(start, "number", k, (0.05, 0.3, 0.9))
    assert list(found.groupby("asked").size()) == [3, 3, 3]
    for name in PREDICTIONS[:3]:
        np.testing.assert_allclose(found[name], found["real"], atol=5e-6)
    end = found[found["asked"] == 0.9]
    np.testing.assert_allclose(end["both_ends"], end["real"], atol=5e-6)
    np.testing.assert_allclose(end[["own_turn", "turn"]], 1.0, rtol=1e-6)
    own = end[end["target"] == "number"]
    assert own["real"].item() == pytest.approx(own["gain"].item(), abs=1e-5)  # the same pairs twice


def test_the_first_order_is_right_in_the_limit_and_the_trapezoid_sooner():
    start = bent()
    found = walks.walk(start, "number", 1.0, (0.01, 0.02, 1.0))
    missed = {by: (found[by] - found["real"]).abs() for by in PREDICTIONS}
    size = found["real"].abs().groupby(found["asked"]).sum()
    error = {by: some.groupby(found["asked"]).sum() / size for by, some in missed.items()}
    for by in ("first_train", "on_way"):
        assert error[by][0.02] / error[by][0.01] == pytest.approx(2, rel=0.1)
        assert error[by][0.01] < 0.02
    assert error["both_ends"][1.0] < error["on_way"][1.0] / 4


def test_a_stop_is_that_of_the_lesson_itself():
    """Change, displacement and what is left of the integral, by plain computation."""
    start, lm = bent(), toys.gpt2(double=True)
    found = walks.walk(start, "number", 0.5, (0.3, 1.0)).query("asked == 1.0").set_index("target")
    train, held = (
        TASKS.query("task == 'number' and split == 'train'"),
        TASKS.query("split == 'eval'"),
    )
    before, first = pd.Series(margins(lm, held), held.index), flat_weights(lm.model)
    with tuned(lm, train, Config(k=0.5, target=1.0)) as done:
        change = (pd.Series(margins(lm, held), held.index) - before).groupby(held["task"]).mean()
        moved = flat_weights(lm.model) - first
    np.testing.assert_allclose(found["real"], change[found.index], atol=5e-6)
    assert found["gain"].iloc[0] == pytest.approx(done.own_gain)
    assert found["displacement"].iloc[0] == pytest.approx(float(moved.norm() / first.norm()))
    for task in found.index:  # the slope of its margin along the straight way, at the start
        some, h = held[held["task"] == task], 0.01
        ends = []
        for t in (-h, h):
            set_weights(lm.model, first + t * moved)
            ends.append(margins(lm, some).mean())
        assert found["on_way"][task] == pytest.approx((ends[1] - ends[0]) / (2 * h), abs=1e-3)
        set_weights(lm.model, first)


def test_the_cross_half_form_is_that_of_chapter_7():
    start = bent()
    found = walks.walk(start, "close", 1.0, (0.5,)).set_index("target")
    own, half = (loss_gradient(start.lm, TASKS.query("task == 'close' and split == @part"))[0]
                 for part in ("train", "eval"))  # fmt: skip
    theirs = loss_gradient(start.lm, TASKS.query("task == 'other' and split == 'eval'"))[0]
    expected = found["real"]["close"] * float(own @ theirs) / float(own @ half)
    assert found["first"]["other"] == pytest.approx(expected, rel=1e-6)


def test_a_walk_leaves_the_model_as_it_was_also_when_it_breaks_off(monkeypatch):
    start = bent()
    before = start.weights.clone()
    walks.walk(start, "number", 0.5, (0.05, 0.5))
    assert torch.equal(flat_weights(start.lm.model), before)

    def broken(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(walks.Start, "margins", broken)
    with pytest.raises(KeyboardInterrupt):
        walks.walk(start, "number", 0.5, (0.05, 0.5))
    assert torch.equal(flat_weights(start.lm.model), before)


def test_a_lesson_that_gives_up_says_how_far_it_came():
    start = bent()
    found = walks.walk(start, "number", 0.05, (0.05, 500.0))
    end = found[found["asked"] == 500.0]
    assert len(end) == 3
    assert 0 < end["gain"].iloc[0] < 499
    assert end["displacement"].iloc[0] > 0.01


def test_a_walk_is_taken_once(tmp_path, monkeypatch):
    monkeypatch.setenv("TASKSPACES_STORE", str(tmp_path / "store"))
    lm = toys.gpt2(double=True)
    asked = (TASKS, ["number", "other"], (1.0, 0.5), (0.1, 0.4), (1.0,))
    found = walks.walks(lm, *asked)
    assert found.groupby(["source", "k", "asked"]).size().tolist() == [3] * 8
    assert found.query("k == 0.5")["both_ends"].isna().all()
    monkeypatch.setattr(walks, "walk", None)
    pd.testing.assert_frame_equal(walks.walks(lm, *asked), found)
    assert len(list(store.store_path("walks").iterdir())) == 4
    with pytest.raises(TypeError):  # other pairs are another walk
        walks.walks(lm, TASKS.iloc[::-1], *asked[1:])
