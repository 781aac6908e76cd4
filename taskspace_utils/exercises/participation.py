"""Self-check of chapter 7: how many weights take part in a gradient."""

from __future__ import annotations

import math

import numpy as np

from taskspace_utils.exercises import Hint, compare, mistake, number, stage


@stage("participation", "four weights alike, and one of four alone")
def _(answer):
    compare(
        number(answer(np.ones(4))),
        1.0,
        {
            "that is a number of weights and not yet a share: divide by P, or models of unequal "
            "size can't be compared.": 4.0,
            "upside down? If all weights take an equal part it should be 1.": 0.25,
        },
        "the participation of equal weights",
    )
    compare(number(answer(np.array([0.0, 0, 3, 0]))), 0.25, {}, "the participation of one of four")


@stage("participation", "weights that are unequal and have signs")
def _(answer):
    compare(
        number(answer(np.array([2.0, -1, 0, 0]))),
        25 / 68,  # (4 + 1)² / (4 · (16 + 1))
        {
            "absolute values stand where squares belong: a weight's energy is its square, and the "
            "square of that a fourth power.": 9 / 20,
            "the signs cancel in the sum: square each weight before adding.": 1 / 20,
            "weights that aren't zero were counted: a tiny one shouldn't count as much as a large "
            "one.": 1 / 2,
        },
        "the participation",
    )


@stage("participation", "a tiny gradient in single precision")
def _(answer):
    with np.errstate(all="ignore"):
        found = float(answer(np.array([2, -1, 0, 0], np.float32) * np.float32(1e-12)))
    if not math.isclose(found, 25 / 68, rel_tol=1e-3):
        raise Hint(
            f"for the same gradient, a million million times smaller, it gives {found:.3g}. "
            "Fourth powers of such numbers are too small for single precision: go to float64, or "
            "divide by the largest entry first."
        )


@mistake("participation", "not yet a share")
def _(g):
    """How many weights take part, not which share of them."""
    return (g**2).sum() ** 2 / (g**4).sum()


@mistake("participation", "upside down")
def _(g):
    """The inverse: how concentrated it is."""
    return (g**4).sum() / (g**2).sum() ** 2


@mistake("participation", "absolute values stand")
def _(g):
    """Absolute values in place of squares."""
    return np.abs(g).sum() ** 2 / (g.size * (g**2).sum())


@mistake("participation", "the signs cancel")
def _(g):
    """The sum is squared, not the weights."""
    return g.sum() ** 2 / (g.size * (g**2).sum())


@mistake("participation", "weights that aren't zero were counted")
def _(g):
    """The share of weights that are not zero."""
    return np.count_nonzero(g) / g.size


@mistake("participation", "too small for single precision")
def _(g):
    """Right, but in the gradient's own precision."""
    return (g**2).sum() ** 2 / (g.size * (g**4).sum())
