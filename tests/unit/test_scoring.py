"""Scores against a loop over single sentences, and against probabilities known beforehand."""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np
import pytest
import torch

from taskspace_utils import scoring, trees
from taskspace_utils.store import InputError

from . import toys


def test_a_bigram_model_shows_which_logits_score_which_token():
    """P(next | token) is stated; the sentence's probability is their product, worked by hand."""
    lm = toys.bigram(words="x y z")  # ids: x 3, y 4, z 5
    probability = torch.full((6, 6), 0.02)
    probability[toys.BOS, 3] = 0.5  # BOS → x
    probability[3, 4] = 0.25  # x → y
    probability[4, 5] = 0.125  # y → z
    with torch.no_grad():
        lm.model.table.copy_(probability.log())
    whole = torch.log(probability.sum(dim=1)).double()  # rows need not be normalised
    got = scoring.log_probabilities(lm, ["x y z", "x", "z"])
    by_hand = math.log(0.5) + math.log(0.25) + math.log(0.125)  # a sum, first token included
    assert got[0] == pytest.approx(by_hand - float(whole[[0, 3, 4]].sum()), abs=1e-5)
    assert got[1] == pytest.approx(math.log(0.5) - float(whole[0]), abs=1e-5)
    assert got[2] == pytest.approx(math.log(0.02) - float(whole[0]), abs=1e-5)


def test_probabilities_of_all_sentences_of_a_length_add_up_to_one():
    """Only a sum over all tokens, each scored once, is a probability."""
    lm = toys.gpt2(words="x y z")
    lm.tokenizer.unk_token = None  # its id counts as a word here
    vocabulary = lm.tokenizer.convert_ids_to_tokens(range(6))
    sentences = [" ".join(words) for words in itertools.product(vocabulary, repeat=2)]
    ids = [[toys.BOS, *lm.tokenizer.convert_tokens_to_ids(s.split())] for s in sentences]
    with torch.no_grad():
        total = scoring.sequence_log_probabilities(lm.model, ids).double().exp().sum()
    assert float(total) == pytest.approx(1, abs=1e-5)


def test_scores_are_those_of_a_loop_over_single_sentences():
    lm, pairs = toys.gpt2(), toys.english(16)
    sentences = [*pairs["good"], *pairs["bad"]]
    oracle = [toys.slow_log_probability(lm, s) for s in sentences]
    np.testing.assert_allclose(
        scoring.log_probabilities(lm, sentences), oracle, rtol=0, atol=toys.TOLERANCE
    )
    assert np.ptp(oracle) > 10  # the toy model is far from uniform, so the test can fail


@pytest.mark.parametrize("tokens", [1, 9, 30, 10_000])
def test_any_chunk_and_any_order_give_the_same_numbers(tokens, monkeypatch):
    lm, pairs = toys.gpt2(), toys.english(16)
    sentences = [*pairs["good"], *pairs["bad"]]
    monkeypatch.setattr(trees, "FAMILIES", set())
    before = scoring.log_probabilities(lm, sentences)
    monkeypatch.setattr(scoring, "chunks", functools.partial(scoring.chunks, tokens=tokens))
    order = np.random.default_rng(0).permutation(len(sentences))
    after = scoring.log_probabilities(lm, [sentences[i] for i in order])
    np.testing.assert_allclose(after, before[order], rtol=0, atol=toys.TOLERANCE)


@pytest.mark.parametrize("tokens", [1, 7, 12, 100])
def test_chunks_hold_every_place_once_and_stay_small(tokens):
    ids = [[0] * n for n in (3, 9, 1, 9, 4, 2, 6)]
    found = list(scoring.chunks(ids, tokens))
    assert sorted(i for places in found for i in places) == list(range(len(ids)))
    for places in found:
        assert len(places) == 1 or len(places) * max(len(ids[i]) for i in places) <= tokens


