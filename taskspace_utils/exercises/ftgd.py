"""Self-checks of chapter 5: what cancels in a pair, which weights move, and how far."""

from __future__ import annotations

import numpy as np

from taskspace_utils.exercises import Hint, compare, mistake, stage

# ----------------------------------------------------------------------------- which terms are left


def _left(found) -> list[list[int]]:
    """The answer as two lists of places."""
    try:
        good, bad = (sorted(int(place) for place in side) for side in found)
    except (TypeError, ValueError):
        raise Hint(
            "two lists of places are asked for, one for the good sentence and one for the bad, "
            "such as ([3, 4], [3, 4])."
        ) from None
    return [good, bad]


@stage("cancelling-terms", "one word differs in the middle")
def _(answer):
    compare(
        _left(answer([0, 5, 6, 7, 9], [0, 5, 6, 8, 9])),
        [[3, 4], [3, 4]],
        {
            "the words after the difference are the same, but their past isn't: P(w | past) has "
            "another past, so these terms stay.": [[3], [3]],
            "the word that differs is itself a term: P(good word | past) and P(bad word | past) "
            "are two different outputs.": [[4], [4]],
            "these are the terms that cancel; asked is which are left.": [[1, 2], [1, 2]],
            "the words before the difference have the same past and are the same: their terms are "
            "equal, and cancel.": [[1, 2, 3, 4], [1, 2, 3, 4]],
        },
        "what is left",
    )


@stage("cancelling-terms", "the first word differs")
def _(answer):
    compare(
        _left(answer([0, 4, 6, 7, 8], [0, 5, 6, 7, 8])),
        [[1, 2, 3, 4], [1, 2, 3, 4]],
        {
            "so it would be for a bigram model, which looks back by one word; a "
            "transformer looks back to the beginning.": [[1, 2], [1, 2]],
            "place 0 is BOS: nothing predicts it, so it has no term at all.": [[0, 1, 2, 3, 4]] * 2,
        },
        "what is left",
    )


@stage("cancelling-terms", "sentences of different lengths that end alike")
def _(answer):
    compare(
        _left(answer([0, 5, 6, 9], [0, 5, 7, 6, 9])),
        [[2, 3], [2, 3, 4]],
        {
            "they end in the same words, but these have another past in each sentence: a shared "
            "end cancels nothing.": [[], [2]],
            "the longer sentence is cut where the shorter one ends (`zip` does that): its last "
            "term is missing.": [[2, 3], [2, 3]],
        },
        "what is left",
    )


@stage("cancelling-terms", "one sentence begins with all of the other; two are the same")
def _(answer):
    beginning = ([0, 5, 6], [0, 5, 6, 7])
    try:
        found = _left(answer(*beginning)), _left(answer([0, 5], [0, 5]))
    except (StopIteration, IndexError):
        raise Hint(
            "no two words differ at the same place here, and the search for one runs off the end: "
            "then the difference begins where the shorter sentence ends."
        ) from None
    compare(found[0], [[], [3]], what="what is left when the bad sentence merely goes on")
    compare(found[1], [[], []], what="what is left of two equal sentences")


def _start(good, bad):
    for place, (a, b) in enumerate(zip(good, bad)):
        if a != b:
            return place
    return min(len(good), len(bad))


@mistake("cancelling-terms", "another past, so these terms stay")
def _(good, bad):
    """Keeps only the places where the words differ."""
    places = [t for t, (a, b) in enumerate(zip(good, bad)) if a != b]
    return places, places


@mistake("cancelling-terms", "a shared end cancels nothing")
def _(good, bad):
    """Takes away what both sentences end with, when they differ in length."""
    start, shared = _start(good, bad), 0
    while len(good) != len(bad) and good[len(good) - 1 - shared] == bad[len(bad) - 1 - shared]:
        shared += 1
    return list(range(start, len(good) - shared)), list(range(start, len(bad) - shared))


@mistake("cancelling-terms", "is itself a term")
def _(good, bad):
    """Begins after the first difference."""
    start = _start(good, bad) + 1
    return list(range(start, len(good))), list(range(start, len(bad)))


@mistake("cancelling-terms", "bigram model")
def _(good, bad):
    """Keeps a term only if the word itself or the one before it differs."""
    places = [t for t in range(1, len(good)) if good[t - 1 : t + 1] != bad[t - 1 : t + 1]]
    return places, places


