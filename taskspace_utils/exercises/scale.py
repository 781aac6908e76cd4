"""Self-check of chapter 10: likeness that is followed through training while noise falls."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from taskspace_utils.exercises import Hint, compare, mistake, short, stage

STEPS = (100, 200, 400)
# Pairs of tasks whose true cosine never changes, and the reliabilities of both at the three steps.
STEADY = ("A", "B", 0.4, (0.5, 0.8, 0.9), (0.5, 0.5, 0.9))
CLEAR = ("D", "E", 0.2, (0.9, 0.9, 0.9), (0.9, 0.9, 0.9))
LATE = ("A", "C", 0.8, (0.5, 0.8, 0.9), (0.2, 0.3, 0.9))
SEEN = [0.4 * math.sqrt(a * b) for a, b in zip(*STEADY[3:])]  # what noise leaves of the first


def _table(*pairs):
    rows = [
        (step, a, b, true * math.sqrt(first * second), first, second)
        for a, b, true, *both in pairs
        for step, first, second in zip(STEPS, *both)
    ]
    columns = ["step", "a", "b", "cosine", "reliability_a", "reliability_b"]
    return pd.DataFrame(rows, columns=columns).sample(frac=1, random_state=0)  # in any order


def _followed(answer, *pairs):
    found = answer(_table(*pairs))
    if not isinstance(found, pd.Series):
        raise Hint(f"a Series is asked for, with a number for each step; it gave {short(found)}.")
    if sorted(found.index) != list(STEPS):
        raise Hint(f"the index should be the steps, {STEPS}, and is {short(list(found.index))}.")
    return found.sort_index().to_numpy(dtype=float)


@stage("noise-falls", "one pair of tasks whose likeness never changes")
def _(answer):
    roots = [math.sqrt(a * b) for a, b in zip(*STEADY[3:])]
    middles = [(a + b) / 2 for a, b in zip(*STEADY[3:])]
    compare(
        _followed(answer, STEADY),
        [0.4] * 3,
        {
            "it rises, though in these numbers the tasks share the same at all steps: it is the "
            "noise that falls. Correct each cosine by its reliabilities, equation 7.2.": SEEN,
            "divided by the product of the reliabilities: its root is what noise takes away.": [
                0.4 / root for root in roots
            ],
            "divided by the mean of two reliabilities: it is the root of their product.": [
                c / m for c, m in zip(SEEN, middles)
            ],
        },
        "the likeness at the three steps",
    )


@stage("noise-falls", "two pairs of tasks, one with more noise than the other")
def _(answer):
    roots = [math.sqrt(a * b) for a, b in zip(*STEADY[3:])]
    whole = [(c + 0.2 * 0.9) / (root + 0.9) for c, root in zip(SEEN, roots)]
    compare(
        _followed(answer, STEADY, CLEAR),
        [0.3] * 3,
        {
            "a mean over a mean: clear pairs count for more than noisy ones then, and less so as "
            "noise falls. Correct each pair by itself, then take the mean.": whole,
        },
        "the mean likeness",
    )


@stage("noise-falls", "a pair that becomes reliable late")
def _(answer):
    compare(
        _followed(answer, STEADY, LATE),
        [0.4] * 3,
        {
            "it rises at the last step, because another pair *joins* there: use the same pairs at "
            "all steps, those that are reliable at every one.": [0.4, 0.4, 0.6],
            "a task with a reliability of 0.2 was corrected: below ½ there is too little to divide "
            "by. Leave out pairs with such a task.": [0.6] * 3,
        },
        "the likeness",
    )


def _corrected(table):
    return table["cosine"] / np.sqrt(table["reliability_a"] * table["reliability_b"])


def _good(table):
    return table[["reliability_a", "reliability_b"]].min(axis=1) >= 0.5


def _throughout(table):
    return table[_good(table).groupby([table["a"], table["b"]]).transform("all")]


def _mean(values, table):
    return values.groupby(table["step"]).mean()


@mistake("noise-falls", "it is the noise that falls")
def _(table):
    """Plain cosines are followed."""
    kept = _throughout(table)
    return _mean(kept["cosine"], kept)


@mistake("noise-falls", "by the product of the reliabilities")
def _(table):
    """The root is forgotten."""
    kept = _throughout(table)
    return _mean(kept["cosine"] / (kept["reliability_a"] * kept["reliability_b"]), kept)


@mistake("noise-falls", "a mean over a mean")
def _(table):
    """Means are corrected, not pairs."""
    kept = _throughout(table)
    roots = np.sqrt(kept["reliability_a"] * kept["reliability_b"])
    return _mean(kept["cosine"], kept) / _mean(roots, kept)


@mistake("noise-falls", "another pair *joins*")
def _(table):
    """At each step the pairs that are reliable there."""
    kept = table[_good(table)]
    return _mean(_corrected(kept), kept)


@mistake("noise-falls", "0.2 was corrected")
def _(table):
    """All pairs are corrected, reliable or not."""
    return _mean(_corrected(table), table)
