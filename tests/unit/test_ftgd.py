"""Gradients against finite differences and closed forms; tunings worked by hand."""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from taskspace_utils import ftgd, scoring, trees

from . import toys

FAR = ftgd.Config(k=1.0, max_displacement=1e9)


def double_loss(lm, pairs, loss: str) -> float:
    """The pair loss of a float64 model, all in float64: room code scores in float32."""
    ids = lm.encode([*pairs["good"], *pairs["bad"]])
    longest = max(map(len, ids))
    padded = torch.tensor([tokens + [toys.PAD] * (longest - len(tokens)) for tokens in ids])
    with torch.no_grad():
        logs = lm.model(input_ids=padded).logits.log_softmax(-1)
    scores = [
        sum(float(logs[row, t - 1, tokens[t]]) for t in range(1, len(tokens)))
        for row, tokens in enumerate(ids)
    ]
    good, bad = np.mean(scores[: len(pairs)]), np.mean(scores[len(pairs) :])
    return bad - good if loss == "differential" else -good


# ------------------------------------------------------------------------------------- the gradient


@pytest.mark.parametrize("loss", ["differential", "good"])
def test_gradients_are_finite_differences(loss):
    lm, pairs = toys.gpt2(double=True, width=8), toys.english(4)
    gradient = ftgd.loss_gradient(lm, pairs, loss)[0]
    weights = ftgd.flat_weights(lm.model)
    rng = np.random.default_rng(0)
    tied = lm.model.transformer.wte.weight.numel()  # the first parameter: input and output at once
    places = [*rng.choice(len(weights), 25, replace=False), *rng.choice(tied, 15, replace=False)]
    for i in places:
        moved = []
        for change in (1e-5, -1e-5):
            other = weights.clone()
            other[i] += change
            ftgd.set_weights(lm.model, other)
            moved.append(double_loss(lm, pairs, loss))
        slope = (moved[0] - moved[1]) / 2e-5
        assert float(gradient[i]) == pytest.approx(slope, rel=1e-4, abs=1e-5)
    assert gradient[:tied].abs().max() > 0.1


def counts(lm, sentence: str) -> np.ndarray:
    """What log P(sentence) asks of a bigram table: seen transitions minus expected ones."""
    table = lm.model.table.detach().double().softmax(-1).numpy()
    ids = [toys.BOS, *lm.tokenizer(sentence)["input_ids"]]
    found = np.zeros_like(table)
    for u, v in itertools.pairwise(ids):
        found[u, v] += 1
        found[u] -= table[u]
    return found


@pytest.mark.parametrize("loss", ["differential", "good"])
def test_a_bigram_models_gradient_is_counts_minus_expectations(loss):
    lm, pairs = toys.bigram(), toys.english(8)
    closed = -np.mean([counts(lm, s) for s in pairs["good"]], axis=0)
    if loss == "differential":
        closed += np.mean([counts(lm, s) for s in pairs["bad"]], axis=0)
    gradient = ftgd.loss_gradient(lm, pairs, loss)[0].numpy().reshape(closed.shape)
    np.testing.assert_allclose(gradient, closed, atol=1e-5)


def test_the_differential_is_the_difference_of_two_gradients():
    lm, pairs = toys.gpt2(), toys.english(6)
    swapped = pairs.assign(good=pairs["bad"], bad=pairs["good"])
    good, bad = (ftgd.loss_gradient(lm, p, "good")[0] for p in (pairs, swapped))
    both = ftgd.loss_gradient(lm, pairs)[0]
    torch.testing.assert_close(both, good - bad, atol=1e-4, rtol=1e-4)
    assert (good - bad).norm() < 0.9 * good.norm()  # what both ask for cancels


@pytest.mark.parametrize("loss", ["good", "continuation", "critical"])
def test_losses_of_parts_of_the_good_sentence_token_by_token(loss):
    lm, pairs = toys.gpt2(double=True), toys.english(8)
    total = 0.0
    for good, bad in zip(
        lm.encode(list(pairs["good"])), lm.encode(list(pairs["bad"])), strict=True
    ):
        logs = lm.model(input_ids=torch.tensor([good])).logits[0].log_softmax(-1)
        first = next(i for i, (x, y) in enumerate(zip(good, bad, strict=False)) if x != y)
        last = next(i for i, (x, y) in enumerate(zip(good[::-1], bad[::-1])) if x != y)
        counted = {
            "good": range(1, len(good)),
            "continuation": range(first, len(good)),
            "critical": range(first, len(good) - last),
        }[loss]
        assert len(counted) > 0
        total = total - sum(logs[t - 1, good[t]] for t in counted)
    exact = torch.autograd.grad(total / len(pairs), list(ftgd.parameters(lm.model).values()))
    exact = torch.cat([part.flatten() for part in exact])
    gradient, value, *_ = ftgd._loss(lm, pairs, loss)
    assert value == pytest.approx(total.item() / len(pairs), abs=1e-4)
    torch.testing.assert_close(gradient.double(), exact, atol=1e-4, rtol=1e-4)


