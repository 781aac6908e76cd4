"""Self-checks of chapter 8: a cosine that words explain, and the rank of a sham."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd

from taskspace_utils.exercises import compare, mistake, number, stage

# ----------------------------------------------------------------------------- a cosine from words


@stage("word-cosine", "who against that, and that against who")
def _(answer):
    who = [("I know who you saw", "I know that you saw")]
    that = [("I know that she saw him", "I know who she saw him")]
    compare(
        number(answer(who, that)),
        -1.0,  # the one moves from that to who, the other from who to that
        {
            "the signs are lost: *who* comes in where *that* goes out, and the other way round. "
            "Count words of the good sentence as plus, words of the bad one as minus.": 1.0,
            "only the good sentences were counted: what both sentences of a pair have in common "
            "must cancel, as it does in a gradient differential.": 3 / np.sqrt(5 * 6),
            "good and bad sentences were added up: the bad sentence's words count as minus.": 14
            / np.sqrt(18 * 22),
        },
        "the cosine",
    )


@stage("word-cosine", "a task whose pairs point both ways")
def _(answer):
    task = [("a b", "a c"), ("a c", "a b"), ("a b", "a c")]  # two cancel
    compare(
        number(answer(task, [("b", "c")])),
        1.0,
        {
            "a cosine for each pair, averaged: a task's gradient is that of the sum of its pairs. "
            "Add up the differences first, then take one cosine.": 1 / 3,
        },
        "the cosine",
    )


@stage("word-cosine", "words that come twice in a sentence")
def _(answer):
    compare(
        number(answer([("b b d", "c d d")], [("b", "c")])),
        3 / np.sqrt(12),  # (2, −1, −1) and (1, −1, 0)
        {"sets instead of bags: a word that comes twice counts twice.": 1.0},
        "the cosine",
    )


@stage("word-cosine", "pairs that differ in order alone")
def _(answer):
    with np.errstate(all="ignore"):
        found = answer([("b c", "c b")], [("b", "c")])
    nothing = "no word differs, so a length of zero stands below the line: words explain nothing "
    compare(found, 0.0, {nothing + "here. Return 0.0.": np.nan}, "the cosine without a difference")


def _total(task, sign=-1, bag=Counter):
    total = Counter()
    for good, bad in task:
        for words, weight in ((good, 1), (bad, sign)):
            for word, n in bag(words.split()).items():
                total[word] += weight * n
    return total


def _cosine(a, b):
    dot = sum(n * b[word] for word, n in a.items())
    return dot / np.sqrt(
        np.float64(sum(n * n for n in a.values()) * sum(n * n for n in b.values()))
    )


@mistake("word-cosine", "signs are lost")
def _(a, b):
    """How much each word changes, whichever way."""
    a, b = (Counter({w: abs(n) for w, n in _total(task).items()}) for task in (a, b))
    return _cosine(a, b)


@mistake("word-cosine", "only the good sentences")
def _(a, b):
    """Bags of the good sentences."""
    return _cosine(_total(a, sign=0), _total(b, sign=0))


@mistake("word-cosine", "were added up")
def _(a, b):
    """Bags of whole pairs, without a sign."""
    return _cosine(_total(a, sign=1), _total(b, sign=1))


@mistake("word-cosine", "a cosine for each pair")
def _(a, b):
    """Cosines of all pairs with all pairs, averaged."""
    return np.mean([_cosine(_total([x]), _total([y])) for x in a for y in b])


@mistake("word-cosine", "sets instead of bags")
def _(a, b):
    """Whether a word is there, not how often."""
    return _cosine(*(_total(task, bag=lambda w: Counter(set(w))) for task in (a, b)))


@mistake("word-cosine", "a length of zero")
def _(a, b):
    """Right, but a task without differing words divides by zero."""
    return _cosine(_total(a), _total(b))


# ------------------------------------------------------------------------------- the rank of a sham

LEXICAL = (-1, -1, 1, 1)  # unrelated pairs lie on similarity = lexical_diff / 2, but for an excess
EXCESS = {True: (0.1, -0.1, 0.1, -0.1), False: (0.4, -0.4, 0.4, -0.4)}  # by: in one frame?


def _cells(*shams):
    """Four unrelated pairs of tasks in one frame, four in two, and shams (same frame, x, y)."""
    rows = [
        ("unrelated", same, x, x / 2 + more)
        for same, some in EXCESS.items()
        for x, more in zip(LEXICAL, some)
    ]
    rows += [("sham", *sham) for sham in shams]
    return pd.DataFrame(rows, columns=["kind", "same_frame", "lexical_diff", "similarity"])


def _shares(found):
    return found.to_numpy() if isinstance(found, pd.Series) else found


@stage("sham-rank", "a sham that lies in the middle of its kind")
def _(answer):
    compare(
        _shares(answer(_cells((True, 1.0, 0.55)))),
        [0.5],  # an excess of 0.05, among two of 0.1 and two of −0.1
        {
            "similarities were ranked as they are: take off first what the line through unrelated "
            "pairs predicts from `lexical_diff`.": [0.75],
            "sizes were ranked without their signs: a sham that is *less* like its partner than "
            "words say must not come out high.": [0.0],
        },
        "the share below",
    )


@stage("sham-rank", "a sham whose words differ far more than those of others")
def _(answer):
    compare(
        _shares(answer(_cells((True, 3.0, 2.0)))),
        [1.0],
        {
            "the sham helped to draw the line that it is judged by, and pulled it to itself: fit "
            "the line to unrelated pairs only.": [0.75],
            "that is the share *above*: a sham that joins its partner should come out near 1.": [
                0.0
            ],
        },
        "the share below",
    )


@stage("sham-rank", "shams in one frame with their partner, and in another")
def _(answer):
    compare(
        _shares(answer(_cells((True, 1.0, 0.7), (False, 1.0, 0.7), (True, 1.0, 0.3)))),
        [1.0, 0.5, 0.0],
        {
            "all unrelated pairs were taken together: a common frame makes tasks alike too. Rank "
            "each sham among pairs that share a frame, or don't, as it does.": [0.75, 0.75, 0.25],
        },
        "the shares below",
    )


def _ranks(cells, excess, frames=True):
    """Shares of unrelated pairs below each sham, by any excess of a table of cells."""
    shares = {}
    for _, some in cells.groupby(cells["same_frame"] if frames else cells["kind"].notna()):
        sham = some["kind"] == "sham"
        each = excess(some, some[~sham])
        shares |= {place: (each[~sham] < each[place]).mean() for place in some.index[sham]}
    return [shares[place] for place in sorted(shares)]


def _beyond(some, fitted):
    line = np.polyfit(fitted["lexical_diff"], fitted["similarity"], 1)
    return some["similarity"] - np.polyval(line, some["lexical_diff"])


@mistake("sham-rank", "ranked as they are")
def _(cells):
    """Similarities are ranked, whatever words explain."""
    return _ranks(cells, lambda some, fitted: some["similarity"])


@mistake("sham-rank", "pulled it to itself")
def _(cells):
    """The line goes through shams too."""
    return _ranks(cells, lambda some, fitted: _beyond(some, some))


@mistake("sham-rank", "taken together")
def _(cells):
    """One line and one ranking for all frames."""
    return _ranks(cells, _beyond, frames=False)


@mistake("sham-rank", "without their signs")
def _(cells):
    """The distance from the line is ranked, above or below."""
    return _ranks(cells, lambda some, fitted: _beyond(some, fitted).abs())


@mistake("sham-rank", "that is the share *above*")
def _(cells):
    """The share of unrelated pairs that lie higher."""
    return [1 - share for share in _ranks(cells, _beyond)]
