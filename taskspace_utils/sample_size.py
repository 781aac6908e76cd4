"""How many pairs a task needs: Spearman and Brown's formula, from a measured reliability (13.1).

A gradient from more pairs is less noisy. If two halves of n pairs give gradients with cosine r,
halves of f·n pairs should give f·r / (1 + (f − 1)·r): noise shrinks with the number of pairs, and
what the pairs have in common stays.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pandas as pd

from taskspace_utils.checks import bag_difference

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


def couples(pairs: pd.DataFrame) -> pd.Series:
    """An item for each pair that has an opposite: the two share it (chapter 13).

    A pair's opposite is one of the same task whose difference in words is exactly the other way
    round (*since* for *for*, *for* for *since*); each has one opposite at most, the first there is.

    Returns:
        items, in the order of the pairs; "" for a pair that finds none.
    """
    items = np.full(len(pairs), "", dtype=object)
    for task, places in pairs.groupby("task", sort=False).indices.items():
        bags = bag_difference(pairs.iloc[places])[0]
        bags.sort_indices()
        waiting: dict[tuple, list[int]] = {}
        for place, (a, b) in zip(places, pairwise(bags.indptr), strict=True):
            words, counts = tuple(bags.indices[a:b]), tuple(bags.data[a:b])
            if opposite := waiting.get((words, tuple(-n for n in counts))):
                first = opposite.pop(0)
                items[[first, place]] = f"{task} {pairs['pair_id'].iloc[first]}"
            elif words:
                waiting.setdefault((words, counts), []).append(place)
    return pd.Series(items, pairs.index)


def torn(pairs: pd.DataFrame) -> list[str]:
    """Tasks that go both ways and have no `item`: their halves may ask for opposite things.

    A split by chance gives one half more pairs of the one kind and the other more of the other, and
    what such halves have in common may be less than nothing. An item for a pair and its opposite
    keeps both on one side of the split (chapter 13).

    Returns:
        names of tasks that have no items, and at least half of whose pairs are in `couples`.
    """
    bare = pairs[pairs["item"] == ""]
    share = (couples(bare) != "").groupby(bare["task"]).mean()
    return [str(task) for task in share.index[share >= 0.5]]


def advice(pairs: pd.DataFrame) -> str:
    """What to do about `torn` tasks, in words; "" where there are none."""
    if not (names := torn(pairs)):
        return ""
    return (
        f"{', '.join(names)}: what is right in one pair is wrong in another. Give a pair and its "
        "opposite the same `item`, and they stay on one side of the split; else halves differ in "
        "what they ask for, and reliability suffers"
    )


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
