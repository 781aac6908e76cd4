"""How many pairs a task needs: Spearman and Brown's formula, from a measured reliability (13.1).

A gradient from more pairs is less noisy. If two halves of n pairs give gradients with cosine r,
halves of f·n pairs should give f·r / (1 + (f − 1)·r): noise shrinks with the number of pairs, and
what the pairs have in common stays.
"""

from __future__ import annotations

import math

import pandas as pd

WANTED = (0.5, 0.7, 0.9)


def projected(reliability: float, factor: float) -> float:
    """The reliability with `factor` times as many pairs (chapter 13, equation 13.1)."""
    return factor * reliability / (1 + (factor - 1) * reliability)


def needed(reliability: float, pairs: int, wanted: float = 0.5) -> float:
    """How many pairs a task needs for a wanted reliability of its halves' gradients.

    Args:
        reliability: of halves of `pairs` pairs in all.
        wanted: between 0 and 1.

    Returns:
        An even number of pairs; infinity where nothing was common to the halves. It is an
        extrapolation: at many times the pairs that there are, take it for an order of magnitude.
    """
    if not 0 < wanted < 1:
        raise ValueError(f"wanted is {wanted}; a reliability to be reached is between 0 and 1")
    if not reliability > 0:
        return math.inf
    if reliability >= 1:
        return float(pairs)
    factor = wanted * (1 - reliability) / (reliability * (1 - wanted))
    return 2.0 * math.ceil(pairs * factor / 2 - 1e-9)


def table(tasks: pd.DataFrame) -> pd.DataFrame:
    """What each task would need.

    Args:
        tasks: columns task, n (pairs), reliability.

    Returns:
        those, and a column for each reliability of `WANTED`, such as "for 0.7".
    """
    found = tasks[["task", "n", "reliability"]].copy()
    for wanted in WANTED:
        found[f"for {wanted:g}"] = [
            needed(r, n, wanted) for r, n in zip(found["reliability"], found["n"], strict=True)
        ]
    return found
