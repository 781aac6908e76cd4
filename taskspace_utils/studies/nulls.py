"""How often the book's tests find something where there is nothing: false-positive rates.

Spaces are made in which no theory is true, tests are run on them, and what they report is counted.
A rate belongs to a null. Two are drawn here: in the one tasks are exchangeable; in the other tasks
of a family resemble each other, for reasons that are none of the theory's.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import binomtest, linregress, spearmanr

from taskspace_utils import families as units
from taskspace_utils import maps
from taskspace_utils.hypotheses import same_label
from taskspace_utils.spaces import cells, task_map

SPACES = ("exchangeable", "clustered")
LABELS = ("by task", "by family")
SHARE = 0.3  # of a task's vector that is its family's, where spaces are clustered
SIZE = 40  # numbers in a task's vector: enough that no two are alike by chance


def null_space(
    families: pd.Series, clustered: bool, rng: np.random.Generator, share: float = SHARE
) -> pd.DataFrame:
    """Cosines of random vectors, one a task, drawn without regard to any theory.

    Args:
        families: the family of each task, indexed by task.
        clustered: whether tasks of a family have `share` of their vectors' variance in common.
    """
    codes, found = pd.factorize(families, sort=True)
    own, shared = rng.normal(size=(len(families), SIZE)), rng.normal(size=(len(found), SIZE))
    share = share if clustered else 0.0
    vectors = np.sqrt(1 - share) * own + np.sqrt(share) * shared[codes]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return pd.DataFrame(vectors @ vectors.T, index=families.index, columns=families.index)


def null_labels(families: pd.Series, whole: bool, rng: np.random.Generator) -> pd.Series:
    """Labels without meaning, one for two families: by family, or the same shuffled by task."""
    codes, found = pd.factorize(families, sort=True)
    labels = rng.permutation(np.arange(len(found)) // 2)[codes]
    labels = labels if whole else rng.permutation(labels)
    return pd.Series(labels, index=families.index).map("theory {}".format)


def label_tests(
    families: pd.Series, clustered: bool, whole: bool, seed: int, permutations: int = 99
) -> dict[str, float]:
    """p of each test of a theory without meaning on one null space; an interval counts as 0 or 1.

    In the regressions a rival stands beside the theory. It shares half of the theory's labels, and
    the space does follow it, so that a test which cannot tell the two apart shows.
    """
    rng = np.random.default_rng(seed)
    space = null_space(families, clustered, rng)
    theory, other = (null_labels(families, whole, rng) for _ in range(2))
    half = families if whole else pd.Series(families.index, index=families.index)
    taken = half.isin(rng.permutation(half.unique())[: half.nunique() // 2])
    rival = _matrix(theory.where(taken, other + "'"))
    both = {"theory": _matrix(theory), "rival": rival}
    mixed = space + 0.15 * rival
    kin = units.within_between(space, theory, families, permutations, 2 * permutations)
    full = units.regress(mixed, both, families, permutations, 2 * permutations)
    row = full.set_index("hypothesis").loc["theory"]
    x, y = (cells(some) for some in (both["theory"], space))
    return {
        "difference, cells taken as independent": linregress(x, y).pvalue,
        "difference, tasks permuted": kin.loc["difference", "p"],
        "difference, interval over families": _excludes(kin.loc["difference"]),
        "difference beyond families, families permuted": kin.loc["beyond", "p"],
        "difference beyond families, interval": _excludes(kin.loc["beyond"]),
        "regression, tasks permuted": row["p"],
        "regression, families permuted": row["p_families"],
        "regression, interval over families": _excludes(row),
    }


def space_tests(
    families: pd.Series, clustered: bool, seed: int, permutations: int = 99
) -> dict[str, float]:
    """p of each test of the likeness of two spaces, or maps, that have nothing in common."""
    rng = np.random.default_rng(seed)
    one, other = (null_space(families, clustered, rng) for _ in range(2))
    found = units.agreement(one, other, families, permutations, 2 * permutations)
    points = [task_map(space)[0] for space in (one, other)]
    moved = maps.disparity(*points, families, permutations, 0)
    return {
        "agreement, cells taken as independent": spearmanr(cells(one), cells(other)).pvalue,
        "agreement, tasks permuted": found.loc["all", "p"],
        "agreement, interval over families": _excludes(found.loc["all"]),
        "agreement beyond families, families permuted": found.loc["beyond", "p"],
        "agreement beyond families, interval": _excludes(found.loc["beyond"]),
        "maps alike, tasks permuted": moved["p"],
    }


def stress_test(
    families: pd.Series, clustered: bool, seed: int, permutations: int = 19
) -> dict[str, float]:
    """p of a map's stress against two kinds of spaces without structure."""
    space = null_space(families, clustered, np.random.default_rng(seed))
    found = maps.stress(space, True, permutations, seed)[1]
    return {
        "stress against shuffled cells": found["p_shuffled"],
        "stress against random vectors": found["p_random"],
    }


def rates(found: list[dict[str, float]], level: float = 0.05, **about) -> pd.DataFrame:
    """Share of p at most `level`, by test, with Wilson's 95 % interval; NaN is left out.

    Args:
        found: what the tests gave, one dictionary a draw.
        about: columns that say which null it was.

    Returns:
        test, the columns of `about`, draws, rate, low, high.
    """
    rows = []
    for test, p in pd.DataFrame(found).items():
        known = p.dropna()
        if known.empty:
            continue
        hits = int((known <= level).sum())
        ends = binomtest(hits, len(known)).proportion_ci(method="wilson")
        rows.append({"test": test, **about, "draws": len(known), "rate": hits / len(known),
                     "low": ends.low, "high": ends.high})  # fmt: skip
    return pd.DataFrame(rows)


def table(
    families: pd.Series, draws: int, stress_draws: int = 0, permutations: int = 99, seed: int = 0
) -> pd.DataFrame:
    """False-positive rates of all tests on all nulls: rows of `data/reference/false_positives.csv`.

    Args:
        stress_draws: of the test of a map's stress, which makes 39 maps a draw.

    Returns:
        test, space, labels (empty where there are none), n_tasks, n_families, draws, rate, low,
        high.
    """
    about = {"n_tasks": len(families), "n_families": families.nunique()}
    seeds, parts = range(seed, seed + draws), []
    for space in SPACES:
        clustered = space == "clustered"
        for labels in LABELS:
            whole = labels == "by family"
            found = [label_tests(families, clustered, whole, s, permutations) for s in seeds]
            parts.append(rates(found, space=space, labels=labels, **about))
        found = [space_tests(families, clustered, s, permutations) for s in seeds]
        parts.append(rates(found, space=space, labels="", **about))
        found = [stress_test(families, clustered, s) for s in range(seed, seed + stress_draws)]
        parts.append(rates(found, space=space, labels="", **about))
    return pd.concat(parts, ignore_index=True)


def _matrix(labels: pd.Series) -> pd.DataFrame:
    long = labels.rename("label").rename_axis("task").reset_index()
    return same_label(long, "label").loc[labels.index, labels.index]


def _excludes(row: pd.Series) -> float:
    """0 where an interval leaves 0 out, 1 where it holds it: a test without a p."""
    if np.isnan(row["low"]):
        return np.nan
    return float(row["low"] <= 0 <= row["high"])