def test_tied_embeddings_count_once():
    lm = toys.gpt2()
    model = lm.model
    assert model.lm_head.weight is model.transformer.wte.weight
    different = {id(p): p.numel() for p in model.parameters()}
    gradient = ftgd.loss_gradient(lm, toys.english(4))[0]
    assert len(gradient) == len(ftgd.flat_weights(model)) == sum(different.values())
    named = ftgd.embedding_names(model)
    assert named == {"transformer.wte.weight", "transformer.wpe.weight"}


@pytest.mark.parametrize("tokens", [1, 20, 64])
def test_chunks_add_up_to_one_batch(tokens, monkeypatch):
    lm, pairs = toys.gpt2(), toys.english(8)
    whole, good, bad = ftgd.loss_gradient(lm, pairs)  # over prefix trees
    monkeypatch.setattr(trees, "FAMILIES", set())
    monkeypatch.setattr(scoring, "chunks", functools.partial(scoring.chunks, tokens=tokens))
    parts, other_good, other_bad = ftgd.loss_gradient(lm, pairs.iloc[::-1])
    torch.testing.assert_close(parts, whole, atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(other_good[::-1], good, atol=toys.TOLERANCE)
    np.testing.assert_allclose(other_bad[::-1], bad, atol=toys.TOLERANCE)
    np.testing.assert_allclose(good - bad, toys.slow_margins(lm, pairs), atol=toys.TOLERANCE)


def test_identical_pairs_ask_for_nothing():
    same = toys.pairs_of({"t": [("the old cat sleeps .",) * 2, ("a dog .",) * 2]})
    gradient, good, bad = ftgd.loss_gradient(toys.gpt2(), same)
    assert (good == bad).all()
    assert float(gradient.abs().max()) == 0


def test_a_gradient_leaves_no_trace():
    lm = toys.gpt2()
    weights = toys.state(lm)
    for p in lm.model.parameters():
        p.grad = torch.ones_like(p)
    ftgd.loss_gradient(lm, toys.english(4))
    assert toys.state(lm) == weights
    assert all((p.grad == 1).all() for p in lm.model.parameters())


def test_it_is_the_gradient_of_dpo_at_small_beta():
    """−log σ(β·(h − h_ref)) with another model as reference; its gradient tends to β/2 · g."""
    lm, reference, pairs = toys.gpt2(double=True), toys.gpt2(seed=3), toys.english(8)
    beta, n = 1e-4, len(pairs)
    base = torch.tensor(toys.slow_margins(reference, pairs))
    ids = lm.encode([*pairs["good"], *pairs["bad"]])
    scores = []
    for tokens in ids:
        logs = lm.model(input_ids=torch.tensor([tokens])).logits[0].log_softmax(-1)
        scores.append(sum(logs[t - 1, tokens[t]] for t in range(1, len(tokens))))
    margin = torch.stack(scores[:n]) - torch.stack(scores[n:])
    loss = -torch.nn.functional.logsigmoid(beta * (margin - base)).mean()
    dpo = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(lm.model.parameters()))])
    ours = ftgd.loss_gradient(lm, pairs)[0]
    assert float(dpo @ ours / dpo.norm() / ours.norm()) > 1 - 1e-6
    assert float(dpo.norm() / ours.norm()) == pytest.approx(beta / 2, rel=0.01)
    assert (margin - base).abs().max() > 1  # policy and reference disagree, so beta matters


# ----------------------------------------------------------------------------------------- the mask

values = st.lists(st.integers(-3, 3), min_size=1, max_size=60)


@given(values, st.floats(1e-4, 1.0))
@example([0, 0, 0, 0], 0.5)
@example([1, -1, 1, -1, 1], 0.4)
def test_top_k_takes_exactly_k_and_the_lower_index_at_ties(numbers, k):
    found = ftgd.top_k(torch.tensor(numbers, dtype=torch.float32), k).tolist()
    count = max(1, round(k * len(numbers)))
    by_sort = sorted(range(len(numbers)), key=lambda i: (-abs(numbers[i]), i))[:count]
    assert found == sorted(by_sort)


