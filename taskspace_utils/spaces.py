"""Spaces: a labelled square table over tasks, and what is asked of it.

A space is a DataFrame whose index and columns are the same task names. Rows are sources, columns
targets; a symmetric space has no direction. Tests permute *labels*, rows and columns together,
never single cells: the cells of one row depend on each other.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import rankdata


def square(table: pd.DataFrame, value: str, rows: str = "a", columns: str = "b") -> pd.DataFrame:
    """A long table of ordered pairs as a space; tasks in the order of their names."""
    space = table.pivot(index=rows, columns=columns, values=value)
    space.index.name = space.columns.name = None
    return space.reindex(index=sorted(space.index), columns=sorted(space.index))


def ordered(space: pd.DataFrame, tasks: pd.DataFrame) -> pd.DataFrame:
    """The same space with its tasks sorted by phenomenon and name, the order of every heat map."""
    names = tasks[tasks["task"].isin(space.index)].sort_values(["phenomenon", "task"])["task"]
    return space.loc[names, names]


def transfer(table: pd.DataFrame, relative: bool = False) -> pd.DataFrame:
    """The transfer space of one model and one tuning (chapter 6, equations 6.1 and 6.2).

    Args:
        table: rows of `transfer.csv`.
        relative: divide each row by the source's own gain: τ[A, B] = Δm_B / Δm_A.

    Returns:
        Δm in nats, or τ; NaN where a row is flagged as not finite, or its own gain is not positive.
    """
    change = table.assign(change=table["margin_after"] - table["margin_before"])
    space = square(change, "change", "source", "target")
    if relative:
        own = pd.Series(np.diag(space), index=space.index)
        space = space.div(own.where(own > 0), axis=0)
    return space


def excess_asymmetry(relative: pd.DataFrame, norms: pd.Series) -> pd.DataFrame:
    """log(τ_AB / τ_BA) − 2·log(‖g_B‖ / ‖g_A‖): what is asymmetric beyond the norms (equation 6.3).

    NaN where either τ is not positive.
    """
    positive = relative.where(relative > 0)
    logs = np.log(positive)
    size = np.log(norms.reindex(relative.index).to_numpy())
    return logs - logs.T.to_numpy() - 2 * (size[None, :] - size[:, None])


def symmetric(space: pd.DataFrame) -> pd.DataFrame:
    """The mean of a space and its transpose."""
    return (space + space.T.to_numpy()) / 2


def cells(space: pd.DataFrame) -> np.ndarray:
    """The cells above the diagonal of a symmetric space, row by row."""
    return space.to_numpy()[np.triu_indices(len(space), 1)]


def agreement(
    one: pd.DataFrame, other: pd.DataFrame, permutations: int = 999, seed: int = 0
) -> tuple[float, float]:
    """Spearman correlation of two symmetric spaces' cells, and its permutation p.

    Tasks that lack a value in either space are left out. The p is one of a two-sided test that
    permutes the labels of one space: (b + 1) / (B + 1).
    """
    one, other = _common(one, other)
    if len(one) < 4:
        return np.nan, np.nan
    x, y = _ranks(one), _ranks(other)
    upper = np.triu_indices(len(one), 1)
    rng = np.random.default_rng(seed)

    def correlation(order: np.ndarray) -> float:
        return float(np.corrcoef(x[upper], y[np.ix_(order, order)][upper])[0, 1])

    found = correlation(np.arange(len(one)))
    beyond = sum(
        abs(correlation(rng.permutation(len(one)))) >= abs(found) - 1e-12
        for _ in range(permutations)
    )
    return found, (beyond + 1) / (permutations + 1)


def _ranks(space: pd.DataFrame) -> np.ndarray:
    full = np.zeros(space.shape)
    upper = np.triu_indices(len(space), 1)
    full[upper] = rankdata(space.to_numpy()[upper])
    return full + full.T


def complete(space: pd.DataFrame) -> pd.DataFrame:
    """The space without tasks that lack values: those with the most gaps go first."""
    while (gaps := space.isna().sum() + space.isna().sum(axis=1)).any():
        worst = gaps.sort_index().idxmax()
        space = space.drop(index=worst, columns=worst)
    return space


def _common(one: pd.DataFrame, other: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    names = one.index.intersection(other.index)
    gaps = one.loc[names, names].isna() | other.loc[names, names].isna()
    kept = complete(one.loc[names, names].where(~gaps)).index
    return one.loc[kept, kept], other.loc[kept, kept]


def within_between(
    space: pd.DataFrame, groups: pd.Series, permutations: int = 999, seed: int = 0
) -> dict[str, float]:
    """Mean of the cells within groups and between groups, and a permutation p of the difference.

    Args:
        space: symmetric; cells without a value are left out.
        groups: the group of each task, indexed by task. Tasks' groups are permuted.

    Returns:
        within, between, difference, p (one-sided: within is larger), n_within, n_between.
    """
    values = cells(space)
    upper = np.triu_indices(len(space), 1)
    labels = groups.reindex(space.index).to_numpy()
    rng = np.random.default_rng(seed)
    good = ~np.isnan(values)

    def difference(names: np.ndarray) -> tuple[float, float, int]:
        same = (names[upper[0]] == names[upper[1]]) & good
        if not same.any() or not (good & ~same).any():
            return np.nan, np.nan, int(same.sum())
        return values[same].mean(), values[good & ~same].mean(), int(same.sum())

    within, between, n = difference(labels)
    drawn = [difference(rng.permutation(labels)) for _ in range(permutations)]
    beyond = sum(w - b >= within - between - 1e-12 for w, b, _ in drawn)
    return {
        "within": within,
        "between": between,
        "difference": within - between,
        "p": (beyond + 1) / (permutations + 1) if np.isfinite(within) else np.nan,
        "n_within": n,
        "n_between": int(good.sum()) - n,
    }


def nearest_shares_group(space: pd.DataFrame, groups: pd.Series) -> float:
    """Share of tasks whose nearest other task is of the same group, among tasks that have one."""
    values = space.to_numpy(copy=True)
    np.fill_diagonal(values, np.nan)
    labels = groups.reindex(space.index).to_numpy()
    hits = []
    for i, row in enumerate(values):
        others = np.delete(labels, i)
        if labels[i] in others and np.isfinite(row).any():
            hits.append(labels[np.nanargmax(row)] == labels[i])
    return float(np.mean(hits)) if hits else np.nan


def task_map(
    space: pd.DataFrame, signed: bool = True, seed: int = 0, permutations: int = 0
) -> tuple[pd.DataFrame, float, float]:
    """Put tasks on a plane so that similar ones are close (multidimensional scaling).

    Args:
        space: symmetric similarities, at most 1.
        signed: opposite tasks (−1) are farthest apart; else |similarity| counts.
        permutations: how many spaces with shuffled cells to map for comparison.

    Returns:
        columns x and y indexed by task, principal axis first; the map's normalised stress (0 is
        perfect); the mean stress of maps of shuffled spaces, NaN without permutations.
    """
    space = complete(space)
    similarity = space.to_numpy() if signed else space.abs().to_numpy()
    distance = 1 - np.clip((similarity + similarity.T) / 2, -1, 1)
    points, stress = _scale(distance, seed)
    points = points - points.mean(axis=0)
    points = points @ np.linalg.svd(points, full_matrices=False)[2].T
    points *= np.where(points[np.abs(points).argmax(axis=0), [0, 1]] < 0, -1, 1)
    rng = np.random.default_rng(seed)
    upper = np.triu_indices(len(space), 1)
    shuffled = []
    for _ in range(permutations):
        other = np.zeros_like(distance)
        other[upper] = rng.permutation(distance[upper])
        shuffled.append(_scale(other + other.T, seed)[1])
    frame = pd.DataFrame(points, index=space.index, columns=["x", "y"])
    return frame, stress, float(np.mean(shuffled)) if shuffled else np.nan


def _scale(distance: np.ndarray, seed: int) -> tuple[np.ndarray, float]:
    from sklearn.manifold import ClassicalMDS, smacof

    distance = distance - np.diag(np.diag(distance))
    first = ClassicalMDS(n_components=2, metric="precomputed").fit_transform(distance)
    return smacof(
        distance, init=first, n_init=1, n_components=2, random_state=seed, normalized_stress=True
    )
