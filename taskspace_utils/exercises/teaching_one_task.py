"""Self-checks of chapter 4: what a fixed number of steps does to a loss without a floor."""

from __future__ import annotations

import math

import numpy as np

from taskspace_utils.exercises import Hint, compare, mistake, stage


def _margins(found, steps: int) -> np.ndarray:
    """The answer as an array of steps + 1 numbers that begins with 0."""
    try:
        margins = np.asarray(found, dtype=float)
    except (TypeError, ValueError):
        margins = np.empty(0)
    if margins.shape == (steps,):
        raise Hint(f"there are {steps} margins after {steps} steps; the one before the first is "
                   "missing.")  # fmt: skip
    if margins.shape != (steps + 1,):
        raise Hint(
            f"a list of {steps + 1} margins is asked for: the first, and one after each step."
        )
    return margins


def _by_difference(loss: str, rate: float, steps: int, width: float = 1e-6) -> list[float]:
    """The same from the losses alone: gradients are finite differences."""

    def log_p(a: float, b: float) -> float:
        return -math.log1p(math.exp(b - a))

    def value(a: float, b: float) -> float:
        return -log_p(a, b) + (log_p(b, a) if loss == "pair" else 0.0)

    a = b = 0.0
    margins = [0.0]
    for _ in range(steps):
        by_a = (value(a + width, b) - value(a - width, b)) / (2 * width)
        by_b = (value(a, b + width) - value(a, b - width)) / (2 * width)
        a, b = a - rate * by_a, b - rate * by_b
        margins.append(a - b)
    return margins


@stage("exploding-loss", "three steps on the pair's loss")
def _(answer):
    plain = np.round(_by_difference("plain", 0.5, 3), 4)
    found = _margins(answer("pair", 0.5, 3), 3)
    compare(  # −m falls by 1 for each nat of a, and for each nat that b sinks: 0.5 + 0.5 a step
        found if np.abs(found - plain).max() > 1e-3 else plain,
        [0, 1, 2, 3],
        {
            "the loss is climbed: descent goes *against* the gradient.": [0, -1, -2, -3],
            "only one of the two logits moves: the loss −m = b − a has a derivative in each.": [
                0, 0.5, 1, 1.5,
            ],
            "these are the margins of the plain loss, in which the bad word has no part.": plain,
        },
        "the list of margins",
    )  # fmt: skip


@stage("exploding-loss", "three steps on the plain loss")
def _(answer):
    right = np.round(_by_difference("plain", 0.5, 3), 5)
    found = _margins(answer("plain", 0.5, 3), 3)
    compare(
        found if np.abs(found - right).max() > 1e-4 else right,
        right,
        {
            "the gradient of the start is used for every step: take it anew, for p has risen.": [
                0,
                0.5,
                1,
                1.5,
            ],
            "these are the margins of the pair's loss; the plain one, −log P(good), gets flat as "
            "P(good) rises.": [0, 1, 2, 3],
        },
        "the list of margins",
    )


@stage("exploding-loss", "three thousand steps")
def _(answer):
    try:
        end = _margins(answer("pair", 0.5, 3000), 3000)[-1]
        if not math.isfinite(end):
            raise OverflowError
    except ArithmeticError:
        raise Hint(
            "on its way to a margin of 3,000 nats something overflows: e to the power of 1,500 is "
            "no float. Write p with e to the power of −m, or note that it drops out of the "
            "pair's gradient."
        ) from None
    compare(end, 3000.0, what="the last margin")


def _descend(rate, steps, gradient):
    a = b = 0.0
    margins = [0.0]
    for _ in range(steps):
        by_a, by_b = gradient(a, b)
        a, b = a - rate * by_a, b - rate * by_b
        margins.append(a - b)
    return margins


def _plain(a, b):
    p = 1 / (1 + math.exp(b - a))
    return p - 1, 1 - p


@mistake("exploding-loss", "*against* the gradient")
def _(loss, rate, steps):
    """Climbs: the sign of the step is wrong."""
    return _descend(-rate, steps, (lambda a, b: (-1, 1)) if loss == "pair" else _plain)


@mistake("exploding-loss", "only one of the two logits")
def _(loss, rate, steps):
    """Moves the good word's logit and leaves the bad word's where it is."""
    return _descend(rate, steps, lambda a, b: (-1 if loss == "pair" else _plain(a, b)[0], 0))


@mistake("exploding-loss", "in which the bad word has no part")
def _(loss, rate, steps):
    """Descends the plain loss in both cases."""
    return _descend(rate, steps, _plain)


@mistake("exploding-loss", "for every step")
def _(loss, rate, steps):
    """Takes the gradient once, at the start."""
    once = (-1, 1) if loss == "pair" else _plain(0, 0)
    return _descend(rate, steps, lambda a, b: once)


@mistake("exploding-loss", "gets flat")
def _(loss, rate, steps):
    """Descends the pair's loss in both cases."""
    return _descend(rate, steps, lambda a, b: (-1, 1))


@mistake("exploding-loss", "something overflows")
def _(loss, rate, steps):
    """Both words' gradients through e to the power of the logits, which soon has no room."""

    def gradient(a, b):
        p = math.exp(a) / (math.exp(a) + math.exp(b))
        good, bad = (p - 1, 1 - p), (p, -p)
        return good if loss == "plain" else (good[0] - bad[0], good[1] - bad[1])

    return _descend(rate, steps, gradient)


@mistake("exploding-loss", "is missing")
def _(loss, rate, steps):
    """Leaves out the margin before the first step."""
    return _descend(rate, steps, (lambda a, b: (-1, 1)) if loss == "pair" else _plain)[1:]