@pytest.mark.parametrize("kind", ["spread", "few values", "one large", "all equal"])
@pytest.mark.parametrize("k", [1e-4, 0.01, 0.3])
def test_top_k_of_a_long_vector_is_that_of_a_sort(kind, k):
    """Long enough for a sample to guide the selection."""
    rng = np.random.default_rng(0)
    size = 2**20 + 12_345
    numbers = {
        "spread": rng.standard_normal(size) * rng.random(size) ** 4,
        "few values": rng.integers(-2, 3, size) * (rng.random(size) < 0.02),
        "one large": np.where(np.arange(size) == 77, 5.0, 0.0),
        "all equal": np.full(size, -1.0),
    }[kind].astype(np.float32)
    found = ftgd.top_k(torch.from_numpy(numbers), k).numpy()
    by_sort = np.lexsort((np.arange(size), -np.abs(numbers)))[: round(k * size)]
    np.testing.assert_array_equal(found, np.sort(by_sort))


def test_gradients_leave_what_lay_in_grad():
    lm, pairs = toys.gpt2(), toys.english(4)
    first, *others = ftgd.parameters(lm.model).values()
    first.grad = torch.ones_like(first)
    ftgd.loss_gradient(lm, pairs)
    assert torch.equal(first.grad, torch.ones_like(first))
    assert all(p.grad is None for p in others)


@pytest.mark.parametrize("k", [0.02, 1.0])
def test_a_tuning_that_breaks_off_leaves_the_weights_as_they_were(k, monkeypatch):
    lm, pairs = toys.gpt2(), toys.english(8)
    weights, calls, real = toys.state(lm), itertools.count(), ftgd._loss

    def breaks(*given):
        if next(calls) == 3:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(ftgd, "_loss", breaks)
    config = ftgd.Config(k=k, target=3.0, max_displacement=1.0)
    with pytest.raises(KeyboardInterrupt):
        ftgd.tune(lm, pairs, config)
    assert toys.state(lm) == weights


def test_masked_tuning_moves_only_what_is_masked():
    lm, pairs = toys.gpt2(), toys.english(8)
    before = ftgd.flat_weights(lm.model)
    mask = ftgd.top_k(ftgd.loss_gradient(lm, pairs)[0], 0.02)
    with ftgd.tuned(lm, pairs, ftgd.Config(k=0.02, target=0.5, max_displacement=1)) as result:
        moved = (ftgd.flat_weights(lm.model) != before).nonzero().flatten()
    assert result.steps > 0
    assert 0 < len(moved) <= len(mask)
    assert set(moved.tolist()) <= set(mask.tolist())


# ------------------------------------------------------------------------------------ the step rule


def linear(unused: float = 0.0) -> tuple:
    """A bigram model and a task whose margin is exactly linear: T[x, y] − T[x, z].

    Both sentences leave x, so the normaliser cancels; ‖g‖² = 2. Row 2 is never used.
    """
    lm = toys.bigram(words="x y z")
    with torch.no_grad():
        lm.model.table.zero_()
        lm.model.table[2] = unused
    return lm, toys.pairs_of({"t": [("x y", "x z")] * 4})


def test_every_step_of_a_linear_task_gains_what_was_predicted():
    lm, pairs = linear(unused=200.0)
    with ftgd.tuned(lm, pairs, ftgd.Config(k=1.0, target=3.0, delta=0.3)) as result:
        (margin, *_) = scoring.margins(lm, pairs)
    assert (result.steps, result.reached, result.reason) == (10, True, "")
    assert result.own_gain == pytest.approx(3.0, abs=1e-4)
    assert margin == pytest.approx(3.0, abs=1e-4)
    moved = 3.0 / math.sqrt(2)  # η‖g‖ a step of δ/‖g‖
    assert result.displacement == pytest.approx(moved / (200 * math.sqrt(6)), rel=1e-4)


def test_the_last_step_is_trimmed():
    lm, pairs = linear(unused=200.0)
    config = ftgd.Config(k=1.0, target=0.75, delta=0.3)
    with ftgd.tuned(lm, pairs, config) as result:
        pass
    assert (result.steps, round(result.own_gain, 4)) == (3, 0.75)


