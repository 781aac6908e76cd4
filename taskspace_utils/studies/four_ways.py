"""Equations 5.1 to 5.6, each in four ways that share as little as possible (chapter 5).

By hand (the derivative of a cross-entropy with respect to the logits is p − e), by automatic
differentiation, by finite differences, and by the package. `compare` holds them side by side and
raises where they part. Fit for models of which few parameters may move.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pandas as pd
import torch
from torch.nn.functional import one_hot
from torch.nn.utils.rnn import pad_sequence

from taskspace_utils.ftgd import (
    Config,
    flat_weights,
    loss_gradient,
    norm,
    parameters,
    set_weights,
    top_k,
    tune,
)
from taskspace_utils.models import LanguageModel

WITHIN = 1e-3  # relative: float32 and finite differences agree no better
DELTA, TARGET, TOLERANCE = 0.15, 0.3, 0.1  # nats: of a step, of the tuning, at its end
MOST = 20  # steps: a way with a wrong sign would walk for ever


class _TwoWords(torch.nn.Module):
    """Whatever came before, the next word is the first (logit a) or the second (logit b)."""

    def __init__(self, a: float, b: float) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(torch.tensor([a, b], dtype=torch.float64))

    def forward(self, input_ids: torch.Tensor, use_cache: bool = False):
        return SimpleNamespace(logits=self.logits.expand(*input_ids.shape, 2))

    def get_output_embeddings(self) -> None:
        return None


def two_words(a: float, b: float, first: str = "walks", second: str = "walk") -> LanguageModel:
    """The smallest language model: two words, of which the logits are all its parameters."""

    def tokenizer(sentences: list[str], add_special_tokens: bool = False) -> dict:
        return {"input_ids": [[[first, second].index(sentence)] for sentence in sentences]}

    tokenizer.unk_token_id = None
    about = {"name": "two words", "bos": "bos", "bos_id": 2, "context": None}
    return LanguageModel(model=_TwoWords(a, b), tokenizer=tokenizer, weights="", card={}, **about)


def losses(lm: LanguageModel, ids: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """(5.1): L of each sentence, and p − e at each of its places (0 where it has ended)."""
    rows = pad_sequence([torch.tensor(tokens) for tokens in ids], batch_first=True)
    there = pad_sequence([torch.ones(len(tokens) - 1) for tokens in ids], batch_first=True)
    logs = lm.model(input_ids=rows, use_cache=False).logits[:, :-1].log_softmax(-1)
    came = logs.gather(-1, rows[:, 1:, None])[..., 0]
    errors = logs.exp() - one_hot(rows[:, 1:], logs.shape[-1])
    return -(came * there).sum(1), errors * there[..., None]


def _weighted(lm: LanguageModel, pairs: pd.DataFrame, loss: str):
    """Token ids, and what each sentence's loss counts: (5.1) takes the good, (5.2) both."""
    n, bad = len(pairs), -1.0 if loss == "differential" else 0.0
    ids = lm.encode([*pairs["good"], *pairs["bad"]])
    return ids, torch.tensor([1.0] * n + [bad] * n, dtype=torch.float64) / n


def by_hand(lm, pairs: pd.DataFrame, loss: str) -> tuple[float, torch.Tensor]:
    """Σ_t Wᵀ(p_t − e_t); where the parameters are the logits, W is the identity."""
    ids, weight = _weighted(lm, pairs, loss)
    each, errors = losses(lm, ids)
    table = lm.model.get_output_embeddings()
    rows = errors if table is None else errors @ table.weight
    return (weight @ each).item(), (weight[:, None, None] * rows).sum((0, 1)).detach()


def by_autograd(lm, pairs: pd.DataFrame, loss: str) -> tuple[float, torch.Tensor]:
    """The loss of (5.1) or (5.2), differentiated by torch."""
    ids, weight = _weighted(lm, pairs, loss)
    value = weight @ losses(lm, ids)[0]
    return value.item(), torch.autograd.grad(value, list(parameters(lm.model).values()))[0]


