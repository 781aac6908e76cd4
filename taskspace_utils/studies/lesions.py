"""Lesions: weights are put back to what they were before training, and what is lost is measured.

Chapter 8 aims them at the top of a task's gradient, and at as many weights drawn at random.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from taskspace_utils.ftgd import embedding_names, flat_weights, parameters, set_weights, top_k
from taskspace_utils.scoring import margins, text_loss

WATCHED = ("own", "same rule", "unrelated")


class Lesions:
    """A trained model, the weights it started from, and what is looked at.

    Attributes:
        intact_loss: loss of the neutral text before any lesion, nats a token.
    """

    def __init__(self, lm, untrained, pairs: pd.DataFrame, text: list[list[int]]) -> None:
        """
        Args:
            untrained: the same model at step 0.
            pairs: whose margins are looked at.
            text: encoded lines, see `neutral_text`.
        """
        self._lm, self._pairs, self._text = lm, pairs, text
        self._start, self._trained = flat_weights(untrained.model), flat_weights(lm.model)
        sizes = [p.numel() for p in parameters(lm.model).values()]
        self._edges = np.cumsum([0, *sizes])
        embedding = embedding_names(lm.model)
        inner = [torch.full((n,), name not in embedding)
                 for name, n in zip(parameters(lm.model), sizes, strict=True)]  # fmt: skip
        self._blocks = torch.cat(inner)
        self._intact, self.intact_loss = self._read()

    def _read(self) -> tuple[pd.Series, float]:
        margin = pd.Series(margins(self._lm, self._pairs))
        loss = text_loss(self._lm.model, self._text)
        return margin.groupby(self._pairs["task"].to_numpy()).mean(), loss

    def put_back(self, places: torch.Tensor) -> tuple[pd.Series, float]:
        """Margin that each task loses, and loss that the text gains a token, nats.

        The model is as before afterwards.
        """
        weights = self._trained.clone()
        weights[places] = self._start[places]
        set_weights(self._lm.model, weights)
        try:
            margin, loss = self._read()
        finally:
            set_weights(self._lm.model, self._trained)
        return self._intact - margin, loss - self.intact_loss

    def sets(self, gradient: torch.Tensor, k: float, rng: np.random.Generator) -> dict:
        """The top k of a gradient, and the same of the blocks alone, each with its random rival."""
        top = top_k(gradient, k)
        inner = top_k(gradient * self._blocks, k * self._blocks.double().mean().item())
        return {
            "its top": top,
            "random": self.random_like(top, rng),
            "its top, blocks": inner,
            "random, blocks": self.random_like(inner, rng),
        }

    def random_like(self, places: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """As many places in each tensor as there are in `places`, drawn at random."""
        counts = np.histogram(places.numpy(), self._edges)[0]
        ends = zip(self._edges, self._edges[1:], counts, strict=False)
        return torch.tensor(np.concatenate(
            [rng.choice(np.arange(a, b), n, replace=False) for a, b, n in ends]))  # fmt: skip


def by_kind(lost: dict[tuple[str, str], tuple[pd.Series, float]], kinds: pd.DataFrame) -> list:
    """Rows of `figures.lesion`: task, weights, kind of the tasks that were watched, mean loss."""
    rows = []
    for (task, weights), (fall, worse) in lost.items():
        means = fall.groupby(kinds.loc[task, fall.index]).mean()
        rows += [
            (task, weights, k, means[k]) for k in ("own", "same rule", "unrelated") if k in means
        ]
        rows.append((task, weights, "text", worse))
    return rows


def excess(lost: dict[tuple[str, str], tuple[pd.Series, float]], kinds: pd.DataFrame) -> dict:
    """How much more tasks lose by a lesion aimed at them than by those of unrelated tasks, nats.

    Returns:
        an array, one number a lesion, by (weights, "own" or "same rule").
    """
    falls = pd.DataFrame({key: fall for key, (fall, _) in lost.items()}).T
    found = {}
    for weights in dict.fromkeys(weights for _, weights in lost):
        of = falls.xs(weights, level=1)
        related = kinds.loc[of.index, of.columns]
        more = of - of.where(related == "unrelated").mean()
        for aim in ("own", "same rule"):
            found[weights, aim] = more.where(related == aim).mean(axis=1).dropna().to_numpy()
    return found