def test_a_step_that_would_pass_the_target_is_trimmed():
    """Plain tuning promises nats of log P(good), not of the margin.

    From equal logits a step of δ raises T[x, y] − T[x, z] by 0.6·δ, here 1.8 at once.
    """
    lm, pairs = linear(unused=200.0)
    config = ftgd.Config(loss="good", k=1.0, target=0.5, delta=3.0)
    with ftgd.tuned(lm, pairs, config) as result:
        pass
    assert (result.reached, result.steps) == (True, 1)
    assert result.own_gain == pytest.approx(0.5, abs=ftgd.TOLERANCE)


def test_of_one_parameter_the_whole_gain_comes():
    """k of 36 parameters rounds to 1; of two equal |g| it is the lower index, T[x, y]."""
    lm, pairs = linear(unused=200.0)
    with ftgd.tuned(lm, pairs, ftgd.Config(k=0.01, target=3.0)) as result:
        table = lm.model.table.detach().clone()
    assert result.reached
    assert float(table[3, 4]) == pytest.approx(3.0, abs=1e-4)
    assert float(table[3, 5]) == 0.0


def test_it_gives_up_with_a_reason():
    lm, pairs = linear(unused=200.0)
    with ftgd.tuned(lm, pairs, ftgd.Config(k=1.0, max_steps=4)) as result:
        pass
    assert (result.reached, result.steps, result.reason) == (False, 4, "not reached in 4 steps")
    assert result.own_gain == pytest.approx(1.2, abs=1e-4)

    lm, pairs = linear(unused=20.0)  # ‖θ‖ = 49, and 3 nats need a move of 2.1
    with ftgd.tuned(lm, pairs, ftgd.Config(k=1.0)) as result:
        pass
    assert not result.reached
    assert "1.0% of the weights" in result.reason
    assert 0.01 < result.displacement < 0.01 + 0.3 / math.sqrt(2) / 48  # one step beyond


def test_identical_pairs_move_nothing():
    lm, pairs = linear(unused=20.0)
    before = toys.state(lm)
    with ftgd.tuned(lm, pairs.assign(bad=pairs["good"]), ftgd.Config(k=1.0)) as result:
        assert toys.state(lm) == before
    assert (result.reached, result.steps, result.own_gain) == (False, 0, 0.0)


def test_it_gives_up_where_no_step_keeps_its_promise():
    """log P(good) has a bound, 0: near it, a step that promises 0.3 nats gains far less."""
    lm, pairs = linear(unused=1.0)
    config = ftgd.Config(loss="good", k=1.0, target=100, max_steps=1000, max_displacement=1e9)
    with ftgd.tuned(lm, pairs, config) as result:
        good = toys.slow_log_probability(lm, "x y")
    assert not result.reached
    assert "half of what the gradient promised" in result.reason
    assert good > -0.5  # it came close to the bound, log P = 0


@pytest.mark.parametrize("k", [0.05, 1.0])
@pytest.mark.parametrize("loss", ["differential", "good"])
def test_a_reached_target_is_reached_within_a_tenth(k, loss):
    lm, pairs = toys.gpt2(), toys.english(8)
    config = ftgd.Config(loss=loss, k=k, target=2.0, max_displacement=1.0)
    before = toys.slow_margins(lm, pairs).mean()
    with ftgd.tuned(lm, pairs, config) as result:
        gain = toys.slow_margins(lm, pairs).mean() - before
    assert result.own_gain == pytest.approx(gain, abs=1e-3)
    assert result.reached == (abs(gain - 2.0) <= ftgd.TOLERANCE + 1e-3)
    if loss == "differential":
        assert result.reached


def test_step_size_follows_the_first_order():
    """A small δ gains δ, whatever the size of gradient and mask."""
    for k in (0.01, 0.3, 1.0):
        lm, pairs = toys.gpt2(), toys.english(8)
        config = ftgd.Config(k=k, delta=1e-2, target=10, max_steps=1, max_displacement=1)
        with ftgd.tuned(lm, pairs, config) as result:
            pass
        assert result.own_gain == pytest.approx(1e-2, rel=0.1)


# -------------------------------------------------------------------------------- undo and sameness


def test_undo_is_exact_to_the_bit():
    lm, pairs = toys.gpt2(), toys.english(8)
    with torch.no_grad():
        lm.model.transformer.h[0].mlp.c_fc.bias[0] = -0.0
    before = toys.state(lm)
    with ftgd.tuned(lm, pairs, FAR):
        assert toys.state(lm) != before
    assert toys.state(lm) == before