def test_left_padding_right_padding_and_one_at_a_time_agree():
    lm, pairs = toys.gpt2(), toys.english(8)
    ids = lm.encode(list(pairs["good"]))
    length = max(map(len, ids))
    padded, mask = torch.full((len(ids), length), toys.PAD), torch.zeros(len(ids), length).long()
    for row, tokens in enumerate(ids):
        padded[row, length - len(tokens) :] = torch.tensor(tokens)
        mask[row, length - len(tokens) :] = 1
    places = (mask.cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        output = lm.model(input_ids=padded, attention_mask=mask, position_ids=places)
        logs = output.logits.double().log_softmax(-1)
        right = scoring.sequence_log_probabilities(lm.model, ids)
    left = [
        sum(float(logs[row, t - 1, padded[row, t]]) for t in range(length - len(x) + 1, length))
        for row, x in enumerate(ids)
    ]
    single = [toys.slow_log_probability(lm, s) for s in pairs["good"]]
    np.testing.assert_allclose(left, single, rtol=0, atol=toys.TOLERANCE)
    np.testing.assert_allclose(right, single, rtol=0, atol=toys.TOLERANCE)


def test_identical_pairs_have_margin_zero_and_count_one_half():
    lm = toys.gpt2()
    same = [("the cat sleeps .", "the cat sleeps .")] * 2
    other = [("the cat sees a dog .", "the cat see a dog ."), ("the dog .", "the dog ?")]
    table, each = scoring.score(lm, toys.pairs_of({"t": [*same, *other]}))
    assert list(each["margin"][:2]) == [0.0, 0.0]  # exactly, whatever else is in the batch
    right = (each["margin"][2:] > 0).sum()
    assert table["accuracy"].item() == (right + 2 * 0.5) / 4
    assert table["ties"].item() == 2
    assert scoring.verdicts(np.array([-1e-30, 0.0, 1e-30])).tolist() == [0, 0.5, 1]


def test_identical_pairs_have_margin_zero_whatever_the_last_digit(monkeypatch):
    """In a batch of another size a sentence may get another last digit: here it always does."""
    lm, pairs, real = toys.gpt2(), toys.english(16), scoring.sequence_log_probabilities
    noisy = lambda *a: (found := real(*a)) + 1e-5 * torch.rand(found.shape)  # noqa: E731
    monkeypatch.setattr(trees, "FAMILIES", set())
    monkeypatch.setattr(scoring, "sequence_log_probabilities", noisy)
    assert (scoring.margins(lm, pairs.assign(bad=pairs["good"])) == 0).all()


def test_a_pair_may_differ_in_its_first_word():
    """P(x | BOS) decides; the rest is the same."""
    lm = toys.bigram(words="x y z")
    with torch.no_grad():
        lm.model.table.zero_()
        lm.model.table[toys.BOS, 3] = 2.0
    pairs = toys.pairs_of({"t": [("x z", "y z")] * 4})
    np.testing.assert_allclose(scoring.margins(lm, pairs), 2.0, atol=1e-5)


def test_without_bos_the_first_word_is_not_scored():
    lm = toys.bigram(words="x y z", bos_id=None, bos="none")
    (got,) = scoring.log_probabilities(lm, ["x y z"])
    logs = lm.model.table.detach().double().log_softmax(-1)
    assert got == pytest.approx(float(logs[3, 4] + logs[4, 5]), abs=1e-5)
    with pytest.raises(InputError, match="no token to score"):
        scoring.log_probabilities(lm, ["x"])


def test_a_table_of_scores_worked_by_hand():
    lm = toys.bigram(words="x y z")
    with torch.no_grad():
        lm.model.table.zero_()
        lm.model.table[3, 4] = 1.0  # y after x
    wins, loses = ("x y", "x z"), ("x z z", "x y z")
    table, each = scoring.score(
        lm, toys.pairs_of({"b": [wins, wins, wins, loses], "a": [wins] * 4})
    )
    assert table["task"].tolist() == ["a", "b"]
    b = table.iloc[1]
    assert (b["n"], b["accuracy"], b["ties"]) == (4, 0.75, 0)
    assert b["margin"] == pytest.approx(0.5, abs=1e-6)
    assert b["margin_sd"] == pytest.approx(1.0, abs=1e-6)  # of 1, 1, 1, −1 around ½
    x = math.log(5 + math.e)  # the normaliser after x; ln 6 after every other token
    bits = 3 * (math.log(6) + x - 1) + (math.log(6) + x + math.log(6))
    assert b["bits_per_token"] == pytest.approx(bits / 9 / math.log(2), abs=1e-6)
    assert len(each) == 8


def test_longer_than_the_context_is_an_error():
    lm = toys.gpt2()
    fits = " ".join(["cat"] * 23)  # and BOS: 24
    assert np.isfinite(scoring.log_probabilities(lm, [fits])).all()
    with pytest.raises(InputError, match=r"25 tokens with BOS.*at most 24"):
        scoring.log_probabilities(lm, [fits, f"{fits} cat"])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_raise(value):
    lm = toys.gpt2()
    with torch.no_grad():
        lm.model.transformer.h[0].mlp.c_fc.weight[0, 0] = value
    with pytest.raises(InputError, match="no finite log-probability"):
        scoring.score(lm, toys.english(4))


def test_model_and_tokenizer_come_back_as_they_were():
    lm, pairs = toys.gpt2(), toys.english(8)
    weights, words = toys.state(lm), lm.tokenizer.backend_tokenizer.to_str()
    scoring.score(lm, pairs)
    assert toys.state(lm) == weights
    assert lm.tokenizer.backend_tokenizer.to_str() == words
    assert not lm.model.training
    assert all(p.grad is None for p in lm.model.parameters())


def test_nothing_to_score_is_no_error():
    assert scoring.log_probabilities(toys.gpt2(), []).shape == (0,)


def test_text_loss_is_a_mean_over_tokens_not_over_lines():
    lm = toys.gpt2()
    lines = ["the cat .", "the old dog sees a cat near the dogs .", "a dog ."]
    total = -sum(toys.slow_log_probability(lm, line) for line in lines)
    tokens = sum(len(line.split()) for line in lines)
    assert scoring.text_loss(lm.model, lm.encode(lines)) == pytest.approx(total / tokens, abs=1e-5)


def test_half_precision_scores_near_ties_again_in_full():
    lm, pairs = toys.gpt2(), toys.english(24)
    full = scoring.margins(lm, pairs)
    lm.precision = "bf16"
    half = scoring.log_probabilities(lm, [*pairs["good"], *pairs["bad"]]).reshape(2, -1)
    rough, found = half[0] - half[1], scoring.margins(lm, pairs)
    near = np.abs(rough) < scoring.NEAR_TIE
    assert near.any()
    assert not near.all()
    assert (rough != full).any()  # bf16 is another arithmetic
    np.testing.assert_allclose(found[near], full[near], atol=toys.TOLERANCE)
    np.testing.assert_array_equal(found[~near], rough[~near])
    np.testing.assert_allclose(found, full, atol=0.2)
    assert (np.sign(found) == np.sign(full)).all()
