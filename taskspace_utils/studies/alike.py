"""How alike models of one kind are, and models of different kinds: within, between, and why.

Chapter 17. Kinds are architectures there; models of a kind differ in their seed. Two models are
compared cell by cell (or task by task), and only where their seeds differ: models of one seed read
the same sentences in the same order, which models of one kind, compared, never do. No model is
loaded here.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from taskspace_utils import families

DRAWS = 299

Compare = Callable[[np.ndarray], np.ndarray]  # weights (cells) -> likeness (models, models)


def table_of(long: pd.DataFrame, value: str, cells: list[str]) -> pd.DataFrame:
    """A long table as a wide one: a row a cell, a column a model (architecture, seed).

    Args:
        long: columns architecture, seed, those of `cells`, and `value`.
    """
    return long.pivot(index=cells, columns=["architecture", "seed"], values=value).sort_index(
        axis=1
    )


# -------------------------------------------------------------- ways to compare models cell by cell


def ranks(values: pd.DataFrame) -> Compare:
    """Spearman's rank correlation; ranks are those in the whole table, however cells weigh."""
    ranked = rankdata(values.to_numpy(), axis=0)
    return lambda weights: _correlated(ranked, ranked, weights)


def numbers(values: pd.DataFrame) -> Compare:
    """Pearson's correlation: a few large cells weigh more than many that are nearly nought."""
    plain = values.to_numpy()
    return lambda weights: _correlated(plain, plain, weights)


def corrected(up: pd.DataFrame, down: pd.DataFrame) -> Compare:
    """Rank correlation freed of the noise of pairs; 1: alike but for it.

    `up` and `down` are two measurements of the same cells from disjoint halves of the pairs. One
    model's first is compared with the other's second, so that no pair serves both sides, and the
    result is divided by the root of both models' own (Spearman's correction, as equation 7.2).
    """
    one, two = (rankdata(values.to_numpy(), axis=0) for values in (up, down))

    def compare(weights: np.ndarray) -> np.ndarray:
        crossed = _correlated(one, two, weights)
        own = np.diag(crossed)
        with np.errstate(invalid="ignore"):
            return (crossed + crossed.T) / 2 / np.sqrt(np.outer(own, own))

    return compare


def same(values: pd.DataFrame) -> Compare:
    """Share of cells in which two models have the same value, such as the same neighbour."""
    codes = values.to_numpy()
    equal = codes[:, :, None] == codes[:, None, :]
    return lambda weights: np.tensordot(weights / weights.sum(), equal, 1)


