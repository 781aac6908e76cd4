"""Constructions that a model never saw: does the space of the whole model tell who will suffer?

Chapter 8's strongest test; the table is `figures.withheld.load()`.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

import numpy as np
import pandas as pd

from taskspace_utils.controls import crossed_interval, partial_rank

COLUMNS = ("cosine", "loss", "lexical_diff", "bigram")


class Withheld:
    """Layers of seeds by constructions by tasks, and what they have to do with each other.

    Attributes:
        seeds: of pre-training.
        gone: the constructions withheld.
    """

    def __init__(self, table: pd.DataFrame, draws: int = 200) -> None:
        """
        Args:
            table: columns seed, without, task, kind, loss, cosine, lexical_diff, bigram.
            draws: of seeds and constructions, for every interval.
        """
        self._table, self._draws = table, draws
        self.seeds = sorted(table["seed"].unique())
        self.gone = sorted(table["without"].unique())
        self._layers = {column: self._layer(column) for column in COLUMNS}

    def _layer(self, column: str) -> np.ndarray:
        """(seeds, constructions, tasks); NaN for the construction itself."""
        wide = self._table.assign(value=self._table[column].where(self._table["kind"] != "own"))
        wide = wide.pivot(index=["seed", "without"], columns="task", values="value")
        return wide.sort_index().to_numpy().reshape(len(self.seeds), len(self.gone), -1)

    def correlation(
        self, given: Iterable[str] = (), seeds=None, gone=None, shuffled=slice(None)
    ) -> float:
        """Rank correlation of losses and cosines, others partialled out, both without margins.

        Args:
            given: columns to partial out.
            seeds: places of the seeds whose means are taken; all by default.
            gone: places of the constructions; all by default.
            shuffled: an order in which constructions get the losses of others.
        """
        seeds = np.arange(len(self.seeds)) if seeds is None else seeds
        gone = np.arange(len(self.gone)) if gone is None else gone
        layers = [self._layers[c][seeds].mean(0)[gone] for c in ("loss", "cosine", *given)]
        views = [centred(layer) for layer in layers]
        views[0] = views[0][shuffled]
        there = np.isfinite(views).all(axis=0)
        return partial_rank(*(view[there] for view in views))

    def correlations(self, views: dict[str, tuple[str, ...]]) -> pd.DataFrame:
        """A row a view: correlation, ends of its interval, and each seed's own."""
        rows = {}
        for name, given in views.items():
            statistic = lambda s, g, given=given: self.correlation(given, s, g)  # noqa: E731
            ends = crossed_interval(statistic, len(self.seeds), len(self.gone), self._draws)
            each = [self.correlation(given, np.array([s])) for s in range(len(self.seeds))]
            rows[name] = (self.correlation(given), *ends, *each)
        columns = ["correlation", "low", "high", *(f"seed {s}" for s in self.seeds)]
        return pd.DataFrame(rows, index=columns).T

    def shuffled(self, given: Iterable[str], seed: int = 0) -> np.ndarray:
        """The correlation when each construction has the losses of another, a number a draw."""
        rng = np.random.default_rng(seed)
        orders = [rng.permutation(len(self.gone)) for _ in range(self._draws)]
        return np.array([self.correlation(given, shuffled=order) for order in orders])

    def reliability(self, column: str) -> tuple[float, float]:
        """Of one seed's layer, and of the mean over all seeds (Spearman and Brown)."""
        views = [centred(layer) for layer in self._layers[column]]
        there = np.isfinite(views).all(axis=0)
        couples = combinations([view[there] for view in views], 2)
        r = np.mean([np.corrcoef(*couple)[0, 1] for couple in couples])
        n = len(self.seeds)
        return r, max(0.0, n * r / (1 + (n - 1) * r))

    def mean_loss(self, kind: str) -> tuple[float, float, float]:
        """Mean margin lost by tasks of a kind, nats, and the ends of its interval."""
        some = self._table[self._table["kind"] == kind]
        wide = some.pivot_table(index="seed", columns="without", values="loss")
        wide = wide.dropna(axis=1).to_numpy()
        value = lambda s, g: wide[np.ix_(s, g)].mean()  # noqa: E731
        return wide.mean(), *crossed_interval(value, *wide.shape, self._draws)


def centred(layer: np.ndarray) -> np.ndarray:
    """Without each task's mean over constructions, then without each construction's mean."""
    layer = layer - np.nanmean(layer, axis=0)
    return layer - np.nanmean(layer, axis=1, keepdims=True)
