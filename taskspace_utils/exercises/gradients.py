"""Self-checks of chapter 7: corrected cosines, and lift over chance."""

from __future__ import annotations

import math

import numpy as np

from taskspace_utils.exercises import Hint, compare, mistake, number, stage

# ----------------------------------------------------------------------------- the corrected cosine

A = np.array([[1.0, 1, 0, 0], [2, 0, 1, 0]])  # two halves; by hand: cos(a1, a2) = 2 / √(2 · 5)
B = np.array([[1.0, 1, 1, 0], [1, 1, 0, 1]])  # and cos(b1, b2) = 2 / √(3 · 3)
AA, BB = 2 / math.sqrt(10), 2 / 3
A1B2, A2B1 = 2 / math.sqrt(6), 3 / math.sqrt(15)
A1B1, A2B2 = 2 / math.sqrt(6), 2 / math.sqrt(15)
C, ROOT = (A1B2 + A2B1) / 2, math.sqrt(AA * BB)


@stage("corrected-cosine", "two tasks whose gradients have no noise")
def _(answer):
    a, b = np.array([[3.0, 4], [3, 4]]), np.array([[4.0, 3], [4, 3]])
    compare(
        number(answer(a, b)),
        24 / 25,
        {
            "these are inner products, and a task with long gradients isn't more alike to others: "
            "divide by both lengths.": 24.0,
        },
        "the cosine of two tasks with equal halves",
    )


@stage("corrected-cosine", "halves that differ: what is compared with what, and divided by what")
def _(answer):
    compare(
        number(answer(A, B)),
        C / ROOT,
        {
            "that is c(A, B) of equation 7.1, not yet divided by what the reliabilities allow.": C,
            "divided by the product of the reliabilities: it is the root of the product.": C
            / (AA * BB),
            "divided by the mean of the reliabilities: it is the root of their product.": C
            / ((AA + BB) / 2),
            "equal halves were compared, first with first: noise that two tasks share there, as in "
            "common words, counts as likeness then. Cross the halves.": (A1B1 + A2B2) / 2 / ROOT,
            "only one way round, first with second: average it with second with first.": A1B2
            / ROOT,
            "only one way round, second with first: average it with first with second.": A2B1
            / ROOT,
            "cut off at 1? A corrected cosine divides one estimate by two others, so it may come "
            "out above 1; cutting it off would pull means down.": 1.0,
        },
        "the corrected cosine",
    )


@stage("corrected-cosine", "tasks without a stable gradient")
def _(answer):
    low, opposed = np.array([[1.0, 0], [1, 3]]), np.array([[1.0, 1], [-1, -1]])
    with np.errstate(all="ignore"):
        weak, negative = answer(low, np.array([[1.0, 1], [1, 1]])), answer(opposed, opposed)
    if not np.isnan(weak):
        raise Hint(
            f"a reliability of {1 / math.sqrt(10):.2f} is below ½, and yet a number came out. "
            "Return nan: nothing can be corrected by what isn't there."
        )
    if not np.isnan(negative):
        raise Hint(
            "two *negative* reliabilities have a positive product, so the root exists and means "
            "nothing: look at each reliability before they are multiplied."
        )


def _cos(u, v):
    return float(u @ v / (np.linalg.norm(u) * np.linalg.norm(v)))


def _parts(a, b):
    return (_cos(a[0], b[1]) + _cos(a[1], b[0])) / 2, _cos(a[0], a[1]), _cos(b[0], b[1])


@mistake("corrected-cosine", "these are inner products")
def _(a, b):
    """Inner products in place of cosines."""
    return (a[0] @ b[1] + a[1] @ b[0]) / 2


@mistake("corrected-cosine", "not yet divided")
def _(a, b):
    """The plain cosine of disjoint halves, not corrected."""
    return _parts(a, b)[0]


@mistake("corrected-cosine", "divided by the product")
def _(a, b):
    """The root is forgotten."""
    c, aa, bb = _parts(a, b)
    return c / (aa * bb)


@mistake("corrected-cosine", "equal halves were compared")
def _(a, b):
    """First halves with first halves, second with second."""
    _, aa, bb = _parts(a, b)
    return (_cos(a[0], b[0]) + _cos(a[1], b[1])) / 2 / math.sqrt(aa * bb)


@mistake("corrected-cosine", "cut off at 1")
def _(a, b):
    """Values above 1 are cut off."""
    c, aa, bb = _parts(a, b)
    return min(1.0, c / math.sqrt(aa * bb))


