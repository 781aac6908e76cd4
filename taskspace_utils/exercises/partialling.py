"""Self-check of chapter 9: a theory with words partialled out."""

from __future__ import annotations

import math

import numpy as np

from taskspace_utils.exercises import Hint, compare, mistake, number, stage

SPACE = (0.9, 0.4, 0.3, 0.5, 0.1, 0.6)  # the six cells above the diagonal, row by row
THEORY = (1, 0, 0, 0, 0, 1)
WORDS = (0.8, 0.6, 0.5, 0.9, 0.3, 0.4)
UNLIKE = (0.5, 0.2, -0.2, -0.2, 0.2, -0.5)  # orthogonal to the theory, and to:
CLEAR = (1.0, 0.1, 0.1, 0.2, 0.2, 1.0)


def _space(cells):
    space = np.eye(4)
    upper = np.triu_indices(4, 1)
    space[upper] = space.T[upper] = cells
    return space


def _r(x, y):
    """A correlation from sums, as in a book of tables."""
    n, sx, sy = len(x), sum(x), sum(y)
    top = n * sum(a * b for a, b in zip(x, y)) - sx * sy
    return top / math.sqrt(
        (n * sum(a * a for a in x) - sx**2) * (n * sum(b * b for b in y) - sy**2)
    )


@stage("partial-out", "words that have nothing to do with theory and space")
def _(answer):
    compare(
        number(answer(*map(_space, (CLEAR, THEORY, UNLIKE)))),
        _r(CLEAR, THEORY),
        {
            "the diagonal is in it: a task is like itself whatever the theory says. Take the cells "
            "above the diagonal.": _with_diagonal(*map(_space, (CLEAR, THEORY, UNLIKE))),
        },
        "where words explain nothing, the correlation",
    )


@stage("partial-out", "words that explain a part of both")
def _(answer):
    xy, xz, yz = _r(SPACE, THEORY), _r(SPACE, WORDS), _r(THEORY, WORDS)
    squares = sum(z * z for z in WORDS)
    through_zero = [
        [v - sum(a * z for a, z in zip(some, WORDS)) / squares * z for v, z in zip(some, WORDS)]
        for some in (SPACE, THEORY)
    ]
    compare(
        number(answer(*map(_space, (SPACE, THEORY, WORDS)))),
        (xy - xz * yz) / math.sqrt((1 - xz**2) * (1 - yz**2)),
        {
            "nothing was taken out: this is the plain correlation.": xy,
            "words were taken out of the theory only: what they explain must leave the space "
            "too.": (xy - xz * yz) / math.sqrt(1 - yz**2),
            "words were taken out of the space only: what they explain must leave the theory "
            "too.": (xy - xz * yz) / math.sqrt(1 - xz**2),
            "the line goes through 0: fit it with an intercept, since neither words nor cells have "
            "a mean of zero.": _r(*through_zero),
            "a difference of two correlations is no correlation: take words out of the cells, then "
            "correlate what is left.": xy - xz,
        },
        "the correlation beyond words",
    )


@stage("partial-out", "a theory that says the same as the words")
def _(answer):
    theory = [2 * z + 0.1 for z in WORDS]
    with np.errstate(all="ignore"):
        found = answer(*map(_space, (SPACE, theory, WORDS)))
    if not np.isnan(found):
        raise Hint(
            f"words contain this theory, so nothing of it is left, and {found:.2f} is a "
            "correlation with rounding errors. Where hardly anything is left, return nan."
        )


def _cells(space):
    return space[np.triu_indices(len(space), 1)]


def _rest(y, z, intercept=True):
    columns = np.column_stack([np.ones(len(z)), z] if intercept else [z])
    return y - columns @ np.linalg.lstsq(columns, y, rcond=None)[0]


def _with_diagonal(space, theory, words):
    x, y, z = (some[np.triu_indices(len(some))] for some in (space, theory, words))
    return np.corrcoef(_rest(x, z), _rest(y, z))[0, 1]


@mistake("partial-out", "the diagonal is in it")
def _(space, theory, words):
    """The diagonal counts as cells."""
    return _with_diagonal(space, theory, words)


@mistake("partial-out", "nothing was taken out")
def _(space, theory, words):
    """Words are left where they are."""
    return np.corrcoef(_cells(space), _cells(theory))[0, 1]


@mistake("partial-out", "out of the theory only")
def _(space, theory, words):
    """Half of the work: only the theory is freed of words."""
    return np.corrcoef(_cells(space), _rest(_cells(theory), _cells(words)))[0, 1]


@mistake("partial-out", "goes through 0")
def _(space, theory, words):
    """A line without an intercept."""
    rests = (_rest(_cells(some), _cells(words), intercept=False) for some in (space, theory))
    return np.corrcoef(*rests)[0, 1]


@mistake("partial-out", "a difference of two correlations")
def _(space, theory, words):
    """The correlation with the theory, less that with words."""
    x, y, z = map(_cells, (space, theory, words))
    return np.corrcoef(x, y)[0, 1] - np.corrcoef(x, z)[0, 1]


@mistake("partial-out", "rounding errors")
def _(space, theory, words):
    """Right, unless nothing is left."""
    return np.corrcoef(*(_rest(_cells(some), _cells(words)) for some in (space, theory)))[0, 1]
