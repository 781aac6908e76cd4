"""Self-check of chapter 9: a permutation test."""

from __future__ import annotations

import numpy as np

from taskspace_utils.exercises import Hint, compare, mistake, number, stage

# ---------------------------------------------------------------------------------- permutations


def _blocks(groups, size, within, between):
    """A space with one value within groups and another between them, and the groups."""
    labels = np.repeat(np.arange(groups), size)
    return np.where(labels[:, None] == labels, within, between), labels


def _p(answer, space, labels, draws):
    kept = space.copy(), labels.copy()
    p = number(answer(space, labels, draws, np.random.default_rng(1)))
    if not (np.array_equal(space, kept[0]) and np.array_equal(labels, kept[1])):
        raise Hint(
            "the function changes what it was given: `rng.shuffle` works in place. Use "
            "`rng.permutation`, which gives a shuffled copy."
        )
    if not 0 <= p <= 1:
        raise Hint(f"a p is a share, from 0 to 1, and this is {p:.3g}.")
    return p


@stage("permutation-test", "four clear groups, and the smallest p that 19 shuffles can give")
def _(answer):
    p = _p(answer, *_blocks(4, 3, 0.8, 0.1), draws=19)
    if p == 0:
        raise Hint(
            "p = 0 says that it can't happen by chance, and 19 shuffles can't show that: the "
            "labels as they are count as one more, (b + 1) / (B + 1)."
        )
    if p > 0.9:
        raise Hint(
            "the wrong tail: b counts the shuffles whose difference is as large as the real one, "
            "or larger."
        )
    compare(round(p, 2), 0.05, {"b + 1, but over B: the labels as they are count below the "
            "line as well.": round(1 / 19, 4)}, "p")  # fmt: skip


@stage("permutation-test", "a space in which all tasks are equally alike")
def _(answer):
    p = _p(answer, *_blocks(3, 2, 0.5, 0.5), draws=99)
    if p < 0.99:
        raise Hint(
            f"p = {p:.2f}, where nothing differs at all: a shuffle that gives the *same* "
            "difference is as extreme as the real one. Ties count in b."
        )


@stage("permutation-test", "six tasks in two groups: what is shuffled")
def _(answer):
    p = _p(answer, *_blocks(2, 3, 0.8, 0.1), draws=999)  # 20 ways to choose three, named both ways
    if p < 0.05:
        raise Hint(
            f"p = {p:.3f}. But six tasks can be parted into three and three in ten ways only, so a "
            "tenth of all shuffles gives the very same groups. Were *cells* shuffled? The cells of "
            "a row belong to one task: shuffle the labels of tasks."
        )
    if p > 0.15:
        raise Hint(f"p = {p:.3f}, where about one in ten is right. Is every task's label shuffled?")


@stage("permutation-test", "a space in which one task is like all others")
def _(answer):
    space, labels = _blocks(2, 3, 0.0, 0.0)
    space[0], space[:, 0] = 0.5, 0.5  # however tasks are named, two of its five cells are within
    space[np.diag_indices(6)] = 1.0
    p = _p(answer, space, labels, draws=99)
    if p < 0.99:
        raise Hint(
            f"p = {p:.2f}, though here every way to name the tasks gives the same difference. Were "
            "rows shuffled without their columns? A task is a row *and* a column, and moves with "
            "both; a shuffle of the labels does that by itself."
        )


@stage("permutation-test", "groups that are less alike inside than outside")
def _(answer):
    p = _p(answer, *_blocks(2, 3, 0.1, 0.8), draws=199)
    if p < 0.5:
        raise Hint(
            f"p = {p:.2f} for groups that are *less* alike inside. The theory says that they are "
            "more alike, so only large differences speak for it: one-sided, no absolute values."
        )


def _difference(space, labels):
    same = labels[:, None] == labels
    off = ~np.eye(len(space), dtype=bool)
    return space[same & off].mean() - space[~same].mean()


def _b(space, labels, draws, rng, count):
    found = _difference(space, labels)
    return sum(count(_difference(space, rng.permutation(labels)), found) for _ in range(draws))


def _as_large(drawn, found):
    return drawn >= found - 1e-12


@mistake("permutation-test", "p = 0 says")
def _(space, groups, draws, rng):
    """b / B: the real labels are not counted."""
    return _b(space, groups, draws, rng, _as_large) / draws


@mistake("permutation-test", "the wrong tail")
def _(space, groups, draws, rng):
    """Shuffles with a smaller difference are counted."""
    return (_b(space, groups, draws, rng, lambda x, y: x <= y + 1e-12) + 1) / (draws + 1)


@mistake("permutation-test", "Were *cells* shuffled")
def _(space, groups, draws, rng):
    """The cells are shuffled, as if each were an observation of its own."""
    found, upper, b = _difference(space, groups), np.triu_indices(len(space), 1), 0
    for _ in range(draws):
        mixed = np.zeros_like(space)
        mixed[upper] = rng.permutation(space[upper])
        b += _difference(mixed + mixed.T, groups) >= found - 1e-12
    return (b + 1) / (draws + 1)


@mistake("permutation-test", "rows shuffled without their columns")
def _(space, groups, draws, rng):
    """Rows are shuffled, columns stay."""
    found = _difference(space, groups)
    b = sum(_difference(rng.permutation(space), groups) >= found - 1e-12 for _ in range(draws))
    return (b + 1) / (draws + 1)


@mistake("permutation-test", "one-sided, no absolute values")
def _(space, groups, draws, rng):
    """Two-sided: a large difference of either sign counts."""
    b = _b(space, groups, draws, rng, lambda x, y: abs(x) >= abs(y) - 1e-12)
    return (b + 1) / (draws + 1)


@mistake("permutation-test", "Ties count")
def _(space, groups, draws, rng):
    """Larger differences are counted, equal ones are not."""
    return (_b(space, groups, draws, rng, lambda x, y: x > y) + 1) / (draws + 1)


@mistake("permutation-test", "works in place")
def _(space, groups, draws, rng):
    """The labels themselves are shuffled, and stay so."""
    found, b = _difference(space, groups), 0
    for _ in range(draws):
        rng.shuffle(groups)
        b += _difference(space, groups) >= found - 1e-12
    return (b + 1) / (draws + 1)
