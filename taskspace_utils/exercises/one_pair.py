"""Self-checks of chapter 1: margins from a table of counts, and what BOS decides."""

from __future__ import annotations

import math
from itertools import pairwise

import pandas as pd

from taskspace_utils.exercises import Hint, compare, mistake, number, stage

LN2 = math.log(2)


def _table() -> pd.DataFrame:
    """Probabilities that are powers of 1/2, so that a margin is a count of factors, times ln 2.

    Rows: the word before; columns: the next. Each row adds up to 1.
    """
    rows = {"<bos>": [2, 3, 1, 3], "a": [3, 2, 3, 1], "b": [1, 3, 2, 3], "c": [2, 2, 2, 2]}
    return 0.5 ** pd.DataFrame(rows, index=["a", "b", "c", "."]).T


@stage("bigram-margin", "a pair whose second word differs")
def _(answer):
    compare(  # 2 + 1 halvings against 2 + 3: two more in the bad sentence
        number(answer(_table(), "a .", "a c")),
        2 * LN2,
        {
            "the sign is turned round: a margin is the log-probability of the good sentence "
            "minus that of the bad one.": -2 * LN2,
            "the logarithm has another base: the unit of this book is the nat, and "
            "`math.log` gives it.": 2.0,
            "that is how many times as probable the good sentence is; "
            "the margin is the logarithm of it.": 4.0,
            "that is a mean over the words: equation 1.1 adds them up, and divides by "
            "nothing.": LN2,
            "that is a mean over the words and `<bos>`: equation 1.1 adds up, and divides by "
            "nothing.": 2 / 3 * LN2,
            "the last word plays no part in it: does the loop stop a word too early?": 0.0,
        },
        "the margin",
    )


@stage("bigram-margin", "a pair whose first word differs")
def _(answer):
    compare(  # 1 + 2 + 1 halvings against 3 + 1 + 1
        number(answer(_table(), "c a .", "b a .")),
        LN2,
        {
            "the first word is left out: it is looked up too, in the row `<bos>`.": -LN2,
            "only the words that differ are counted: but the word after them has another "
            "past too.": 2 * LN2,
        },
        "the margin",
    )


@stage("bigram-margin", "a good and a bad sentence of different lengths")
def _(answer):
    compare(  # 1 + 2 halvings against 1 + 2 + 1 + 1
        number(answer(_table(), "c .", "c b a .")),
        2 * LN2,
        {
            "the two sentences are walked through side by side, and `zip` stops at the end of "
            "the shorter one: take each sentence's own sum first.": 0.0,
        },
        "the margin",
    )


@stage("bigram-margin", "sentences of 602 words")
def _(answer):
    start = "c " * 600
    try:
        found = number(answer(_table(), start + "a .", start + "b ."))
    except (ArithmeticError, ValueError, Hint):
        raise Hint(
            "a product of 602 probabilities is too small for a computer, which makes 0 of it: "
            "take the logarithm of each, then add."
        ) from None
    compare(found, 2 * LN2, what="the margin")  # all is shared but 1 halving against 3


def _steps(table, sentence):
    tokens = ["<bos>", *sentence.split()]
    return [math.log(table.loc[pair]) for pair in pairwise(tokens)]


@mistake("bigram-margin", "the first word is left out")
def _(table, good, bad):
    """The first word is dropped, as nothing visible stands before it."""
    return sum(_steps(table, good)[1:]) - sum(_steps(table, bad)[1:])


@mistake("bigram-margin", "a mean over the words:")
def _(table, good, bad):
    """Means over the words in place of sums."""
    good, bad = _steps(table, good), _steps(table, bad)
    return sum(good) / len(good) - sum(bad) / len(bad)


@mistake("bigram-margin", "another base")
def _(table, good, bad):
    """Logarithms to the base 2."""
    return (sum(_steps(table, good)) - sum(_steps(table, bad))) / math.log(2)


@mistake("bigram-margin", "sign is turned round")
def _(table, good, bad):
    """The bad sentence minus the good one."""
    return sum(_steps(table, bad)) - sum(_steps(table, good))


@mistake("bigram-margin", "side by side")
def _(table, good, bad):
    """Both sentences in one loop, word by word."""
    return sum(g - b for g, b in zip(_steps(table, good), _steps(table, bad)))