@mistake("cancelling-terms", "cut where the shorter one ends")
def _(good, bad):
    """Walks through both sentences at once, to the end of the shorter."""
    places = list(range(_start(good, bad), min(len(good), len(bad))))
    return places, places


@mistake("cancelling-terms", "runs off the end")
def _(good, bad):
    """Looks for the first place at which two words differ, as if there always were one."""
    start = 0
    while good[start] == bad[start]:
        start += 1
    return list(range(start, len(good))), list(range(start, len(bad)))


# ----------------------------------------------------------------------------------------- the mask


def _ones(found, size: int) -> list[int]:
    """Places of the ones of a mask."""
    mask = np.asarray(found)
    if mask.shape != (size,):
        raise Hint(
            f"a mask has a 0 or a 1 for each of the {size} parameters; this has the shape "
            f"{mask.shape}. Are these the places of the ones?"
        )
    if not np.isin(mask, (0, 1)).all():
        raise Hint("a mask is made of zeros and ones; this holds other numbers.")
    return np.flatnonzero(mask).tolist()


@stage("top-k-mask", "the two largest of six")
def _(answer):
    compare(
        _ones(answer(np.array([0.5, -3.0, 2.0, 0.1, 1.0, -0.2]), 1 / 3), 6),
        [1, 2],
        {
            "the largest numbers are taken, with their signs: asked are the largest *sizes* "
            "|g|, and −3 is one.": [2, 4],
            "these are the smallest; the mask lets the largest move.": [3, 5],
        },
        "the places of the ones",
    )


@stage("top-k-mask", "four equal sizes for two places")
def _(answer):
    gradient = np.array([0.1, -2.0, 2.0, 0.3, 2.0, -2.0, 0.2, 0.0])
    compare(
        _ones(answer(gradient, 0.25), 8),
        [1, 2],
        {
            "everything that reaches the threshold is taken, so there are too many ones: with "
            "ties, only as many as there are places.": [1, 2, 4, 5],
            "among equal sizes the *lower* index is taken: is the order turned round by reversing "
            "it?": [4, 5],
            "only what lies above the threshold is taken, so there are too few ones.": [],
        },
        "the places of the ones",
    )


@stage("top-k-mask", "a share so small that it rounds to nothing")
def _(answer):
    found = _ones(answer(np.array([0.5, -3.0, 2.0]), 0.01), 3)
    if len(found) != 1:
        raise Hint(
            f"1 % of 3 parameters: there are {len(found)} ones, and there should be 1, for with an "
            "empty mask nothing could be taught."
        )
    compare(found, [1], what="the place of the one")


def _count(gradient, k):
    return max(1, round(k * len(gradient)))


def _mask(size, places):
    mask = np.zeros(size, dtype=int)
    mask[places] = 1
    return mask


@mistake("top-k-mask", "with their signs")
def _(gradient, k):
    """The largest values, not the largest sizes."""
    return _mask(len(gradient), np.argsort(-gradient, kind="stable")[: _count(gradient, k)])


@mistake("top-k-mask", "reaches the threshold")
def _(gradient, k):
    """All sizes that reach the threshold, however many they are."""
    size = np.abs(gradient)
    return (size >= np.sort(size)[-_count(gradient, k)]).astype(int)


@mistake("top-k-mask", "*lower* index")
def _(gradient, k):
    """The end of the ascending order, where of equal sizes the higher index comes last."""
    order = np.argsort(np.abs(gradient), kind="stable")
    return _mask(len(gradient), order[::-1][: _count(gradient, k)])


@mistake("top-k-mask", "nothing could be taught")
def _(gradient, k):
    """Rounds the count of a small share down to 0."""
    order = np.argsort(-np.abs(gradient), kind="stable")
    return _mask(len(gradient), order[: round(k * len(gradient))])


@mistake("top-k-mask", "places of the ones?")
def _(gradient, k):
    """Gives the places in place of a mask."""
    return np.argsort(-np.abs(gradient), kind="stable")[: _count(gradient, k)]


@mistake("top-k-mask", "so there are too few ones")
def _(gradient, k):
    """Only what is larger than the first size that has no place."""
    size = np.sort(np.abs(gradient))[::-1]
    return (np.abs(gradient) > np.append(size, -1)[_count(gradient, k)]).astype(int)


# ----------------------------------------------------------------------------------------- one step

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
