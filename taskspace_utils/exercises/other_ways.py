"""Self-check of chapter 16: how much a pair still counts in preference optimisation."""

from __future__ import annotations

import warnings

import numpy as np

from taskspace_utils.exercises import Hint, compare, mistake, stage

ZERO = [0.0, 0.0, 0.0]


def _weights(answer, margins: list[float], before: list[float], beta: float) -> np.ndarray:
    """The answer as an array, or a hint about its form."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = answer(np.array(margins), np.array(before), beta)
    try:
        found = np.asarray(found, float)
    except (TypeError, ValueError):
        raise Hint("an array of numbers is asked for, one a pair.") from None
    if found.shape != (len(margins),):
        raise Hint(f"an array of {len(margins)} numbers is asked for, not one of {found.shape}.")
    if any(issubclass(one.category, RuntimeWarning) for one in caught):
        raise Hint(
            "the numbers overflow on the way: e^x of a large x is more than a float can hold. Use "
            "e^(−|x|), which is never more than 1."
        )
    return found


@stage("pair-weights", "at the start of the lesson")
def _(answer):
    start = [2.0, -1.0, 0.0]
    compare(_weights(answer, start, start, 0.5), np.ones(3), {
        "the sigmoid of 0 is one half, and the loss was divided by half of β: a factor 2 is "
        "missing.": np.full(3, 0.5),
        "the factor β went with the division: the loss has 2/β before it.": np.full(3, 0.25),
        "what counts is how far a margin has *risen*, not where it stands: the margins before the "
        "lesson must be subtracted.": 2 / (1 + np.exp(0.5 * np.array(start))),
    }, "the weights of pairs that have not moved")  # fmt: skip


@stage("pair-weights", "pairs that have risen, and one that has fallen")
def _(answer):
    now = np.array([1.0, 4.0, -2.0])
    compare(_weights(answer, now.tolist(), ZERO, 0.5), 2 / (1 + np.exp(0.5 * now)), {
        "a pair that has risen counts for more here than one that has fallen: the sign in the "
        "sigmoid is the other one.": 2 / (1 + np.exp(-0.5 * now)),
        "β is missing inside the sigmoid.": 2 / (1 + np.exp(now)),
        "this is the loss of each pair; asked is what stands before the pair's gradient.":
            -2 / 0.5 * np.log(1 / (1 + np.exp(-0.5 * now))),
    }, "the weights after a rise of 1, a rise of 4 and a fall of 2 nats")  # fmt: skip


@stage("pair-weights", "pairs that have moved by thousands of nats")
def _(answer):
    compare(_weights(answer, [5000.0, -5000.0, 0.0], ZERO, 1.0), [0.0, 2.0, 1.0], {},
            "the weights of pairs that have risen and fallen by 5000 nats")  # fmt: skip


# ------------------------------------------------------------------------------- plausible mistakes


def _sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, float)))


@mistake("pair-weights", "a factor 2 is missing")
def _(margins, before, beta):
    """It gives the sigmoid alone."""
    return _sigmoid(-beta * (margins - before))


@mistake("pair-weights", "the factor β went with the division")
def _(margins, before, beta):
    """It gives the weight of the undivided loss."""
    return beta * _sigmoid(-beta * (margins - before))


@mistake("pair-weights", "not where it stands")
def _(margins, before, beta):
    """It forgets the margins before the lesson."""
    return 2 * _sigmoid(-beta * margins)


@mistake("pair-weights", "the sign in the sigmoid is the other one")
def _(margins, before, beta):
    """It counts risen pairs for more."""
    return 2 * _sigmoid(beta * (margins - before))


@mistake("pair-weights", "β is missing inside the sigmoid")
def _(margins, before, beta):
    """It leaves β out."""
    return 2 * _sigmoid(-(margins - before))


@mistake("pair-weights", "the numbers overflow on the way")
def _(margins, before, beta):
    """It is right, and overflows."""
    return 2 / (1 + np.exp(beta * (margins - before)))
