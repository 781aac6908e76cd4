"""Self-checks of chapter 5: how far a step goes."""

from __future__ import annotations

import numpy as np

from taskspace_utils.exercises import Hint, compare, mistake, stage

LINE = np.array([3.0, 4.0, 0.0])  # the margin rises by 3 and 4 along the first two weights
WHERE = np.array([1.0, 1.0, 1.0])


def _along(w):
    return float(LINE @ w)


def _step(answer, margin, gradient, mask, delta, left) -> np.ndarray:
    w = WHERE.copy()
    found = np.asarray(answer(margin, gradient, w, np.asarray(mask), delta, left), dtype=float)
    if found.shape != w.shape:
        raise Hint(f"the weights after the step are asked for, {len(w)} numbers; this has the "
                   f"shape {found.shape}.")  # fmt: skip
    return found


@stage("one-step", "a margin that is linear in the weights")
def _(answer):
    everything = np.ones(3)
    found = _step(answer, _along, lambda w: -LINE, everything, 0.5, 3.0)
    gain = round(_along(found) - _along(WHERE), 9)
    compare(  # ‖g‖² = 25
        gain,
        0.5,
        {
            "the margin has fallen: g is the gradient of −m, so weights move by *minus* "
            "η·M∘g.": -0.5,
            "the step gained 2.5 nats where 0.5 were asked for: in 5.4 the norm is squared.": 2.5,
            "δ is taken as a learning rate: η is δ divided by the squared norm of M∘g.": 12.5,
        },
        "the gain of a step with δ = 0.5",
    )
    compare(found, WHERE + LINE / 50, what="the weights after the step")


@stage("one-step", "a mask that lets one weight move")
def _(answer):
    found = _step(answer, _along, lambda w: -LINE, [1, 0, 0], 0.5, 3.0)
    if np.any(found[1:] != WHERE[1:]):
        raise Hint("a weight that the mask holds has moved: multiply the gradient by the mask.")
    compare(  # ‖M∘g‖² = 9
        round(_along(found) - _along(WHERE), 9),
        0.5,
        {
            "the step is too short: η is measured by the norm of the whole gradient, though only "
            "M∘g moves the weights.": round(0.5 * 9 / 25, 9),
        },
        "the gain",
    )


@stage("one-step", "the last step, with 0.2 nats left to the target")
def _(answer):
    found = _step(answer, _along, lambda w: -LINE, np.ones(3), 0.5, 0.2)
    compare(
        round(_along(found) - _along(WHERE), 9),
        0.2,
        {
            "the step goes past its target: the last one is trimmed to what is left.": 0.5,
        },
        "the gain",
    )


@stage("one-step", "a margin that bends: the first tries gain too little")
def _(answer):
    def bent(w):  # 10·s − 40·s² with s the way along the first weight: a top at s = 1/8
        s = w[0] - WHERE[0]
        return 10 * s - 40 * s * s

    gradient = np.array([-10.0, 0.0, 0.0])
    # A try of δ goes s = δ/10 and gains δ − 0.4 δ²: of 4 nats −2.4, of 2 nats 0.4, of 1 nat 0.6,
    # which is more than half of 1.
    found = _step(answer, bent, lambda w: gradient, np.ones(3), 4.0, 9.0)
    compare(
        round(float(found[0] - WHERE[0]), 9),
        0.1,
        {
            "the real gain is never looked at: a step whose real gain is less than half of what it "
            "promised is halved.": 0.4,
            "the step is halved once; halve it *while* it gains less than half of what it "
            "promises.": 0.2,
            "each try is held against half of the *first* promise: a halved step promises half as "
            "much.": 0.05,
        },
        "the way of the first weight",
    )


def _stepping(
    margin, gradient, w, mask, delta, left, *, size=None, sign=-1.0, halvings=30, first=0
):
    """The right step with a fault of one's choice."""
    g = mask * gradient(w)
    squared = float(np.square(g).sum()) if size is None else size(g, gradient(w))
    delta = min(delta, left)
    promised = delta
    while True:
        new = w + sign * delta / squared * g
        if margin(new) - margin(w) >= (promised if first else delta) / 2 or halvings == 0:
            return new
        delta, halvings = delta / 2, halvings - 1


@mistake("one-step", "the norm is squared")
def _(margin, gradient, w, mask, delta, left):
    """Divides by the norm, not by its square."""
    return _stepping(margin, gradient, w, mask, delta, left, size=lambda g, _: np.linalg.norm(g))


@mistake("one-step", "norm of the whole gradient")
def _(margin, gradient, w, mask, delta, left):
    """The squared norm of the gradient without its mask."""

    def whole(g, unmasked):
        return float(np.square(unmasked).sum())

    return _stepping(margin, gradient, w, mask, delta, left, size=whole, halvings=0)


@mistake("one-step", "*minus* η·M∘g")
def _(margin, gradient, w, mask, delta, left):
    """Climbs the loss."""
    return _stepping(margin, gradient, w, mask, delta, left, sign=1.0, halvings=0)


@mistake("one-step", "trimmed to what is left")
def _(margin, gradient, w, mask, delta, left):
    """A whole step at the end, too."""
    return _stepping(margin, gradient, w, mask, delta, np.inf)


@mistake("one-step", "never looked at")
def _(margin, gradient, w, mask, delta, left):
    """Trusts the prediction."""
    return _stepping(margin, gradient, w, mask, delta, left, halvings=0)


@mistake("one-step", "halved once")
def _(margin, gradient, w, mask, delta, left):
    """`if` where `while` is meant."""
    return _stepping(margin, gradient, w, mask, delta, left, halvings=1)


@mistake("one-step", "the mask holds has moved")
def _(margin, gradient, w, mask, delta, left):
    """Forgets the mask."""
    return _stepping(margin, gradient, w, np.ones(len(w)), delta, left)


@mistake("one-step", "as a learning rate")
def _(margin, gradient, w, mask, delta, left):
    """δ as a learning rate."""
    return _stepping(margin, gradient, w, mask, delta, left, size=lambda g, _: 1.0)
