"""Self-check of chapter 17: a ceiling, and what lies under it."""

from __future__ import annotations

import numpy as np

from taskspace_utils.exercises import Hint, compare, mistake, stage

NAME = "ceiling-and-between"


def _both(answer, likeness, kinds, seeds) -> tuple[float, float]:
    found = answer(np.array(likeness), list(kinds), list(seeds))
    try:
        one, other = (float(value) for value in found)
    except (TypeError, ValueError):
        raise Hint("two numbers are asked for: the ceiling, and *between*.") from None
    return one, other


# Two kinds, two seeds: p1 p2 q1 q2. Within: 0.8 and 0.6; of different seeds between: 0.3 and 0.5.
FOUR = [[1.0, 0.8, 0.9, 0.3], [0.8, 1.0, 0.5, 0.9], [0.9, 0.5, 1.0, 0.6], [0.3, 0.9, 0.6, 1.0]]


@stage(NAME, "two kinds of two seeds: two numbers, the ceiling first")
def _(answer):
    one, _ = _both(answer, FOUR, "ppqq", [1, 2, 1, 2])
    compare(one, 0.7, {
        "a model was compared with itself, and that is 1 whatever the models: leave the diagonal "
        "out.": 0.85,
        "the two numbers are exchanged: the ceiling comes first.": 0.4,
    }, "the ceiling")  # fmt: skip


@stage(NAME, "couples of one seed")
def _(answer):
    _, other = _both(answer, FOUR, "ppqq", [1, 2, 1, 2])
    compare(other, 0.4, {
        "couples of one seed were counted. They read the same sentences in the same order, and no "
        "couple of one kind ever does.": 0.65,
        "models of one kind are among these, too: only different kinds belong here.": 0.55,
    }, "*between*")  # fmt: skip


# Kinds with three, two and two models; a couple's likeness depends on its kinds alone.
MEANS = {"pp": 0.9, "qq": 0.6, "rr": 0.3, "pq": 0.5, "pr": 0.2, "qr": 0.2}
KINDS, SEEDS = "pppqqrr", [1, 2, 3, 1, 2, 1, 2]
SEVEN = [[1.0 if i == j else MEANS["".join(sorted(k + m))] for j, m in enumerate(KINDS)]
         for i, k in enumerate(KINDS)]  # fmt: skip


@stage(NAME, "kinds with unequal numbers of models")
def _(answer):
    one, other = _both(answer, SEVEN, KINDS, SEEDS)
    if abs(one - 0.72) < 1e-9:
        raise Hint(
            "the kind with most models counts most: take the mean of each kind first, and then "
            "the mean of these."
        )
    compare(one, 0.6, {}, "the ceiling")
    if abs(other - 0.32) < 1e-9:
        raise Hint(
            "in *between*, couples of kinds count by how many models they have: take the mean of "
            "each couple of kinds first."
        )
    compare(other, 0.3, {}, "*between*")


# ------------------------------------------------------------------------------- plausible mistakes


def _means(likeness, kinds, seeds, keep, balanced=(True, True)):
    """The right answer with another choice of couples, or without means by kinds."""
    found: dict = {}
    for i, one in enumerate(kinds):
        for j, other in enumerate(kinds):
            if keep(i, j):
                found.setdefault(one == other, {}).setdefault((one, other), []).append(
                    likeness[i, j]
                )
    return tuple(
        np.mean([np.mean(v) for v in found[same].values()])
        if even
        else np.mean(np.concatenate(list(found[same].values())))
        for same, even in zip((True, False), balanced, strict=True)
    )


@mistake(NAME, "leave the diagonal out")
def _(likeness, kinds, seeds):
    """Each model is compared with itself, too."""
    return _means(likeness, kinds, seeds, lambda i, j: i == j or seeds[i] != seeds[j])


@mistake(NAME, "exchanged")
def _(likeness, kinds, seeds):
    """The ceiling is given last."""
    return _means(likeness, kinds, seeds, lambda i, j: seeds[i] != seeds[j])[::-1]


@mistake(NAME, "no couple of one kind ever does")
def _(likeness, kinds, seeds):
    """Couples of one seed count between kinds."""
    return _means(likeness, kinds, seeds, lambda i, j: i != j)


@mistake(NAME, "only different kinds belong here")
def _(likeness, kinds, seeds):
    """All couples of different seeds are taken for those between kinds."""
    one, _ = _means(likeness, kinds, seeds, lambda i, j: seeds[i] != seeds[j])
    apart = np.not_equal.outer(seeds, seeds)
    return one, likeness[apart].mean()


@mistake(NAME, "the kind with most models counts most")
def _(likeness, kinds, seeds):
    """All couples within kinds are thrown together."""
    return _means(likeness, kinds, seeds, lambda i, j: seeds[i] != seeds[j], (False, False))


@mistake(NAME, "couples of kinds count by how many models they have")
def _(likeness, kinds, seeds):
    """All couples between kinds are thrown together."""
    return _means(likeness, kinds, seeds, lambda i, j: seeds[i] != seeds[j], (True, False))
