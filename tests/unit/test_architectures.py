"""Families of causal models, built on the spot, saved and loaded: each gives the oracle's numbers.

The oracle takes one sentence at a time, in float64 where the family computes in it throughout, and
adds up plain log-softmaxes; its gradients come from one backward pass a sentence.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
import transformers as hf

from taskspace_utils import ftgd, gradients, models, probing, scoring, spaces, trees
from taskspace_utils.ftgd import Config

from . import toys

SIZE = len(toys.tokenizer())
SMALL = {"vocab_size": SIZE, "hidden_size": 16, "num_hidden_layers": 2}
HEADS = SMALL | {"num_attention_heads": 2, "max_position_embeddings": 24}
ROPE = HEADS | {"intermediate_size": 32, "initializer_range": 0.4}
MARKS = {"bos_token_id": toys.BOS, "eos_token_id": toys.BOS, "pad_token_id": toys.PAD}
GPT2 = {"vocab_size": SIZE, "n_positions": 24, "n_embd": 16, "n_layer": 2, "n_head": 2}
GPT2 |= {"initializer_range": 0.4}


def built(kind: str, **settings):
    """Makes an untrained model of a class of transformers, far from uniform."""
    config = getattr(hf, f"{kind}Config")(**MARKS | settings)
    head = "LMHeadModel" if kind == "GPT2" else "ForCausalLM"
    return getattr(hf, f"{kind}{head}")(config)


BUILDERS = {
    "gpt2": functools.partial(built, "GPT2", **GPT2),
    "gpt2 of a careful layer": functools.partial(
        built, "GPT2", reorder_and_upcast_attn=True, scale_attn_by_inverse_layer_idx=True, **GPT2
    ),
    "gpt_neox": functools.partial(built, "GPTNeoX", **ROPE),
    "gpt_neox in series": functools.partial(built, "GPTNeoX", use_parallel_residual=False, **ROPE),
    "llama": functools.partial(built, "Llama", num_key_value_heads=1, **ROPE),
    "opt": functools.partial(
        built, "OPT", ffn_dim=32, word_embed_proj_dim=16, init_std=0.4, **HEADS
    ),
    "opt of post-norm": functools.partial(
        built, "OPT", ffn_dim=32, word_embed_proj_dim=8, init_std=0.4, do_layer_norm_before=False,
        **HEADS,
    ),
    "bloom": functools.partial(
        built, "Bloom", vocab_size=SIZE, hidden_size=16, n_layer=2, n_head=2, initializer_range=0.4
    ),
    "mixtral": functools.partial(
        built, "Mixtral", num_local_experts=3, num_experts_per_tok=2, num_key_value_heads=1, **ROPE
    ),
    "mamba": functools.partial(
        built, "Mamba", state_size=4, conv_kernel=4, initializer_range=0.4, **SMALL
    ),
    "rwkv": functools.partial(
        built, "Rwkv", attention_hidden_size=16, rescale_every=1, context_length=24, **SMALL
    ),
    "recurrent_gemma": functools.partial(
        built, "RecurrentGemma", num_attention_heads=2, num_key_value_heads=1, lru_width=16,
        attention_window_size=4, w_init_variance_scale=4.0, block_types=["recurrent", "attention"],
        intermediate_size=32, **SMALL,
    ),
}  # fmt: skip
# BLOOM has one attention of its own, and recurrent models hardly any.
ATTENDING = [n for n in BUILDERS if n not in ("bloom", "mamba", "rwkv", "recurrent_gemma")]
# Parts of these compute in float32 whatever one asks for.
SINGLE = {"mixtral", "mamba", "rwkv", "recurrent_gemma"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder of each family, made when it is first asked for."""

    @functools.cache
    def folder(name: str):
        torch.manual_seed(1)
        made, path = BUILDERS[name](), tmp_path_factory.mktemp("families") / name.replace(" ", "-")
        with torch.no_grad():  # some classes start some weights at zero or small, whatever is asked
            for weight in made.parameters():
                weight.add_(0.2 * torch.randn_like(weight))
        made.save_pretrained(path)
        toys.tokenizer().save_pretrained(path)
        return path

    return folder


@pytest.fixture
def load(folders):
    def loaded(name: str, bos: str = "bos", double: bool = True):
        lm = models.load_model(folders(name), bos=bos)
        if double and name not in SINGLE:
            lm.model.double()
        return lm

    return loaded


# -------------------------------------------------------------------------------------- the oracle


def slow_gradient(lm, pairs) -> np.ndarray:
    """The mean over pairs of ∇ log P(bad) − ∇ log P(good): a backward pass a sentence."""
    weights = list(ftgd.parameters(lm.model).values())
    total = np.zeros(sum(p.numel() for p in weights))
    prefix = [] if lm.bos_id is None else [lm.bos_id]
    for row in pairs.itertuples():
        for sentence, sign in ((row.good, -1), (row.bad, 1)):
            ids = prefix + lm.tokenizer(sentence, add_special_tokens=False)["input_ids"]
            logs = (
                lm.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].log_softmax(-1)
            )
            value = sum(logs[t - 1, ids[t]] for t in range(1, len(ids)))
            found = torch.autograd.grad(value, weights, allow_unused=True)
            parts = [
                torch.zeros_like(p) if g is None else g for g, p in zip(found, weights, strict=True)
            ]
            total += sign / len(pairs) * torch.cat([g.flatten() for g in parts]).double().numpy()
    return total