@mistake("corrected-cosine", "a number came out")
def _(a, b):
    """Every task is corrected, however unreliable."""
    c, aa, bb = _parts(a, b)
    return c / math.sqrt(aa * bb) if aa * bb > 0 else math.nan


@mistake("corrected-cosine", "two *negative* reliabilities")
def _(a, b):
    """Only the product of the reliabilities is held against a bound."""
    c, aa, bb = _parts(a, b)
    return c / math.sqrt(aa * bb) if aa * bb >= 0.4 else math.nan


# ------------------------------------------------------------------------------- lift over chance


def _places(size, *chosen):
    return np.isin(np.arange(size), chosen)


@stage("overlap-lift", "one matrix of eight weights, of which each task has two")
def _(answer):
    compare(
        number(answer(_places(8, 0, 1), _places(8, 1, 2), [8])),
        2.0,  # one weight is shared; chance would share 2 · 2 / 8
        {
            "that is the overlap; the lift is the number of shared weights over the number that "
            "chance would share.": 0.5,
            "shared over all that are chosen is another measure (Jaccard's); the lift divides by "
            "chance.": 1 / 3,
            "chance is a *number* of weights: the two shares of a matrix, multiplied, times its "
            "size. The size is missing.": 16.0,
        },
        "the lift",
    )


@stage("overlap-lift", "two matrices of unequal size")
def _(answer):
    a, b = _places(10, 0, 1, 2), _places(10, 0, 1, 3)  # all of a matrix of 2, and 1 of one of 8
    compare(
        number(answer(a, b, [2, 8])),
        2 / (2 * 2 / 2 + 1 * 1 / 8),
        {
            "chance was taken over the whole model: a matrix in which all tasks have large "
            "gradients then looks like agreement. Take it within each matrix, and add up.": 2
            / (3 * 3 / 10),
            "a mean of one lift a matrix: add up shared weights and chances over the matrices "
            "first, and divide once.": 0.5,
        },
        "the lift",
    )


@stage("overlap-lift", "matrices that follow each other, and tasks that choose at random in each")
def _(answer):
    rng, sizes = np.random.default_rng(0), [1000, 30, 300]
    found = []
    for _ in range(100):
        a, b = (
            np.concatenate([rng.random(n) < p for n, p in zip(sizes, (0.02, 0.8, 0.1))])
            for _ in range(2)
        )
        found.append(number(answer(a, b, sizes)))
    if abs(np.mean(found) - 1) > 0.06:
        raise Hint(
            "where tasks choose at random inside each matrix the lift should be about 1, and over "
            f"100 draws it is {np.mean(found):.2f}. Does every matrix begin where the one before "
            "it ends?"
        )


def _cuts(sizes):
    ends = np.cumsum(sizes)
    return [slice(end - size, end) for end, size in zip(ends, sizes)]


@mistake("overlap-lift", "that is the overlap")
def _(a, b, sizes):
    """The overlap itself: shared weights over chosen ones."""
    return (a & b).sum() / a.sum()


@mistake("overlap-lift", "Jaccard's")
def _(a, b, sizes):
    """Shared weights over all that either task chose."""
    return (a & b).sum() / (a | b).sum()


@mistake("overlap-lift", "size is missing")
def _(a, b, sizes):
    """Shares are multiplied, and stay shares."""
    return (a & b).sum() / sum(a[cut].mean() * b[cut].mean() for cut in _cuts(sizes))


@mistake("overlap-lift", "over the whole model")
def _(a, b, sizes):
    """One chance level for all matrices."""
    return (a & b).sum() / (a.sum() * b.sum() / len(a))


@mistake("overlap-lift", "one lift a matrix")
def _(a, b, sizes):
    """A lift for each matrix, averaged."""
    cuts = _cuts(sizes)
    chance = [a[cut].sum() * b[cut].sum() / size for cut, size in zip(cuts, sizes)]
    return np.mean([(a[cut] & b[cut]).sum() / c for cut, c in zip(cuts, chance)])


@mistake("overlap-lift", "begin where the one before")
def _(a, b, sizes):
    """Each matrix is cut out at the size of the one before it, not at the sum of all before."""
    starts = [0, *sizes[:-1]]
    cuts = [slice(start, start + size) for start, size in zip(starts, sizes)]
    return (a & b).sum() / sum(a[c].sum() * b[c].sum() / n for c, n in zip(cuts, sizes))
