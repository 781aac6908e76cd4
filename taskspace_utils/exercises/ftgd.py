"""Self-checks of chapter 5: what cancels in a pair, and which weights move."""

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
    found = _ones(answer(gradient, 0.25), 8)
    if len(found) == 2 and {*found} <= {1, 2, 4, 5} and found not in ([1, 2], [4, 5]):
        raise Hint(
            "two of the four equal sizes are taken, but not the first two: `topk`, `argpartition` "
            "and most sorts promise no order among equals. A stable sort keeps theirs."
        )
    compare(
        found,
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


@mistake("top-k-mask", "promise no order among equals")
def _(gradient, k):
    """Of equal sizes, takes the positive ones first."""
    places = sorted(range(len(gradient)), key=lambda j: (-abs(gradient[j]), -gradient[j]))
    return _mask(len(gradient), places[: _count(gradient, k)])


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
