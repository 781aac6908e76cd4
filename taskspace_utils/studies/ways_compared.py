"""Ways of tuning beside one another: what they cost at an equal gain, and whether they agree.

It reads tables and computes no model.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from taskspace_utils.controls import crossed_interval
from taskspace_utils.equal_gain import at_gain
from taskspace_utils.families import redrawn, times
from taskspace_utils.measured import correlation
from taskspace_utils.tables import MODEL_KEYS

GAIN = 1.0  # nats of held-out margin at which the predictions compare costs
LEAST = 0.5  # nats of held-out margin; a row of a space whose own task gained less has no scale
DRAWS = 500


# --------------------------------------------------------------------------- costs at an equal gain


def costs(climbs: pd.DataFrame, gain: float = GAIN) -> pd.DataFrame:
    """What each lesson had cost when it first came to a held-out gain; see `equal_gain.at_gain`.

    Args:
        climbs: columns of `ladder.csv`, with or without the model's name.

    Returns:
        One row a lesson: rung, seed, source, reached, spread, and harm_kl and harm_loss (means of
        the texts); costs are NaN where it did not get there.
    """
    keyed = climbs.assign(**{k: "" for k in MODEL_KEYS if k not in climbs})
    lesson = ["rung", "seed", "source", "reached"]
    found = at_gain(keyed, gain).groupby(lesson, sort=False)[["spread", "harm_kl", "harm_loss"]]
    return found.mean().reset_index()


def ratios(found: pd.DataFrame, value: str, to: str = "differential") -> pd.DataFrame:
    """Natural logarithms of how many times as much a way costs as another.

    Args:
        found: rows of `costs`.
        value: "spread" or "harm_kl".

    Returns:
        One row a way, seed and task in which both got there: rung, seed, source, log_ratio.
    """
    wide = found[found["reached"]].pivot(index=["seed", "source"], columns="rung", values=value)
    if to not in wide:
        return pd.DataFrame(columns=["seed", "source", "rung", "log_ratio"])
    logs = np.log(wide.clip(lower=1e-9))
    return logs.sub(logs[to], axis=0).stack().dropna().rename("log_ratio").reset_index()


def together(rows: pd.DataFrame, draws: int = DRAWS) -> pd.Series:
    """The mean of log ratios of a way, with an interval over seeds and tasks crossed.

    Args:
        rows: rows of `ratios`, of one way.
        draws: of the bootstrap.

    Returns:
        value, low, high, n_seeds, n_tasks, n.
    """
    table = rows.pivot(index="seed", columns="source", values="log_ratio").to_numpy()
    ends = np.nan, np.nan
    if min(table.shape, default=0) > 1:

        def drawn(seeds, tasks):
            some = table[np.ix_(seeds, tasks)]
            return np.nanmean(some) if np.isfinite(some).any() else np.nan

        ends = crossed_interval(drawn, *table.shape, draws)
    return pd.Series({"value": np.nanmean(table) if table.size else np.nan, "low": ends[0],
                      "high": ends[1], "n_seeds": table.shape[0], "n_tasks": table.shape[1],
                      "n": int(np.isfinite(table).sum())})  # fmt: skip


# ------------------------------------------------------------------------------ spaces, and halves


class Spaces:
    """The transfer spaces of ways, each measured twice, by disjoint halves of the pairs.

    A cell is τ, the change of the target for each nat of the source's own held-out gain. All
    comparisons go across halves, so that no two numbers share a pair.

    Attributes:
        ways, seeds, tasks: what there are spaces of.
    """

    def __init__(self, moved: pd.DataFrame, families: pd.Series, draws: int = DRAWS) -> None:
        """
        Args:
            moved: columns seed, rung, half, source, target, change.
            families: the family of each task.
            draws: of seeds and families, for every interval.
        """
        keys = ["seed", "rung", "half", "source"]
        own = moved[moved["source"] == moved["target"]].set_index(keys)["change"]
        table = moved.join(own.rename("own"), on=keys)
        table["tau"] = (table["change"] / table["own"]).where(table["own"] >= LEAST)
        table = table[table["source"] != table["target"]]
        self.ways, self.seeds = list(table["rung"].unique()), sorted(table["seed"].unique())
        self._cells = table.pivot(
            index=["source", "target"], columns=["seed", "rung", "half"], values="tau"
        )
        self.tasks = sorted(table["source"].unique())
        units = sorted({families[task] for task in self.tasks})
        drawn = np.vstack([np.ones(len(units), int), redrawn(len(units), draws)])
        ends = [pd.Index(units).get_indexer(self._cells.index.get_level_values(end).map(families))
                for end in ("source", "target")]  # fmt: skip
        self._weights = times(drawn, *ends).astype(float)
        rng, n = np.random.default_rng(0), len(self.seeds)
        picked = rng.multinomial(max(1, n - 1), np.full(n, 1 / n), draws)  # as crossed_interval
        self._picked = np.vstack([np.ones(n), picked])
        self._found: dict = {}

    def across(self, one: tuple, other: tuple) -> tuple[np.ndarray, int]:
        """Rank correlations of two spaces, each a (seed, way), corrected for what halves lose.

        ½ [ρ(x₁, y₂) + ρ(x₂, y₁)] / √(ρ(x₁, x₂) ρ(y₁, y₂)): of cells, whose families are redrawn.

        Returns:
            one number a draw, the first of all families as they are; and the number of cells.
        """
        if (one, other) not in self._found:
            self._found[one, other] = self._found[other, one] = self._across(one, other)
        return self._found[one, other]

    def _across(self, one: tuple, other: tuple) -> tuple[np.ndarray, int]:
        columns = [(*key, half) for key in (one, other) for half in ("train", "eval")]
        values = self._cells[columns].to_numpy()
        known = np.isfinite(values).all(axis=1)
        ranks = pd.DataFrame(values[known]).rank().to_numpy().T
        weights = self._weights[:, known]

        def rho(a: int, b: int) -> np.ndarray:
            return correlation(weights, ranks[a], ranks[b])

        ceiling = np.sqrt(np.clip(rho(0, 1), 0, None) * np.clip(rho(2, 3), 0, None))
        with np.errstate(invalid="ignore", divide="ignore"):
            crossed = (rho(0, 3) + rho(1, 2)) / 2 / ceiling
        return np.where(ceiling > 0, crossed, np.nan), int(known.sum())

    def halves(self, way: str) -> pd.Series:
        """Rank correlation of a way's two halves, uncorrected: what any agreement can reach."""
        found = []
        for seed in self.seeds:
            some = self._cells[[(seed, way, half) for half in ("train", "eval")]]
            known = np.isfinite(some.to_numpy()).all(axis=1)
            ranks = some[known].rank().to_numpy().T
            found.append(correlation(self._weights[:, known], *ranks))
        return self.summary(self._over_seeds(np.array(found)))

    def agree(self, one: str, other: str) -> np.ndarray:
        """Corrected agreement of two ways in the same models: means over seeds, one a draw."""
        return self._over_seeds(
            np.array([self.across((seed, one), (seed, other))[0] for seed in self.seeds])
        )

    def seeds_agree(self, way: str) -> np.ndarray:
        """Corrected agreement of one way in models of different seeds, one a draw."""
        pairs = list(combinations(range(len(self.seeds)), 2))
        found = np.array(
            [self.across((self.seeds[i], way), (self.seeds[j], way))[0] for i, j in pairs]
        )
        weights = np.array([self._picked[:, i] * self._picked[:, j] for i, j in pairs])
        return _mean(found, weights)

    def _over_seeds(self, found: np.ndarray) -> np.ndarray:
        return _mean(found, self._picked.T)

    @staticmethod
    def summary(drawn: np.ndarray) -> pd.Series:
        """value, low and high (95 %) of numbers of which the first is of the data as they are."""
        kept = drawn[1:][np.isfinite(drawn[1:])]
        enough = len(kept) >= (len(drawn) - 1) / 2 > 0
        low, high = np.quantile(kept, [0.025, 0.975]) if enough else (np.nan, np.nan)
        return pd.Series({"value": drawn[0], "low": low, "high": high})

    def table(self) -> pd.DataFrame:
        """A row two ways, or a way with itself in other seeds: one, other, value, low, high."""
        rows = [(a, b, *self.summary(self.agree(a, b))) for a, b in combinations(self.ways, 2)]
        if len(self.seeds) > 1:
            rows += [(way, way, *self.summary(self.seeds_agree(way))) for way in self.ways]
        return pd.DataFrame(rows, columns=["one", "other", "value", "low", "high"])


def _mean(found: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted means over the first axis; what is not finite has no weight."""
    known = np.where(np.isfinite(found), weights, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (known * np.nan_to_num(found)).sum(axis=0) / known.sum(axis=0)
