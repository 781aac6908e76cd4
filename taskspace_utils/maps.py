"""Maps of task spaces side by side: how good each is, and how far two of them are the same.

A map has no axes: turned or mirrored it says the same. So maps are turned onto one another before
they are compared (Procrustes), and each stands beside maps of spaces whose cells were shuffled.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import procrustes

from taskspace_utils import families as units
from taskspace_utils.spaces import cells, complete, task_map


def stress(
    space: pd.DataFrame, signed: bool = True, permutations: int = 19, seed: int = 0
) -> tuple[pd.DataFrame, pd.Series]:
    """A map, and its stress beside that of maps of spaces without structure.

    Permuting tasks leaves a map's stress as it is. So spaces are permuted cell by cell; but such
    spaces are of no things at all (if A is like B and B like C, nothing follows), and any space
    of things maps better than they do. The fairer rival is a space of random vectors with the same
    mean square of cosines.

    Returns:
        columns x and y by task; and stress, shuffled, random (means), p_shuffled, p_random (share
        of such maps with a stress as low: (b + 1)/(B + 1)), n (tasks).
    """
    space = complete(space)
    points, found, _ = task_map(space, signed, seed)
    rng = np.random.default_rng(seed)
    likeness = np.mean(cells(space) ** 2)
    size = int(np.clip(round(1 / max(likeness, 1e-12)), 2, 10_000))
    about = {"stress": found}
    for name in ("shuffled", "random"):
        made = (_shuffled(space, rng) if name == "shuffled" else _random(space, size, rng)
                for _ in range(permutations))  # fmt: skip
        drawn = np.array([task_map(other, signed, seed)[1] for other in made])
        about[name] = drawn.mean()
        about[f"p_{name}"] = (np.sum(drawn <= found + 1e-12) + 1) / (permutations + 1)
    return points, pd.Series({**about, "n": len(space)})


def _shuffled(space: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    other, upper = np.zeros(space.shape), np.triu_indices(len(space), 1)
    other[upper] = rng.permutation(cells(space))
    return pd.DataFrame(other + other.T, space.index, space.columns)


def _random(space: pd.DataFrame, size: int, rng: np.random.Generator) -> pd.DataFrame:
    vectors = rng.normal(size=(len(space), size))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return pd.DataFrame(vectors @ vectors.T, space.index, space.columns)


def aligned(maps: dict, to) -> dict:
    """All maps turned, or mirrored, onto the one named `to`, over the tasks both have.

    Nothing is stretched: a map whose tasks lie closer together stays smaller.
    """
    found = {}
    for name, points in maps.items():
        both = points.index.intersection(maps[to].index)
        middle, there = points.loc[both].mean(), maps[to].loc[both].mean()
        turn = orthogonal_procrustes(points.loc[both] - middle, maps[to].loc[both] - there)[0]
        found[name] = (points - middle) @ turn + there.to_numpy()
        found[name].columns = points.columns
    return found


def disparity(
    one: pd.DataFrame,
    other: pd.DataFrame,
    families: pd.Series,
    permutations: int = 999,
    draws: int = 299,
    seed: int = 0,
) -> pd.Series:
    """How much of two maps is left after one was moved, turned and stretched onto the other.

    0: the same map; 1: nothing in common (`scipy.spatial.procrustes`).

    Returns:
        disparity, low, high (families drawn), p (tasks permuted; the Procrustes test of Jackson,
        Écoscience 2, 1995), n.
    """
    both = one.index.intersection(other.index)
    table = pd.DataFrame(np.hstack([one.loc[both], other.loc[both]]), columns=list("xyuv")).assign(
        a=both
    )
    row = units.bootstrap(table, _left, families, ("a",), draws, seed).iloc[0]
    rng = np.random.default_rng(seed)
    first, second = table[["x", "y"]].to_numpy(), table[["u", "v"]].to_numpy()
    beyond = sum(
        procrustes(first, second[rng.permutation(len(both))])[2] <= row["value"] + 1e-12
        for _ in range(permutations)
    )
    ends = {"disparity": row["value"], "low": row["low"], "high": row["high"]}
    return pd.Series({**ends, "p": (beyond + 1) / (permutations + 1), "n": len(both)})


def _left(table: pd.DataFrame) -> float:
    first, second = table[["x", "y"]].to_numpy(), table[["u", "v"]].to_numpy()
    if min(np.ptp(first, axis=0).max(), np.ptp(second, axis=0).max()) < 1e-12:
        return np.nan  # one task, drawn again and again
    return float(procrustes(first, second)[2])
