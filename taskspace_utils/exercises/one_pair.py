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
    except (ArithmeticError, ValueError, Warning, Hint):
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