@mistake("bigram-margin", "too small for a computer")
def _(table, good, bad):
    """Probabilities are multiplied first, and the logarithm is taken of the product."""

    def probability(sentence):
        return math.prod(math.exp(step) for step in _steps(table, sentence))

    return math.log(probability(good)) - math.log(probability(bad))


# ---------------------------------------------------------------------------- verdicts without BOS


def _places(found) -> list:
    """The answer as a list of places."""
    try:
        places = list(found)
    except TypeError:
        places = [None]
    if any(isinstance(p, bool) or not hasattr(p, "__index__") for p in places):
        raise Hint("a list of places is asked for, such as [0, 2]: numbers that count from 0.")
    return sorted(int(place) for place in places)


@stage("verdict-without-bos", "pairs that begin with the same word")
def _(answer):
    compare(
        _places(answer(_table(), [("a .", "a c"), ("a c", "a .")])),
        [],
        {
            "these are the pairs that are wrong without `<bos>`; asked is where the two verdicts "
            "differ.": [1],
            "the first word is no longer looked up, but it still stands before the second: keep "
            "it as what comes before.": [0, 1],
        },
        "the list for two pairs that share their first word",
    )


@stage("verdict-without-bos", "pairs that begin with different words")
def _(answer):
    # with <bos>: 4 halvings against 5, 3 against 6, 5 against 4;
    # without: 3 against 2, 2 against 3, 2 against 3
    pairs = [("c a .", "b a ."), ("c .", "b ."), ("b a .", "c a .")]
    compare(
        _places(answer(_table(), pairs)),
        [0, 2],
        {
            "all margins change here, but not all verdicts: it is the sign that counts.": [0, 1, 2],
            "a verdict can change for the better, too: a wrong one that becomes right.": [0],
            "a verdict can change for the worse, too: a right one that becomes wrong.": [2],
        },
        "the list",
    )


@stage("verdict-without-bos", "pairs that are a tie without their first word")
def _(answer):
    # a and c are followed by b equally often: with <bos> 1 halving more or less, without a tie
    right_or_not = (
        "a tie is a verdict of its own, neither right nor wrong: "
        "compare signs, not only `margin > 0`."
    )
    compare(
        _places(answer(_table(), [("a b .", "c b ."), ("c b .", "a b .")])),
        [0, 1],
        {right_or_not: [1], right_or_not.replace("> 0", ">= 0"): [0]},
        "the list for two pairs whose margin is exactly 0 without their first word",
    )


def _with_and_without(table, pairs):
    for good, bad in pairs:
        good, bad = _steps(table, good), _steps(table, bad)
        yield sum(good) - sum(bad), sum(good[1:]) - sum(bad[1:])


@mistake("verdict-without-bos", "not all verdicts")
def _(table, pairs):
    """Lists every pair whose margin changes."""
    both = enumerate(_with_and_without(table, pairs))
    return [place for place, (before, after) in both if abs(before - after) > 1e-9]


@mistake("verdict-without-bos", "for the better")
def _(table, pairs):
    """Looks only for pairs that were right before."""
    both = enumerate(_with_and_without(table, pairs))
    return [place for place, (before, after) in both if before > 0 and after <= 0]


@mistake("verdict-without-bos", "neither right nor wrong")
def _(table, pairs):
    """Ties count as wrong."""
    both = enumerate(_with_and_without(table, pairs))
    return [place for place, (before, after) in both if (before > 0) != (after > 0)]


@mistake("verdict-without-bos", "still stands before the second")
def _(table, pairs):
    """Takes the first word away, so that the second has nothing before it either."""

    def sign(pair, first):
        good, bad = (sum(_steps(table, sentence)[first:]) for sentence in pair)
        return (good > bad) - (good < bad)

    return [place for place, pair in enumerate(pairs) if sign(pair, 0) != sign(pair, 2)]


@mistake("verdict-without-bos", "wrong without `<bos>`")
def _(table, pairs):
    """Lists the pairs that are wrong without `<bos>`, whatever they were with it."""
    both = enumerate(_with_and_without(table, pairs))
    return [place for place, (_, after) in both if after < 0]