def by_difference(lm, pairs: pd.DataFrame, loss: str, width: float = 1e-4):
    """Each parameter moved to both sides, and the slope between."""
    start = flat_weights(lm.model)
    moves = width * torch.eye(len(start), dtype=start.dtype)
    slopes = [
        _value(lm, pairs, loss, start + move) - _value(lm, pairs, loss, start - move)
        for move in moves
    ]
    return _value(lm, pairs, loss, start), torch.tensor(slopes) / (2 * width)


def by_package(lm, pairs: pd.DataFrame, loss: str) -> tuple[float, torch.Tensor]:
    """`ftgd.loss_gradient`."""
    gradient, good, bad = loss_gradient(lm, pairs, loss)
    return -good.mean() + (bad.mean() if loss == "differential" else 0.0), gradient


WAYS = {
    "by hand": by_hand,
    "autograd": by_autograd,
    "finite difference": by_difference,
    "package": by_package,
}


def _value(lm, pairs: pd.DataFrame, loss: str, weights: torch.Tensor) -> float:
    set_weights(lm.model, weights)
    ids, weight = _weighted(lm, pairs, loss)
    with torch.no_grad():
        return (weight @ losses(lm, ids)[0]).item()


def _rule(lm, pairs: pd.DataFrame, way: Callable, k: float) -> tuple[float, torch.Tensor, float]:
    """(5.4) to (5.6) with the gradient of one way: the first η, the mask, the gain at the end."""
    start, gain = flat_weights(lm.model), 0.0
    first, g = way(lm, pairs, "differential")
    size = g.abs().round(decimals=6).tolist()  # equal sizes are equal: the lower index is taken
    order = sorted(range(len(g)), key=lambda j: (-size[j], j))
    mask = torch.zeros_like(g)
    mask[order[: max(1, round(k * len(g)))]] = 1.0  # 5.6
    etas, now = [], start
    while gain < TARGET - TOLERANCE and len(etas) < MOST:  # 5.5
        etas.append(min(DELTA, TARGET - gain) / float((mask * g).square().sum()))  # 5.4
        now = now - etas[-1] * mask * g
        gain = first - _value(lm, pairs, "differential", now)
        g = way(lm, pairs, "differential")[1]
    set_weights(lm.model, start)
    return etas[0], mask, gain


def _rule_of_package(lm, pairs: pd.DataFrame, k: float) -> tuple[float, torch.Tensor, float]:
    start, g = flat_weights(lm.model), loss_gradient(lm, pairs)[0]
    mask, seen = torch.zeros_like(g), []
    mask[top_k(g, k)] = 1.0
    config = Config(k=k, delta=DELTA, target=TARGET, max_displacement=1e9)
    done = tune(lm, pairs, config, watch=lambda gain: seen.append(flat_weights(lm.model)))
    set_weights(lm.model, start)
    return norm(seen[0] - start) / norm(mask * g), mask, done.own_gain


def compare(lm: LanguageModel, pairs: pd.DataFrame, k: float) -> pd.DataFrame:
    """Equations 5.1 to 5.6, a row each, a column a way.

    Raises:
        ArithmeticError: two ways disagree, in a number or in any coordinate of the gradient.
    """
    found, gradients, insides = {}, [], []
    for name, way in WAYS.items():
        own = name == "package"
        eta, mask, gain = _rule_of_package(lm, pairs, k) if own else _rule(lm, pairs, way, k)
        pair, g = way(lm, pairs, "differential")
        found[name] = {
            "5.1  L(good)": way(lm, pairs, "good")[0],
            "5.2  −m": pair,
            "5.3  ‖g‖": norm(g),
            "5.4  η": eta,
            "5.5  gain": gain,
            "5.6  places of M": int(mask.sum()),
        }
        gradients.append(g)
        insides.append((mask * g).abs().sort().values)  # of places with equal |g| either will do
        for one in (gradients, insides):
            if not norm(one[-1] - one[0]) < WITHIN * norm(gradients[0]):
                raise ArithmeticError(f"{name} and {next(iter(WAYS))} disagree on the gradient")
    table = pd.DataFrame(found)
    apart = table.sub(table["by hand"], axis=0).abs().max(axis=1)
    if not (apart <= WITHIN * table["by hand"].abs()).all():
        raise ArithmeticError(f"the four ways disagree:\n{table}")
    return table