def slow_transfer(lm, pairs, source: str, config: Config) -> tuple[dict, dict]:
    """Chapter 5's step rule in one place, then all margins: before and after, a mean a task."""
    train = pairs[(pairs["task"] == source) & (pairs["split"] == "train")]
    held = pairs[pairs["split"] == "eval"]
    weights, first = list(ftgd.parameters(lm.model).values()), toys.slow_margins(lm, train).mean()
    before = means(held, toys.slow_margins(lm, held))
    start = vector = torch.cat([p.detach().flatten() for p in weights]).double().numpy()
    gradient, gain = slow_gradient(lm, train), 0.0
    kept = np.argsort(-np.abs(gradient), kind="stable")[: round(config.k * len(gradient))]
    mask = np.zeros(len(gradient))
    mask[kept] = 1

    def write(values: np.ndarray) -> None:
        torch.nn.utils.vector_to_parameters(torch.tensor(values, dtype=weights[0].dtype), weights)

    while gain < config.target - 0.1:
        direction = mask * gradient
        size = min(config.delta, config.target - gain)
        while True:
            write(vector - size / (direction @ direction) * direction)
            new = toys.slow_margins(lm, train).mean() - first
            if new - gain < size / 2:
                size /= 2
            elif new > config.target + 0.1:
                size *= (config.target - gain) / (new - gain)
            else:
                break
        vector, gain = vector - size / (direction @ direction) * direction, new
        gradient = slow_gradient(lm, train)
    after = means(held, toys.slow_margins(lm, held))
    write(start)
    return before, after


def means(pairs, values: np.ndarray) -> dict[str, float]:
    return pairs.assign(value=values).groupby("task")["value"].mean().to_dict()


# ---------------------------------------------------------------------------------------- the tests


@pytest.mark.parametrize("bos", ["bos", "none"])
@pytest.mark.parametrize("name", BUILDERS)
def test_scores_are_the_oracles(name, bos, load):
    lm, pairs = load(name, bos), toys.english(16)
    oracle = toys.slow_margins(lm, pairs)
    np.testing.assert_allclose(scoring.margins(lm, pairs), oracle, rtol=0, atol=toys.TOLERANCE)
    sentences = [*pairs["good"], *pairs["bad"]]
    single = [toys.slow_log_probability(lm, sentence) for sentence in sentences]
    found = scoring.log_probabilities(lm, sentences)
    np.testing.assert_allclose(found, single, rtol=0, atol=toys.TOLERANCE)
    assert np.ptp(oracle) > 0.5  # far from uniform, so that the test can fail


@pytest.mark.parametrize("bos", ["bos", "none"])
@pytest.mark.parametrize("name", BUILDERS)
def test_gradients_are_the_oracles(name, bos, load):
    lm, pairs = load(name, bos), toys.english(8)
    weights = toys.state(lm)
    found = ftgd.loss_gradient(lm, pairs)[0].double().numpy()
    assert toys.state(lm) == weights
    oracle = slow_gradient(lm, pairs)
    assert np.linalg.norm(found - oracle) < 1e-4 * np.linalg.norm(oracle)


@pytest.mark.parametrize("name", BUILDERS)
def test_gradient_spaces_are_the_oracles(name, load):
    lm, pairs = load(name), toys.english(8)
    found = spaces.square(gradients.gradient_space(lm, pairs)[0], "cosine")
    unit = {}
    for (task, half), some in pairs.groupby(["task", "split"]):
        gradient = slow_gradient(lm, some)
        unit[task, half] = gradient / np.linalg.norm(gradient)
    oracle = [
        [(unit[a, "train"] @ unit[b, "eval"] + unit[b, "train"] @ unit[a, "eval"]) / 2
         for b in found.columns]
        for a in found.index
    ]  # fmt: skip
    np.testing.assert_allclose(found, oracle, rtol=0, atol=1e-4)


@pytest.mark.parametrize("k", [0.05, 1.0])
@pytest.mark.parametrize("name", BUILDERS)
def test_transfer_rows_are_the_oracles(name, k, load):
    lm, pairs, config = load(name), toys.english(8), Config(k=k, target=0.9, max_displacement=1e9)
    before, after = slow_transfer(lm, pairs, "agree", config)
    row, summary, _ = probing.transfer_row(lm, pairs, "agree", config)
    row = row.set_index("target")
    assert summary["reached"], summary
    for task in before:
        assert row["margin_before"][task] == pytest.approx(before[task], abs=toys.TOLERANCE)
        assert row["margin_after"][task] == pytest.approx(after[task], abs=1e-3)
    assert abs(after["agree"] - before["agree"]) > 0.01


@pytest.mark.parametrize("name", ATTENDING)
def test_eager_and_sdpa_attention_give_the_same_numbers(name, load):
    pairs, found = toys.english(8), []
    for attention in ("eager", "sdpa"):
        lm = load(name, double=False)
        lm.model.set_attn_implementation(attention)
        assert lm.model.config._attn_implementation == attention
        found.append((scoring.margins(lm, pairs), ftgd.loss_gradient(lm, pairs)[0]))
    (one, first), (other, second) = found
    np.testing.assert_allclose(one, other, rtol=0, atol=toys.TOLERANCE)
    assert float((first - second).norm()) < 1e-4 * float(first.norm())


@pytest.mark.parametrize("name", BUILDERS)
def test_only_tested_families_share_beginnings(name, load, monkeypatch):
    """The others go the padded way, which assumes nothing of a model but that it is causal."""
    lm = load(name, double=False)
    assert trees.fits(lm.model) == (name.split()[0] in ("gpt2", "gpt_neox", "llama"))
    if not trees.fits(lm.model):
        monkeypatch.setattr(trees, "passes", None)  # would raise if it were called
    assert len(scoring.margins(lm, toys.english(4))) == 12