def _correlated(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted correlations of the columns of x with those of y."""
    share = (weights / weights.sum())[:, None]
    x, y = x - (share * x).sum(axis=0), y - (share * y).sum(axis=0)
    spread = np.sqrt(np.outer((share * x * x).sum(axis=0), (share * y * y).sum(axis=0)))
    with np.errstate(invalid="ignore", divide="ignore"):
        return (share * x).T @ y / spread


def without(values: pd.DataFrame, given: pd.DataFrame) -> pd.DataFrame:
    """What a line through the ranks of others leaves of each column's ranks.

    Correlations of these are partial rank correlations, the same things being held for all columns.

    Args:
        given: columns over the same cells.
    """
    rest = np.column_stack([np.ones(len(given)), rankdata(given.to_numpy(), axis=0)])
    ranked = rankdata(values.to_numpy(), axis=0)
    left = ranked - rest @ np.linalg.lstsq(rest, ranked, rcond=None)[0]
    return pd.DataFrame(left, values.index, values.columns)


# ------------------------------------------------------------------------------- kinds among kinds


class Alike:
    """Mean likeness within and between kinds, with intervals over seeds × families.

    A draw takes families of tasks with replacement, and of n seeds n − 1 (of all kinds the same
    ones; as in `measured.estimate`). A couple of models counts as often as both of its seeds were
    drawn; couples of one seed never count.

    Attributes:
        kinds: names of the kinds, in order.
        mean: likeness of kinds with kinds; on the diagonal that of two models of one kind.
    """

    def __init__(
        self, values: pd.DataFrame, compare: Compare, family: pd.Series, draws: int = DRAWS
    ) -> None:
        """
        Args:
            values: a row a cell (index a, b) or a task, a column a model (architecture, seed).
            compare: made from the same rows and columns by `ranks`, `corrected` or `same`.
            family: of each task.
        """
        tasks = values.index.to_frame(index=False)
        names = tasks.apply(lambda end: end.map(family.where(family != "")).fillna(end))
        codes, found = pd.factorize(names.to_numpy().ravel(order="F"), sort=True)
        drawn = np.vstack([np.ones(len(found), int), families.redrawn(len(found), draws)])
        weights = families.times(drawn, *np.split(codes, tasks.shape[1]))
        self._kind, kinds = pd.factorize(values.columns.get_level_values("architecture"), sort=True)
        self._seed, seeds = pd.factorize(values.columns.get_level_values("seed"), sort=True)
        self.kinds, n, rng = list(kinds), len(seeds), np.random.default_rng(0)
        picked = rng.multinomial(max(1, n - 1), np.full(n, 1 / n), size=draws)
        self._seeds = np.vstack([np.ones(n, int), picked])
        self._drawn = np.stack([
            self._means(compare(w.astype(float)), times) if w.any() else self._none()
            for w, times in zip(weights, self._seeds, strict=True)
        ])  # fmt: skip
        self.mean = pd.DataFrame(self._drawn[0], kinds, kinds)

    def _none(self) -> np.ndarray:
        return np.full((len(self.kinds), len(self.kinds)), np.nan)

    def _means(self, likeness: np.ndarray, times: np.ndarray) -> np.ndarray:
        weight = np.outer(times[self._seed], times[self._seed]).astype(float)
        weight[self._seed[:, None] == self._seed] = 0
        of = np.eye(len(self.kinds))[self._kind]
        with np.errstate(invalid="ignore", divide="ignore"):
            return of.T @ (weight * likeness) @ of / (of.T @ weight @ of)

    def estimate(self, statistic: Callable[[pd.DataFrame], float]) -> pd.Series:
        """A number made of the means by kind: value, low, high (95 %; NaN with one family)."""
        found = [statistic(pd.DataFrame(m, self.kinds, self.kinds)) for m in self._drawn]
        drawn = np.array(found[1:])
        drawn = drawn[np.isfinite(drawn)]
        enough = len(drawn) >= len(found) / 2
        low, high = np.quantile(drawn, [0.025, 0.975]) if enough else (np.nan, np.nan)
        return pd.Series({"value": found[0], "low": low, "high": high})


def within(means: pd.DataFrame) -> float:
    """Mean likeness of two models of one kind: the ceiling."""
    return float(np.diag(means).mean())


def between(means: pd.DataFrame, but: str = "") -> float:
    """Mean likeness of two models of different kinds.

    Args:
        but: a kind to leave out.
    """
    kept = means.drop(index=but, columns=but) if but else means
    return float(kept.to_numpy()[~np.eye(len(kept), dtype=bool)].mean())


def gap(means: pd.DataFrame) -> float:
    """How much more two models of one kind are alike than two of different kinds."""
    return within(means) - between(means)


def apart(means: pd.DataFrame, kind: str) -> float:
    """How much less one kind is like the others than they are like each other."""
    return between(means, kind) - float(means.loc[kind].drop(kind).mean())


def couple(means: pd.DataFrame, one: str, other: str, but: str = "") -> float:
    """How much more two kinds are alike than the other couples of kinds are."""
    kept = means.drop(index=but, columns=but) if but else means
    cells = kept.to_numpy()[np.triu_indices(len(kept), 1)]
    own = kept.loc[one, other]
    return float(own - (cells.sum() - own) / (len(cells) - 1))


# ---------------------------------------------------------------- what a cell's variance is made of


def shares(
    up: pd.DataFrame, down: pd.DataFrame, family: pd.Series, draws: int = DRAWS
) -> pd.DataFrame:
    """Whose the differences between cells are: all models', the kind's, the seed's, or one model's.

    Each model's values are taken from their mean. What is left of cell c in a model of kind k and
    seed s is m_c + a_ck + b_cs + e_cks; the variances of the four are found as in an analysis of
    variance of two ways without repetition, mean squares set to their expected values (Searle,
    Casella & McCulloch, *Variance Components*, 1992, chapter 4). For squares stand products of two
    measurements from disjoint halves of the pairs, so that the noise of pairs adds up to nothing.

    Args:
        up, down: a row a cell (index a, b), a column a model; every kind has every seed.
        family: of each task; intervals draw families.

    Returns:
        rows common, kind, seed, model; columns value (they add up to 1; a negative one is too small
        to see), low, high.
    """
    layers = []
    for values in (up, down):
        kinds, seeds = (len(values.columns.unique(level)) for level in (0, 1))
        cube = values.sort_index(axis=1).to_numpy().reshape(len(values), kinds, seeds)
        layers.append(cube - cube.mean(axis=0))
    parts = zip(*map(_parts, layers), strict=True)
    names = ["common", "kind", "seed", "model"]
    squares = pd.DataFrame({n: (x * y).sum(axis=(1, 2)) for n, (x, y) in zip(names, parts)})

    def components(some: pd.DataFrame) -> pd.Series:
        common, kind, seed, rest = some[names].mean()
        rest /= (kinds - 1) * (seeds - 1)
        kind, seed = (kind / (kinds - 1) - rest) / seeds, (seed / (seeds - 1) - rest) / kinds
        common = common / (kinds * seeds) - kind / kinds - seed / seeds - rest / (kinds * seeds)
        found = pd.Series([common, kind, seed, rest], names)
        return found / found.sum()

    table = squares.set_axis(up.index).reset_index()
    return families.bootstrap(table, components, family, draws=draws)


def _parts(cube: np.ndarray) -> tuple[np.ndarray, ...]:
    """Mean, means of kinds and of seeds about it, and the rest, each in the cube's shape."""
    mean = cube.mean(axis=(1, 2), keepdims=True)
    kind = cube.mean(axis=2, keepdims=True) - mean
    seed = cube.mean(axis=1, keepdims=True) - mean
    full = np.zeros_like(cube)
    return full + mean, full + kind, full + seed, cube - mean - kind - seed
