"""Other ways to tune: losses crossed with the weights that may move, under one step rule.

A way is a loss of a task's pairs (plain, differential, preference optimisation, self-play) and a
choice of weights (all, the largest of the gradient, low-rank additions). Everything else is held
fixed, the step rule and the target of chapter 5 too, so that ways differ in these two alone. What
they gain and cost is read by `equal_gain`; what else they move is a transfer space of their own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch.nn.utils import parametrize
from transformers.pytorch_utils import Conv1D

from taskspace_utils import ftgd
from taskspace_utils.models import LanguageModel
from taskspace_utils.store import InputError
from taskspace_utils.studies.lessons import SIGMOIDS, Lesson

DELTA = 0.3  # predicted fall of the loss in a step, nats; of a loss with a floor, see `teach`
MAX_STEPS = 60
ROUND = 5  # steps that self-play takes against one opponent


@dataclass(frozen=True)
class Way:
    """A loss, and the weights that may move.

    `weights` is "all", "blocks" (all but what belongs to single tokens or positions), "top-K" (the
    share K with the largest gradient) or "lora-R" (low-rank additions, see `low_rank`).
    """

    label: str
    loss: str
    weights: str = "all"
    beta: float = 0.0


WAYS = {
    "plain": Way("good, from the difference", "plain"),
    "critical": Way("good, differing tokens", "critical"),
    "differential": Way("differential", "differential"),
    "preference": Way("preference, β = 0.1", "preference", beta=0.1),
    "preference-1": Way("preference, β = 1", "preference", beta=1.0),
    "self-play": Way("self-play, β = 0.1", "self-play", beta=0.1),
    "differential-blocks": Way("differential, no embeddings", "differential", "blocks"),
    "differential-top": Way("differential, top 1 %", "differential", "top-0.01"),
    "differential-lora-1": Way("differential, LoRA of rank 1", "differential", "lora-1"),
    "differential-lora-4": Way("differential, LoRA of rank 4", "differential", "lora-4"),
    "plain-lora-4": Way("good, LoRA of rank 4", "plain", "lora-4"),
}


# -------------------------------------------------------------------------------------- the weights


class _Product(torch.nn.Module):
    """W + A·B, or its transpose where a layer keeps its matrices the other way; B = 0 at first."""

    def __init__(self, weight: torch.Tensor, rank: int, chance: torch.Generator, turned: bool):
        super().__init__()
        inputs, outputs = weight.shape[::-1] if turned else weight.shape
        rank, self.turned = min(rank, inputs, outputs), turned
        drawn = torch.rand(inputs, rank, generator=chance) * 2 - 1
        self.a = torch.nn.Parameter((drawn / inputs**0.5).to(weight))
        self.b = torch.nn.Parameter(weight.new_zeros(rank, outputs))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        added = self.a @ self.b
        return weight + (added.T if self.turned else added)


def low_rank(lm: LanguageModel, rank: int, seed: int = 0) -> LanguageModel:
    """A copy in which only low-rank additions to the blocks' matrices may move; they begin at 0.

    LoRA (Hu et al. 2022) with both factors free: A is drawn evenly within ±1/√inputs, B is 0, and
    the factor α/r is 1.

    Raises:
        InputError: the model has no layer of the two kinds that are known here.
    """
    lm = replace(lm, model=copy.deepcopy(lm.model))
    chance, output = torch.Generator().manual_seed(seed), lm.model.get_output_embeddings()
    layers = [m for m in lm.model.modules() if isinstance(m, Conv1D | torch.nn.Linear)]
    layers = [m for m in layers if m is not output]
    if not layers:
        raise InputError(f"{lm.name} has no matrices to which a low-rank addition could be made")
    lm.model.requires_grad_(False)
    for m in layers:
        product = _Product(m.weight, rank, chance, isinstance(m, torch.nn.Linear))
        parametrize.register_parametrization(m, "weight", product, unsafe=True)
    return lm


@contextmanager
def opened(lm: LanguageModel, way: Way, seed: int = 0) -> Iterator[LanguageModel]:
    """A model with a way's weights free; after the `with` block, `lm` is as it was, bit for bit."""
    kind, _, size = way.weights.partition("-")
    if kind == "lora":
        yield low_rank(lm, int(size), seed)
        return
    before = ftgd.flat_weights(lm.model)
    try:
        yield lm
    finally:
        ftgd.set_weights(lm.model, before)


def _mask(lm: LanguageModel, way: Way, gradient: torch.Tensor) -> torch.Tensor:
    """1 for the free weights that a way moves, else 0; chosen once, by the first gradient."""
    kind, _, size = way.weights.partition("-")
    if kind == "blocks":
        outside = ftgd.embedding_names(lm.model)
        named = ftgd.parameters(lm.model).items()
        return torch.cat([gradient.new_full((p.numel(),), n not in outside) for n, p in named])
    if kind == "top":
        return torch.zeros_like(gradient).index_fill_(0, ftgd.top_k(gradient, float(size)), 1.0)
    return torch.ones_like(gradient)


# ------------------------------------------------------------------------------------ the teaching


def teach(
    lm: LanguageModel,
    pairs: pd.DataFrame,
    way: Way,
    target: float,
    seed: int = 0,
    watch: Callable[[float], object] = lambda gain: None,
) -> tuple[float, int, str]:
    """Tune in place until the mean margin of the pairs has risen by a target (equation 5.4).

    A step promises δ nats of the way's own loss, of a loss with a floor at most a quarter of what
    is left above it, and is halved while it keeps less than half of that. Whether the margin, which
    only some losses know, has risen enough, is asked after each step; the last one is trimmed.

    Args:
        pairs: the task's train pairs.
        target: nats.
        seed: of self-play and of low-rank additions, which the caller makes.
        watch: called with the gain after every step.

    Returns:
        gain of the mean train margin (nats), steps, and why the target was not reached ("").
    """
    lesson = Lesson(lm, pairs, way.loss, way.beta, seed)
    loss, first, ask = lesson.look()
    gradient = ask()
    mask = _mask(lm, way, gradient)
    weights, gain, steps = ftgd.flat_weights(lm.model), 0.0, 0
    while gain < target - ftgd.TOLERANCE:
        if steps >= MAX_STEPS:
            return gain, steps, f"not reached in {MAX_STEPS} steps"
        if way.loss == "self-play" and steps and steps % ROUND == 0:
            lesson.renew()
            loss, _, ask = lesson.look()
            gradient = ask()
        direction = gradient * mask
        slope = ftgd.norm(direction) ** 2
        if not slope > 0:
            return gain, steps, "zero gradient"
        promised = min(DELTA, loss / 4) if way.loss in SIGMOIDS else DELTA
        if way.loss == "differential":
            promised = min(promised, target - gain)
        for _ in range(ftgd.HALVINGS):
            trial = weights - direction * (promised / slope)
            ftgd.set_weights(lm.model, trial)
            new_loss, margin, ask = lesson.look()
            if not np.isfinite(new_loss) or loss - new_loss < promised / 2:
                promised /= 2
            elif margin - first > target + ftgd.TOLERANCE:
                promised *= (target - gain) / (margin - first - gain)
            else:
                break
        else:
            ftgd.set_weights(lm.model, weights)
            return gain, steps, "no step kept half of what the gradient promised"
        weights, gradient, loss, gain = trial, ask(), new_loss, margin - first
        steps += 1
        watch(gain)
    return gain, steps, ""
