"""Part of the weights: predictions stay, gradients are those of that part, names say it."""

from __future__ import annotations

import os
import re

import numpy as np
import pytest
import torch

from taskspace_utils import cells, ftgd, models, partial, scales, scoring, store
from taskspace_utils.store import InputError

from . import toys


@pytest.fixture
def pairs():
    return toys.english()


def by_name(lm, some) -> dict[str, torch.Tensor]:
    gradient = ftgd.loss_gradient(lm, some)[0]
    named = ftgd.parameters(lm.model)
    parts = gradient.split([p.numel() for p in named.values()])
    return {name: part.view_as(p) for (name, p), part in zip(named.items(), parts, strict=True)}


@pytest.mark.parametrize("params", ["blocks", "last-1", "last-2"])
def test_the_gradient_is_that_part_of_the_whole_one(params, pairs):
    some = pairs[pairs["task"] == "agree"]
    whole, lm = by_name(toys.gpt2(), some), partial.restrict(toys.gpt2(), params)
    part = by_name(lm, some)
    assert part.keys() < whole.keys()
    for name, gradient in part.items():
        torch.testing.assert_close(gradient, whole[name], rtol=1e-4, atol=1e-6)
    left_out = whole.keys() - part.keys()
    if params == "blocks":
        assert left_out == {"transformer.wte.weight", "transformer.wpe.weight"}
    else:
        number = int(params[-1])
        numbers = {name.split(".")[2] for name in part}
        assert numbers == {str(i) for i in range(2 - number, 2)}
        assert all(name.startswith("transformer.h.") for name in part)


@pytest.mark.parametrize("params", ["blocks", "last-1", "lora", "lora-2"])
def test_predictions_stay_and_the_name_says_it(params, pairs):
    lm = partial.restrict(toys.gpt2(), params)
    np.testing.assert_array_equal(scoring.margins(lm, pairs), scoring.margins(toys.gpt2(), pairs))
    assert lm.name == f"toy+{'lora-4' if params == 'lora' else params}"


@pytest.mark.parametrize("params", ["", "all"])
def test_all_weights_are_the_model_itself(params):
    lm = toys.gpt2()
    assert partial.restrict(lm, params) is lm


def test_a_low_rank_gradient_is_the_whole_one_projected(pairs):
    """d/dB of W + s·B·A is s·G·Aᵀ, with G the gradient with respect to W."""
    some = pairs[pairs["task"] == "plural"]
    whole, lm = by_name(toys.gpt2(), some), partial.restrict(toys.gpt2(), "lora-2")
    part = by_name(lm, some)
    matrices = {n: p for n, p in toys.gpt2().model.named_parameters()
                if n.startswith("transformer.h.") and p.dim() == 2}  # fmt: skip
    length = sum(float(p.detach().double().square().sum()) for p in matrices.values()) ** 0.5
    assert len(part) == len(matrices) == 8
    for name, gradient in part.items():
        place = name.removesuffix(".parametrizations.weight.0.b")
        addition = lm.model.get_submodule(f"{place}.parametrizations.weight.0")
        a = addition.a
        torch.testing.assert_close(a @ a.T, torch.eye(2), atol=1e-5, rtol=0)
        expected = length * whole[f"{place}.weight"] @ a.T
        torch.testing.assert_close(
            gradient, expected, rtol=1e-3, atol=1e-4 * float(expected.norm())
        )


def test_displacement_of_a_low_rank_tuning_is_that_of_its_matrices(pairs):
    some = pairs[(pairs["task"] == "agree")]
    plain, lm = toys.gpt2(), partial.restrict(toys.gpt2(), "lora")
    done = ftgd.tune(lm, some, ftgd.Config(k=1.0, target=0.5))
    assert done.reached
    moved = length = 0.0
    for name, p in plain.model.named_parameters():
        if name.startswith("transformer.h.") and p.dim() == 2:
            now = lm.model.get_submodule(name.removesuffix(".weight")).weight.detach()
            moved += float((now - p.detach()).double().square().sum())
            length += float(p.detach().double().square().sum())
    assert done.displacement == pytest.approx((moved / length) ** 0.5, rel=1e-3)


def test_the_same_additions_in_every_process():
    one, other = (partial.restrict(toys.gpt2(), "lora") for _ in "ab")
    assert all(
        torch.equal(a, b) for a, b in zip(one.model.buffers(), other.model.buffers(), strict=True)
    )
    lm = toys.gpt2()
    state = torch.random.get_rng_state()
    partial.restrict(lm, "lora")
    assert torch.equal(torch.random.get_rng_state(), state), "others' chance was touched"


@pytest.mark.parametrize("params", ["last", "last-0", "lora-0", "heads", "blocks-2"])
def test_what_is_no_part_is_refused(params):
    with pytest.raises(InputError, match="there are all, blocks, last-N"):
        partial.named(params)


def test_more_blocks_than_there_are():
    with pytest.raises(InputError, match="toy has 2 blocks"):
        partial.restrict(toys.gpt2(), "last-3")


def test_keys_of_whole_models_are_as_they_were(tmp_path):
    """What was computed before there were parts is found again."""
    scale = scales.load_scale("XS")
    tokenizer = scales.new_tokenizer(scale, [toys.WORDS])
    scales.new_model(scale, len(tokenizer), 0).save_pretrained(tmp_path / "m")
    tokenizer.save_pretrained(tmp_path / "m")

    def about(params):
        cell = cells.Cell("gradient", cells.Source(str(tmp_path / "m"), params=params))
        return cells.about_cell(cell, "inputs")

    whole, part = about(""), about("blocks")
    assert set(whole["model"]) == {"revision", "bos", "name", "step", "files"}
    assert part["model"]["params"] == "blocks"
    assert store.key_of(whole) != store.key_of(part)
    lm = cells.loaded(cells.Source(str(tmp_path / "m"), params="last-1"))
    assert lm.keys["model"] == "m+last-1"
    assert len(ftgd.parameters(lm.model)) == 12
    assert isinstance(lm, models.LanguageModel)


def test_a_plan_counts_the_weights_that_may_not_move(pairs, monkeypatch):
    """They take memory all the same: `--params` is for models of which they are the most."""
    lm, said = toys.gpt2(), {}
    whole = sum(p.numel() for p in lm.model.parameters())
    lm.model.more = torch.nn.Parameter(torch.zeros(1).expand(10**9))  # no memory
    for params in ("", "last-1"):
        monkeypatch.setattr(cells, "loaded", lambda _, params=params: partial.restrict(lm, params))
        some = pairs.assign(split=["train", "eval"] * (len(pairs) // 2))
        said[params] = cells.plan(cells.Source("toy", params=params), some, ["gradient"], 1)
    small = sum(p.numel() for p in ftgd.parameters(lm.model).values())
    assert f"{(whole + 1e9) / 1e6:.2f} million parameters, BOS" in said[""]
    assert f"parameters, of which {small / 1e6:.2f} million may move, BOS" in said["last-1"]
    memory = {name: float(re.search(r"about (\S+) GB\n", text)[1]) for name, text in said.items()}
    of_each = min(os.cpu_count() or 1, some["task"].nunique())
    assert memory["last-1"] == pytest.approx((4 + 0.6) * of_each, rel=0.01)
    assert memory[""] == pytest.approx((24 + 0.6) * of_each, rel=0.01)
