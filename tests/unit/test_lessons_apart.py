"""Chapters 5 and 7: equations in four ways, lessons with and without a mask, layers one by one."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from taskspace_utils.ftgd import flat_weights
from taskspace_utils.studies import four_ways, layerwise, masking

from . import toys


def test_two_words_are_done_in_the_head():
    pair = pd.DataFrame({"good": ["walks"], "bad": ["walk"]})
    found = four_ways.compare(four_ways.two_words(1.0, 0.0), pair, k=0.5)
    p = 1 / (1 + np.exp(-1))
    by_head = [-np.log(p), -1, np.sqrt(2), four_ways.DELTA, four_ways.TARGET, 1]
    for way in four_ways.WAYS:
        np.testing.assert_allclose(found[way], by_head, rtol=1e-3)


@pytest.mark.parametrize("wrong", [lambda g: 2 * g, lambda g: -g, lambda g: g.flip(0)])
def test_a_way_that_goes_wrong_is_noticed(monkeypatch, wrong):
    """A factor, a sign, and an order, in one way of four."""
    lm = toys.gpt2(double=True)
    torch.nn.init.normal_(lm.model.transformer.ln_f.bias)
    for name, weights in lm.model.named_parameters():
        weights.requires_grad = name == "transformer.ln_f.bias"
    pairs, before = toys.english(4), flat_weights(lm.model)
    four_ways.compare(lm, pairs, k=0.25)
    assert torch.equal(flat_weights(lm.model), before)
    honest = four_ways.by_autograd

    def broken(lm, pairs, loss):
        value, g = honest(lm, pairs, loss)
        return value, wrong(g)

    monkeypatch.setitem(four_ways.WAYS, "autograd", broken)
    monkeypatch.setattr(four_ways, "TARGET", 0.2)  # a few steps are enough
    with pytest.raises(ArithmeticError):
        four_ways.compare(lm, pairs, k=0.25)


# ------------------------------------------------------------------------------------------ masks


def run_with(moves: dict[tuple[str, str, str], tuple[float, float]]) -> SimpleNamespace:
    """A run of one model with two tunings, from (tuning, source, target) to (before, after)."""
    about = {"scale": "S", "seed": 0, "step": 8}
    rows = [{**about, "tuning": t, "source": s, "target": u, "margin_before": a, "margin_after": b}
            for (t, s, u), (a, b) in moves.items()]  # fmt: skip
    sources = sorted({(t, s) for t, s, _ in moves})
    tables = {
        "configs": pd.DataFrame({"tuning": ["m", "w"], "k": [0.01, 1.0]}),
        "transfer": pd.DataFrame([*rows, {**rows[0], "step": 0, "margin_after": 99.0}]),
        "tuning": pd.DataFrame([{**about, "tuning": t, "source": s, "reached": s != "a2",
                                 "displacement": 0.1} for t, s in sources]),
        "harm": pd.DataFrame([{**about, "tuning": t, "source": s,
                               "harm_kl": 0.4 if t == "m" else 0.1} for t, s in sources]),
    }  # fmt: skip
    return SimpleNamespace(table=tables.__getitem__)


def test_a_mask_is_judged_by_tasks_that_reached_the_target_both_ways():
    pairs = pd.DataFrame({"task": ["a1", "a2", "b1", "s"]})
    pairs["phenomenon"] = ["A", "A", "B", "preference_sham"]
    moves = {}
    for tuning, spread in (("m", 0.6), ("w", 0.2)):
        for source in ("a1", "a2", "b1", "s"):
            for target in ("a1", "a2", "b1", "s"):
                alike = source[0] == target[0]
                size = 2.0 if source == target else 1.0 if alike else -spread
                moves[tuning, source, target] = (
                    1.0,
                    1.0 + (50 if "s" in (source, target) else size),
                )
    lessons = masking.Lessons(run_with(moves), pairs, step=8)
    means = lessons.means().loc["S", 0]
    np.testing.assert_allclose(means["own"], [2, 2])
    np.testing.assert_allclose(means["others"], [0.6, 0.2])  # sizes: falls count as rises do
    np.testing.assert_allclose(means["same"], [1, 1])
    found = lessons.ratios().set_index("cost")
    assert found.loc["spread", "masked ÷ unmasked"] == pytest.approx(3)
    assert found.loc["divergence", "masked ÷ unmasked"] == pytest.approx(4)
    assert (found["tasks"] == 2).all()  # a2 never reached it, s is a sham


# ----------------------------------------------------------------------------------------- layers


def test_every_parameter_has_a_layer():
    lm = toys.gpt2(layers=2)
    layers = layerwise.layers_of(lm)
    assert len(layers) == len(flat_weights(lm.model))
    sizes = pd.Series(layers).value_counts()
    model = lm.model.transformer
    count = lambda part: sum(p.numel() for p in part.parameters())  # noqa: E731
    assert sizes["embeddings"] == count(model.wte) + count(model.wpe)
    assert sizes["block 1"] == sizes["block 2"] == count(model.h[0])
    assert sizes["last norm"] == count(model.ln_f)
    assert list(dict.fromkeys(layers)) == ["embeddings", "block 1", "block 2", "last norm"]


def test_what_is_shared_in_a_layer_by_hand():
    torch.manual_seed(0)
    truth = torch.randn(3, 200, dtype=torch.float64)
    one, two = truth, truth + 0.1 * torch.randn(3, 200, dtype=torch.float64)
    two[2] = torch.randn(200, dtype=torch.float64)  # a task without a stable gradient
    found = layerwise.shared(one, two, top=0.05)
    x, y = one.numpy(), two.numpy()
    cosine = lambda u, v: u @ v / np.linalg.norm(u) / np.linalg.norm(v)  # noqa: E731
    own = [cosine(x[i], y[i]) for i in range(3)]
    np.testing.assert_allclose(found["reliability"], own)
    expected = (cosine(x[0], y[1]) + cosine(x[1], y[0])) / 2 / np.sqrt(own[0] * own[1])
    assert found["corrected cosine"][0, 1] == pytest.approx(expected)
    assert np.isnan(found["corrected cosine"][2]).all()
    tops = [[set(np.argsort(-np.abs(half[i]))[:10]) for i in range(3)] for half in (x, y)]
    overlap = (len(tops[0][0] & tops[1][1]) + len(tops[0][1] & tops[1][0])) / 20
    assert found["overlap"][0, 1] == pytest.approx(overlap)
    inside = lambda i, j: (y[j][list(tops[0][i])] ** 2).sum() / (y[j] ** 2).sum()  # noqa: E731
    assert found["energy"][0, 1] == pytest.approx((inside(0, 1) + inside(1, 0)) / 2)
