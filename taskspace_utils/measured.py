"""Measured: a run's tables made ready for estimands, and intervals crossed over seeds x families.

What is compared, pairs reliable at all compared points, and from where training counts, is written
at the head of `data/claims.yml`. No model is loaded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from taskspace_utils import families
from taskspace_utils.ladder import SHAM
from taskspace_utils.tables import Run

DRAWS = 999
RELIABLE = 0.5  # as `gradients.MIN_RELIABILITY`, without its torch


class NotMeasured(Exception):
    """The run has not what an estimand needs; the message says what."""


@dataclass(frozen=True)
class Estimate:
    """A number, its 95 % interval, and what it was made of.

    Attributes:
        points: the number that each seed gives by itself.
        value, low, high: their mean, and the interval over seeds x families (NaN: none).
        n_tasks, n_cells: of the model that has the fewest; a cell is a task, or a pair of tasks.
        n_families: that were drawn.
    """

    points: pd.Series
    value: float
    low: float
    high: float
    n_tasks: int
    n_cells: int
    n_families: int


# ------------------------------------------------------------------------- what a run has measured


class Measured:
    """A run's tables, cut to some seeds and to tasks that are no shams.

    Raises:
        NotMeasured: the run has none of the seeds.
    """

    def __init__(self, run: Run, seeds: tuple[int, ...]) -> None:
        self.run, self.seeds = run, tuple(seeds)
        facts = self._read("tasks")
        self.facts = facts[facts["phenomenon"] != SHAM]
        if self.facts.empty:
            raise NotMeasured(f"no gradients of seeds {', '.join(map(str, seeds)) or 'none'}")
        self.tasks = self.facts.drop_duplicates("task").set_index("task").sort_index()
        self.language = run.manifest.get("parameters", {}).get("language", "grammar")
        self.models = sorted(set(zip(self.facts["seed"], self.facts["scale"], strict=True)))
        self.scales = {scale for _, scale in self.models}

    def _read(self, name: str) -> pd.DataFrame:
        if not self.run.has(name):
            raise NotMeasured(f"the run has no table {name}")
        table = self.run.table(name)
        return table[table["seed"].isin(self.seeds)]

    @cached_property
    def ladder(self) -> pd.DataFrame:
        return self._read("ladder")

    @cached_property
    def transfer(self) -> pd.DataFrame:
        return self._real(self._read("transfer"), "source", "target")

    @cached_property
    def losses(self) -> pd.Series:
        """Loss on held-out text, nats a token, by seed, scale and step."""
        table = self._read("training").query("text == 'held-out'")
        return table.set_index(["seed", "scale", "step"])["loss"].sort_index()

    @cached_property
    def gradient(self) -> pd.DataFrame:
        """Each pair of tasks once (a < b), with two cosines from disjoint halves of the pairs.

        `up` is that of a's train with b's eval half, `down` the other way round; both use the mean
        norm of a task's halves, the only one in the tables. `reliability` is the lower of the two.
        """
        table = self._real(self._read("gradient"), "a", "b")
        keys = ["seed", "scale", "step"]
        back = table[[*keys, "a", "b", "dot"]].rename(columns={"a": "b", "b": "a", "dot": "back"})
        table = table[table["a"] < table["b"]].merge(back, on=[*keys, "a", "b"])
        facts = self.facts[[*keys, "task", "norm", "reliability"]]
        for end in "ab":
            table = table.merge(facts.rename(columns={c: f"{c}_{end}" for c in facts.columns[4:]}),
                                left_on=[*keys, end], right_on=[*keys, "task"])  # fmt: skip
            table = table.drop(columns="task")
        size = table["norm_a"] * table["norm_b"]
        table["up"], table["down"] = table["dot"] / size, table["back"] / size
        ends = table[["reliability_a", "reliability_b"]]
        table["reliability"] = ends.min(axis=1)
        table["corrected_by"] = np.sqrt(ends.clip(lower=0).prod(axis=1))
        return table

    def _real(self, table: pd.DataFrame, *ends: str) -> pd.DataFrame:
        for end in ends:
            table = table[table[end].isin(self.tasks.index)]
        return table

    def same(self, cells: pd.DataFrame) -> np.ndarray:
        """Whether the cells' tasks are of one phenomenon."""
        named = self.tasks["phenomenon"]
        return (cells["a"].map(named) == cells["b"].map(named)).to_numpy()

    @cached_property
    def steps(self) -> list[int]:
        """Checkpoints with gradients, from the first reliable one on."""
        share = self.facts.assign(good=self.facts["reliability"] >= RELIABLE)
        share = share.groupby(["step", "seed", "scale"])["good"].mean().groupby("step").min()
        good = [step for step in share.index if step > 0 and share[step] >= 0.5]
        if not good:
            raise NotMeasured("at no checkpoint half of the tasks are reliable in every model")
        return [int(step) for step in share.index if step >= good[0]]

    def wide(
        self, values: list[str], seed: int, points: list[tuple[str, int]], reliability=RELIABLE
    ) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
        """Cells (columns a, b) of pairs reliable at all points (scale, step); values a point."""
        table = self.gradient
        table = table[(table["seed"] == seed) & (table["reliability"] >= reliability)]
        table = table.set_index(["a", "b"]).sort_index()
        models = dict(iter(table.groupby(["scale", "step"])[values]))
        if not set(points) <= set(models):
            return pd.DataFrame(columns=["a", "b"]), []
        found = [models[point].dropna() for point in points]
        shared = functools.reduce(
            pd.Index.intersection, (some.index for some in found)
        ).sort_values()
        return shared.to_frame(index=False), [some.loc[shared] for some in found]


