"""Prefix trees: the padded way's numbers with less work."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, LlamaConfig, LlamaForCausalLM

from taskspace_utils import ftgd, scoring, trees

from . import toys

SIZE = {"vocab_size": 24, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
SIZE |= {"intermediate_size": 32, "max_position_embeddings": 32, "initializer_range": 0.4}
SIZE |= {"bos_token_id": 0, "eos_token_id": 1}


passes = functools.partial(trees.passes, tokens=scoring.CHUNK_TOKENS)


def model_of(family: str) -> torch.nn.Module:
    torch.manual_seed(0)
    if family == "gpt2":
        return toys.gpt2().model
    if family == "gpt_neox":
        return GPTNeoXForCausalLM(GPTNeoXConfig(**SIZE)).eval()
    return LlamaForCausalLM(LlamaConfig(**SIZE, num_key_value_heads=1)).eval()


def gathered(way, model, ids):
    values = torch.full((len(ids),), torch.nan)
    for places, found in way(model, ids):
        values[places] = found.detach()
    return values.numpy()


def sequences(seed: int = 0, n: int = 40, longest: int = 20) -> list[list[int]]:
    """Random sequences after BOS over three words, so that many begin alike."""
    rng = np.random.default_rng(seed)
    return [[0, *rng.integers(2, 5, rng.integers(1, longest)).tolist()] for _ in range(n)]


@pytest.mark.parametrize("family", sorted(trees.FAMILIES))
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_every_family_gives_the_padded_numbers(family, attention):
    model = model_of(family)
    model.set_attn_implementation(attention)
    assert trees.fits(model)
    ids = sequences()
    slow = gathered(scoring.padded, model, ids)
    assert np.ptp(slow) > 10  # far from uniform, so that the test can fail
    np.testing.assert_allclose(gathered(passes, model, ids), slow, rtol=0, atol=1e-4)


@given(
    st.lists(st.lists(st.integers(2, 4), min_size=0, max_size=12), min_size=1, max_size=25),
    st.integers(1, 40),
    st.integers(1, 200),
)
@settings(max_examples=60, deadline=None)
def test_any_sentences_any_row_any_pass(sentences, row, whole):
    """Beginnings of one another, repeated, longer than a row, of one token: all are scored."""
    model, ids = toys.gpt2().model, [[0, *words] for words in sentences]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trees, "ROW_TOKENS", row)
        found = gathered(functools.partial(trees.passes, tokens=whole), model, ids)
    np.testing.assert_allclose(found, gathered(scoring.padded, model, ids), rtol=0, atol=1e-4)


def test_a_shared_beginning_is_read_once():
    ids = [[0, 2, 3, 4, 5], [0, 2, 3, 6, 5], [0, 2, 3, 4, 7], [0, 8, 3, 4, 5]]
    (row,) = trees._rows(ids)
    # 0 2 3 4, then 6, then another beginning 8 3 4 under the same first token
    assert row.tokens == [0, 2, 3, 4, 6, 8, 3, 4]
    assert row.parents == [-1, 0, 1, 2, 2, 0, 5, 6]
    assert row.paths == {0: [0, 1, 2, 3], 2: [0, 1, 2, 3], 1: [0, 1, 2, 4], 3: [0, 5, 6, 7]}


def test_rows_stay_short_and_passes_small(monkeypatch):
    sizes = []
    real = trees._forward
    monkeypatch.setattr(
        trees,
        "_forward",
        lambda m, i, rows: sizes.append([len(r.tokens) for r in rows]) or real(m, i, rows),
    )
    gathered(passes, toys.gpt2().model, sequences(n=300))
    assert max(max(rows) for rows in sizes) <= trees.ROW_TOKENS
    assert all(len(rows) == 1 or len(rows) * max(rows) <= scoring.CHUNK_TOKENS for rows in sizes)
    assert len(sizes) > 1


def test_gradients_are_those_of_the_padded_way(monkeypatch):
    lm, pairs = toys.gpt2(), toys.english(16)
    fast = ftgd.loss_gradient(lm, pairs)
    monkeypatch.setattr(trees, "FAMILIES", set())
    slow = ftgd.loss_gradient(lm, pairs)
    assert float((fast[0] - slow[0]).norm() / slow[0].norm()) < 1e-5
    for a, b in zip(fast[1:], slow[1:], strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=toys.TOLERANCE)


def test_other_families_go_the_padded_way(monkeypatch):
    lm = toys.bigram()
    assert not trees.fits(lm.model)
    monkeypatch.setattr(trees, "passes", None)  # would raise if it were called
    scoring.log_probabilities(lm, ["the cat sleeps .", "the cat sleep ."])


def test_nothing_to_score_is_nothing():
    assert list(passes(toys.gpt2().model, [])) == []
