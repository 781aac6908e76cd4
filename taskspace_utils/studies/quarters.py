"""Gradients of parts of the pairs, and the spaces of any mixture of parts (chapter 8)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from taskspace_utils import spaces
from taskspace_utils.ftgd import loss_gradient

PARTS = 4  # into which each half of a task's pairs is cut


class Quarters:
    """Gradients of parts of each task's pairs, of which spaces of any mixture are sums.

    The gradient of a mean is the mean of gradients, so nothing has to be differentiated twice.
    """

    def __init__(self, lm, pairs: pd.DataFrame) -> None:
        """
        Args:
            pairs: with `split` filled.
        """
        self.names = sorted(pairs["task"].unique())
        part = pairs.groupby(["task", "split"]).cumcount() % PARTS
        keys = [pairs["split"], part, pairs["task"]]
        found = {key: loss_gradient(lm, some)[0].numpy() for key, some in pairs.groupby(keys)}
        sides = [
            np.stack([[found[half, p, task] for p in range(PARTS)] for task in self.names])
            for half in ("train", "eval")
        ]
        self._sides = [side.astype(float) for side in sides]  # long vectors add up in float64
        self._across = np.einsum("ipx,jqx->ipjq", *self._sides, optimize=True)
        self._inside = [np.einsum("ipx,iqx->ipq", s, s, optimize=True) for s in self._sides]

    def gradient(self, task: str) -> np.ndarray:
        """The gradient over all of a task's pairs, shape (parameters)."""
        place = self.names.index(task)
        return sum(side[place].mean(axis=0) for side in self._sides)

    def space(self, train: np.ndarray | None = None, held: np.ndarray | None = None):
        """Cosines of train side against eval side, symmetric, with parts weighted.

        Args:
            train: weights of the parts of each task's train pairs, shape (tasks, 4) or (4,).
            held: those of its eval pairs; the same where only one is given.
        """
        train = np.ones(PARTS) if train is None else train
        held = train if held is None else held
        v, w = (np.broadcast_to(some, (len(self.names), PARTS)) for some in (train, held))
        both = zip(self._inside, (v, w), strict=True)
        sizes = [np.sqrt(np.einsum("ipq,ip,iq->i", s, u, u)) for s, u in both]
        cosine = np.einsum("ipjq,ip,jq->ij", self._across, v, w, optimize=True) / np.outer(*sizes)
        return spaces.symmetric(pd.DataFrame(cosine, index=self.names, columns=self.names))

    def flipped(self, draws: int, seed: int = 0) -> list[pd.DataFrame]:
        """Spaces in which good and bad are swapped in two random parts of four, on both sides."""
        rng, signs = np.random.default_rng(seed), np.array([1.0, 1.0, -1.0, -1.0])
        turned = lambda: rng.permuted(np.tile(signs, (len(self.names), 1)), axis=1)  # noqa: E731
        return [self.space(turned(), turned()) for _ in range(draws)]