# -------------------------------------------------------------------------------------- intervals

Statistic = Callable[[np.ndarray], np.ndarray]  # weights (draws, cells) -> numbers (draws)
Parts = Mapping[tuple[int, str], tuple[pd.DataFrame, Statistic]]  # cells of (seed, scale)


def mean(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Weighted means of cells, one a draw; NaN where nothing has weight."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return weights @ np.asarray(values, float) / weights.sum(axis=1)


def estimate(
    of: Measured,
    parts: Parts,
    ends: tuple[str, ...],
    combine: Callable | None = None,
    draws: int = DRAWS,
) -> Estimate:
    """The mean over seeds of what their scales give together, with its interval.

    Families are drawn once for all models of a draw; of n seeds n − 1 are drawn, as the mean of n
    drawn from n varies too little, by (n − 1)/n (Rao and Wu, JASA 83, 1988).

    Args:
        ends: the columns of the cells' tasks.
        combine: numbers of a seed by scale to one number; their mean by default.
        draws: of families and seeds.
    """
    parts = {key: part for key, part in parts.items() if len(part[0])}
    scales = sorted({scale for _, scale in parts})
    whole = [s for s in of.seeds if all((s, scale) in parts for scale in scales)]
    if not parts or not whole:
        raise NotMeasured("no tasks to compare")
    parts = {key: part for key, part in parts.items() if key[0] in whole}
    names = of.tasks["family"].where(of.tasks["family"] != "", of.tasks.index)
    tasks = {key: sorted({*np.ravel(cells[list(ends)])}) for key, (cells, _) in parts.items()}
    units = pd.Index(sorted({names[task] for some in tasks.values() for task in some}))
    drawn = np.vstack([np.ones(len(units), int), families.redrawn(len(units), draws)])
    found = {}
    for key, (cells, statistic) in parts.items():
        which = [units.get_indexer(cells[end].map(names)) for end in ends]
        found[key] = statistic(families.times(drawn, *which).astype(float))
    together = combine or (lambda by_scale: np.mean(list(by_scale.values()), axis=0))
    each = np.array([together({scale: found[seed, scale] for scale in scales}) for seed in whole])
    known = np.isfinite(each[:, 0])  # a seed without a number of its own does not count
    each, whole = each[known], [seed for seed, good in zip(whole, known, strict=True) if good]
    if not whole:
        raise NotMeasured("no seed gives a number")
    rng, n = np.random.default_rng(0), len(whole)
    picked = rng.integers(n, size=(draws, max(1, n - 1)))
    means = each[picked.T, np.arange(1, draws + 1)].mean(axis=0)
    means = means[np.isfinite(means)]
    enough = len(units) >= families.MIN_FAMILIES and len(means) >= draws / 2
    low, high = np.quantile(means, [0.025, 0.975]) if enough else (np.nan, np.nan)
    return Estimate(
        pd.Series(each[:, 0], index=whole), float(each[:, 0].mean()), float(low), float(high),
        min(map(len, tasks.values())), min(len(cells) for cells, _ in parts.values()), len(units),
    )  # fmt: skip


def correlation(weights: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Weighted Pearson correlation of cells, one a draw."""
    mx, my = mean(weights, x), mean(weights, y)
    spread = (mean(weights, x * x) - mx**2) * (mean(weights, y * y) - my**2)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (mean(weights, x * y) - mx * my) / np.sqrt(spread)