def test_undo_also_when_the_body_raises():
    lm, pairs = toys.gpt2(), toys.english(8)
    before = toys.state(lm)
    with pytest.raises(RuntimeError, match="in the body"), ftgd.tuned(lm, pairs, FAR):
        raise RuntimeError("in the body")
    assert toys.state(lm) == before


def test_undo_also_when_the_tuning_breaks_off(monkeypatch):
    lm, pairs = toys.gpt2(), toys.english(8)
    before, real, calls = toys.state(lm), ftgd._loss, []

    def breaks(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise MemoryError
        return real(*arguments)

    monkeypatch.setattr(ftgd, "_loss", breaks)
    with pytest.raises(MemoryError), ftgd.tuned(lm, pairs, FAR):
        pass
    assert toys.state(lm) == before


def test_the_same_tuning_twice_gives_the_same_weights():
    found = []
    for _ in range(2):
        lm = toys.gpt2()
        with ftgd.tuned(lm, toys.english(8), FAR) as result:
            found.append((result, toys.state(lm)))
    assert found[0] == found[1]


# -------------------------------------------------------------------------------------------- norms


def test_norms_of_long_vectors_are_added_up_in_float64():
    """4096² + 2²⁴ ones: a running float32 sum stays at 2²⁴, where adding 1 changes nothing."""
    vector = torch.ones(2**24 + 1)
    vector[0] = 4096.0
    assert ftgd.norm(vector) == math.sqrt(2**25)
    numbers = torch.randn(3_000_001, generator=torch.Generator().manual_seed(0)) * 1e-3
    exact = float(np.sqrt((numbers.numpy().astype(np.float64) ** 2).sum()))
    assert ftgd.norm(numbers) == pytest.approx(exact, rel=1e-13)
    assert ftgd.norm(torch.tensor([1e30, 1e30])) == pytest.approx(
        math.sqrt(2) * 1e30
    )  # no overflow


@pytest.mark.parametrize(
    "wrong", [{"loss": "dpo"}, {"k": 0.0}, {"k": 1.5}, {"target": 0.1}, {"delta": 0.0}]
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ftgd.Config(**wrong)


def test_configurations_are_told_apart_by_their_ids():
    settings = [{}, {"k": 1.0}, {"loss": "good"}, {"target": 1.0}]
    assert len({ftgd.Config(**s).id for s in settings}) == 4
    assert ftgd.Config().id == "differential-k0.01-g3"


# ------------------------------------------------------------------------------ watching, a penalty


def test_a_watcher_sees_every_step_as_it_is():
    lm, pairs = toys.gpt2(), toys.english(8).query("task == 'agree'")
    start, seen = toys.slow_margins(lm, pairs).mean(), []

    def watch(gain):
        seen.append((gain, toys.slow_margins(lm, pairs).mean() - start))

    config = ftgd.Config(k=1.0, target=1.0, max_displacement=1.0)
    with ftgd.tuned(lm, pairs, config) as done:
        pass
    result = ftgd.tune(lm, pairs, config, watch)
    assert (result.own_gain, result.steps) == (done.own_gain, done.steps)
    assert len(seen) == result.steps > 1
    np.testing.assert_allclose(*zip(*seen, strict=True), atol=1e-4)


def test_a_penalty_turns_the_step_and_keeps_its_promise():
    lm, pairs = toys.gpt2(), toys.english(8).query("task == 'agree'")
    start, gradient = ftgd.flat_weights(lm.model), ftgd.loss_gradient(lm, pairs)[0]
    across = torch.randn(len(gradient), generator=torch.Generator().manual_seed(0))
    across -= gradient * (across @ gradient) / (gradient @ gradient)
    across *= gradient.norm() / across.norm()
    config = ftgd.Config(k=1.0, target=0.3, delta=0.02, max_steps=1)
    result = ftgd.tune(lm, pairs, config, penalty=lambda model: across)
    moved = ftgd.flat_weights(lm.model) - start
    direction = gradient + across
    assert float(moved @ direction / moved.norm() / direction.norm()) < -0.9999
    assert result.own_gain == pytest.approx(0.02, rel=0.3)
    against = ftgd.tune(lm, pairs, config, penalty=lambda model: -2 * gradient)
    assert (against.steps, against.reason) == (0, "the penalty outweighs the task")
