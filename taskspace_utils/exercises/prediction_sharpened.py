"""Self-check of chapter 15: the cross-half prediction of a lesson's effect."""

from __future__ import annotations

import numpy as np

from taskspace_utils.exercises import Hint, compare, mistake, number, stage

# Worked by hand: ⟨g, other⟩ = 2 + 3 = 5, ⟨g, own eval⟩ = 2 + 2 + 2 = 6, ⟨g, g⟩ = 9.
TRAIN, EVAL, OTHER = np.array([2.0, -1, 2]), np.array([1.0, -2, 1]), np.array([1.0, -3, 0])
# The top half of |g| is its second and its last weight; of the eval gradient the first two.
G, E, T = np.array([1.0, -4, 2, 3]), np.array([5.0, -3, 1, 2]), np.array([2.0, -1, 7, 4])


@stage("cross-half", "all weights move")
def _(answer):
    compare(
        number(answer(TRAIN, EVAL, OTHER, 3.0, 1.0)),
        3 * 5 / 6,
        {
            "the denominator is the train gradient with itself. That uses one half of the pairs "
            "twice, so its noise counts as signal: take the train gradient with the eval one.": 3
            * 5
            / 9,
            "that is the ratio for a gain of 1 nat: multiply by the gain.": 5 / 6,
            "that is a multiple of a cosine: the lengths don't cancel here, a target with a long "
            "gradient rises by more.": 3 * 5 / (np.linalg.norm(TRAIN) * np.linalg.norm(OTHER)),
            "the source's eval gradient was followed; a lesson is given on train pairs.": 3 * 7 / 6,
            "the sign is the other one: gradients of −m that point the same way make both margins "
            "rise.": -3 * 5 / 6,
        },
        "the predicted change",
    )


@stage("cross-half", "half of the weights move")
def _(answer):
    compare(
        number(answer(G, E, T, 2.0, 0.5)),
        2 * (4 + 12) / (12 + 6),
        {
            "no mask was used: weights outside the top k don't move.": 2 * 32 / 25,
            "the mask is missing below: the source's own gain comes from the same moved weights.": 2
            * 16
            / 25,
            "the mask is missing above: the target changes by the moved weights only.": 2 * 32 / 18,
            "the largest *values* were taken, not the largest sizes: a weight whose gradient is "
            "very negative matters as much.": 2 * 26 / 8,
            "the mask is from the eval gradient; a lesson knows only its train pairs.": 2 * 6 / 17,
        },
        "the predicted change with a mask",
    )


@stage("cross-half", "shares that leave a fraction of a weight")
def _(answer):
    one = number(answer(G, E, T, 1.0, 0.01))
    if not np.isclose(one, 4 / 12):
        raise Hint(
            "a share so small that it rounds to no weight at all still moves one, as in a lesson: "
            f"at least one weight. The answer should be {4 / 12:.3f}, not {one:.3f}."
        )


def _masked(own, k):
    top = np.argsort(-np.abs(own), kind="stable")[: max(1, round(k * len(own)))]
    return np.where(np.isin(np.arange(len(own)), top), own, 0.0)


@mistake("cross-half", "train gradient with itself")
def _(own_train, own_eval, other_eval, gain, k):
    """One half of the pairs stands twice below the line."""
    moved = _masked(own_train, k)
    return gain * (moved @ other_eval) / (moved @ own_train)


@mistake("cross-half", "multiply by the gain")
def _(own_train, own_eval, other_eval, gain, k):
    """The gain is forgotten."""
    moved = _masked(own_train, k)
    return (moved @ other_eval) / (moved @ own_eval)


@mistake("cross-half", "multiple of a cosine")
def _(own_train, own_eval, other_eval, gain, k):
    """A cosine in place of a ratio."""
    moved = _masked(own_train, k)
    return gain * (moved @ other_eval) / (np.linalg.norm(moved) * np.linalg.norm(other_eval))


@mistake("cross-half", "eval gradient was followed")
def _(own_train, own_eval, other_eval, gain, k):
    """The lesson follows the eval gradient."""
    moved = _masked(own_eval, k)
    return gain * (moved @ other_eval) / (moved @ own_train)


@mistake("cross-half", "the sign is the other one")
def _(own_train, own_eval, other_eval, gain, k):
    """A minus from the step rule that cancels is kept."""
    moved = _masked(own_train, k)
    return -gain * (moved @ other_eval) / (moved @ own_eval)


@mistake("cross-half", "no mask was used")
def _(own_train, own_eval, other_eval, gain, k):
    """All weights move, whatever k."""
    return gain * (own_train @ other_eval) / (own_train @ own_eval)


@mistake("cross-half", "the mask is missing below")
def _(own_train, own_eval, other_eval, gain, k):
    """Only the target's side is masked."""
    return gain * (_masked(own_train, k) @ other_eval) / (own_train @ own_eval)


@mistake("cross-half", "the mask is missing above")
def _(own_train, own_eval, other_eval, gain, k):
    """Only the source's side is masked."""
    return gain * (own_train @ other_eval) / (_masked(own_train, k) @ own_eval)


@mistake("cross-half", "the largest *values*")
def _(own_train, own_eval, other_eval, gain, k):
    """The top k of the gradient, not of its size."""
    top = np.argsort(-own_train, kind="stable")[: max(1, round(k * len(own_train)))]
    return gain * (own_train[top] @ other_eval[top]) / (own_train[top] @ own_eval[top])


@mistake("cross-half", "the mask is from the eval gradient")
def _(own_train, own_eval, other_eval, gain, k):
    """Weights are chosen by the wrong half."""
    moved = np.where(_masked(own_eval, k) != 0, own_train, 0.0)
    return gain * (moved @ other_eval) / (moved @ own_eval)


@mistake("cross-half", "at least one weight")
def _(own_train, own_eval, other_eval, gain, k):
    """A count of 0 for a tiny share."""
    count = round(k * len(own_train))
    top = np.argsort(-np.abs(own_train), kind="stable")[:count]
    below = own_train[top] @ own_eval[top]
    return gain * (own_train[top] @ other_eval[top]) / below if count else 0.0
