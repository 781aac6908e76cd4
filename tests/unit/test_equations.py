"""Equations 5.1 to 5.6: by hand, by autograd, by finite differences and by the package."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from taskspace_utils import ftgd

from . import toys


def two_words():
    """A unigram model of two words (and three special tokens that never come): p of the first."""
    table = torch.tensor([-30.0, -30.0, -30.0, 1.0, 0.0])
    lm = toys.bind(toys.Unigram(table), "x y")
    return lm, toys.pairs_of({"t": [("x", "y")] * 4})


def last_bias():
    """A transformer of which only the last bias before the logits may move."""
    lm = toys.gpt2(double=True)
    torch.nn.init.normal_(lm.model.transformer.ln_f.bias)  # 0 in a fresh model
    for name, weights in lm.model.named_parameters():
        weights.requires_grad = name == "transformer.ln_f.bias"
    return lm, toys.english(4)


def value(lm, pairs, loss: str) -> torch.Tensor:
    """(5.1) of the good sentences or (5.2), one sentence at a time in float64, differentiable."""
    total = 0.0
    for side, sign in (("good", 1.0), ("bad", -1.0 if loss == "differential" else 0.0)):
        for ids in lm.encode(list(pairs[side])):
            logs = lm.model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
            total = total - sign * sum(logs[t - 1, ids[t]] for t in range(1, len(ids)))
    return total / len(pairs)


def by_hand(lm, pairs, loss: str) -> np.ndarray:
    """Σ_t Wᵀ(p − e); where the parameters are the logits, W is the identity."""
    output = lm.model.get_output_embeddings()
    found = 0.0
    for side, sign in (("good", 1.0), ("bad", -1.0 if loss == "differential" else 0.0)):
        for ids in lm.encode(list(pairs[side])):
            with torch.no_grad():
                p = lm.model(input_ids=torch.tensor([ids])).logits[0, :-1].double().softmax(-1)
            p[torch.arange(len(ids) - 1), torch.tensor(ids[1:])] -= 1
            found = found + sign * (p if output is None else p @ output.weight.detach()).sum(0)
    return (found / len(pairs)).numpy()


@pytest.mark.parametrize("made", [two_words, last_bias])
@pytest.mark.parametrize("loss", ["good", "differential"])
def test_a_gradient_four_times(made, loss):
    """5.1 to 5.3."""
    lm, pairs = made()
    hand = by_hand(lm, pairs, loss)
    exact = value(lm, pairs, loss)
    auto = torch.autograd.grad(exact, list(ftgd.parameters(lm.model).values()))[0]
    package, good, bad = ftgd.loss_gradient(lm, pairs, loss)
    start = ftgd.flat_weights(lm.model)
    width = 1e-4 if start.dtype == torch.float64 else 1e-2
    slopes = []
    for i in range(len(start)):
        ends = []
        for sign in (1, -1):
            moved = start.clone()
            moved[i] += sign * width
            ftgd.set_weights(lm.model, moved)
            ends.append(value(lm, pairs, loss).item())
        slopes.append((ends[0] - ends[1]) / (2 * width))
    ftgd.set_weights(lm.model, start)
    np.testing.assert_allclose(auto.double().numpy(), hand, atol=1e-6)
    np.testing.assert_allclose(slopes, hand, atol=1e-4)
    np.testing.assert_allclose(package.double().numpy(), hand, atol=1e-5)
    ours = -good.mean() + (bad.mean() if loss == "differential" else 0)
    assert ours == pytest.approx(exact.item(), abs=1e-4)


def test_in_two_words_it_can_be_done_in_the_head():
    lm, pairs = two_words()
    p = 1 / (1 + np.exp(-1))
    assert value(lm, pairs, "good").item() == pytest.approx(-np.log(p))
    assert value(lm, pairs, "differential").item() == pytest.approx(-1)
    np.testing.assert_allclose(by_hand(lm, pairs, "good")[3:], [p - 1, 1 - p], atol=1e-9)
    np.testing.assert_allclose(by_hand(lm, pairs, "differential")[3:], [-1, 1], atol=1e-9)
    said = p * np.array([p - 1, 1 - p]) + (1 - p) * np.array([p, -p])
    np.testing.assert_allclose(said, 0, atol=1e-12)  # what a model says itself asks for nothing


@pytest.mark.parametrize("made", [two_words, last_bias])
@pytest.mark.parametrize("k", [0.25, 1.0])
def test_a_step_a_mask_and_a_stop_by_hand(made, k):
    """5.4 to 5.6: the steps of `tune`, done with the closed form alone."""
    lm, pairs = made()
    start, delta, target = ftgd.flat_weights(lm.model), 0.15, 0.3
    g = by_hand(lm, pairs, "differential")
    order = sorted(range(len(g)), key=lambda j: (-round(abs(g[j]), 6), j))
    mask = np.zeros(len(g))
    mask[order[: max(1, round(k * len(g)))]] = 1
    first, gain, now, etas = value(lm, pairs, "differential").item(), 0.0, start.clone(), []
    while gain < target - ftgd.TOLERANCE:
        etas.append(min(delta, target - gain) / ((mask * g) ** 2).sum())
        now = now - torch.tensor(etas[-1] * mask * g, dtype=now.dtype)
        ftgd.set_weights(lm.model, now)
        gain = first - value(lm, pairs, "differential").item()
        g = by_hand(lm, pairs, "differential")
    ftgd.set_weights(lm.model, start)
    seen = []
    config = ftgd.Config(k=k, delta=delta, target=target, max_displacement=1e9)
    done = ftgd.tune(lm, pairs, config, lambda _: seen.append(ftgd.flat_weights(lm.model)))
    assert (done.reached, done.steps) == (True, len(etas))
    assert done.own_gain == pytest.approx(gain, abs=1e-4)
    length = ftgd.norm(seen[0] - start)
    ftgd.set_weights(lm.model, start)
    masked = mask * by_hand(lm, pairs, "differential")
    assert length / np.linalg.norm(masked) == pytest.approx(etas[0], rel=1e-3)
    if made is two_words:  # the margin is linear: every step keeps its promise
        assert done.own_gain == pytest.approx(target, abs=1e-4)
        assert etas[0] == pytest.approx(delta / (1 if k < 1 else 2), rel=1e-4)
