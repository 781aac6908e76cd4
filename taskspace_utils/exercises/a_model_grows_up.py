"""Self-checks of chapter 3: what a model of word frequencies alone gets right."""

from __future__ import annotations

import math

from taskspace_utils.exercises import Hint, compare, mistake, number, stage

# Powers of 1/2: which of two products is the larger can be counted on fingers.
SHARES = {
    "the": 1 / 2,
    "dog": 1 / 8,
    "cat": 1 / 8,
    "dogs": 1 / 16,
    "barks": 1 / 32,
    "bark": 1 / 64,
    "loud": 1 / 64,
}


def _accuracy(value) -> float:
    found = number(value)
    if not 0 <= found <= 1:
        raise Hint(
            f"an accuracy is a share, from 0 to 1, and this is {found:.4g}: 1 pair counts 1/N."
        )
    return found


@stage("unigram-accuracy", "pairs that differ in one word")
def _(answer):
    pairs = [("the dog barks", "the dog bark"), ("the dogs bark", "the dogs barks"),
             ("the dog barks", "the dogs barks"), ("the dog", "the loud")]  # fmt: skip
    compare(
        _accuracy(answer(SHARES, pairs)),
        0.75,
        {"the model prefers the sentence with the *larger* probability.": 0.25},
        "the accuracy on four pairs, three of which have the commoner word in the good sentence,",
    )


@stage("unigram-accuracy", "pairs that differ in two words")
def _(answer):
    # halvings: 7 against 6, twice; then 7 against 7 and 8 against 8
    pairs = [("the loud", "dog cat"), ("the bark", "cat dog"),
             ("the loud", "dog dogs"), ("cat barks", "dog barks")]  # fmt: skip
    compare(
        _accuracy(answer(SHARES, pairs)),
        0.25,
        {
            "probabilities are added up here; those of words that follow each other multiply, so "
            "it is their logarithms that add.": 0.875,
            "a tie, margin 0, is counted as wrong: it counts one half (1.3).": 0.0,
            "a tie, margin 0, is counted as right: it counts one half (1.3).": 0.5,
        },
        "the accuracy",
    )


@stage("unigram-accuracy", "a word that is there twice, and sentences of different lengths")
def _(answer):
    pairs = [("dog dog dogs", "dog dogs dogs"), ("the dog cat", "dogs")]
    compare(
        _accuracy(answer(SHARES, pairs)),
        0.5,
        {
            "a word that is there twice counts twice: a set forgets that.": 0.25,
            "the last sentences differ in length, and a sum over more words is lower: it looks as "
            "if the mean were taken, or one word of each compared.": 1.0,
        },
        "the accuracy on a pair that is right and one that is wrong",
    )


# Three words whose logarithms add up to another last digit when the order is turned round.
TURNED = {"in": 0.1, "the": 0.2, "park": 0.3, "dog": 0.05, "one": 0.07}


def _left_to_right(shares, sentence) -> float:
    total = 0.0
    for word in sentence.split():
        total += math.log(shares[word])
    return total


def _turned() -> list[tuple[str, str]]:
    """Pairs with the same words in another order, whose sums differ in the last digit, upwards."""
    from itertools import permutations

    orders = [" ".join(words) for words in permutations(TURNED)]
    return [
        (good, bad)
        for good in orders[:12]
        for bad in orders
        if _left_to_right(TURNED, good) > _left_to_right(TURNED, bad)
    ][:6]


@stage("unigram-accuracy", "pairs with the same words in another order")
def _(answer):
    found = _accuracy(answer(TURNED, _turned()))
    if abs(found - 0.5) > 1e-9:
        raise Hint(
            f"these pairs have the same words in another order: all are ties, so it should be 0.5, "
            f"and is {found:.2f}. Rounding: the same numbers added in another order differ in the "
            "last digit. Let words that both sentences have cancel before anything is added."
        )


def _share_right(margins) -> float:
    margins = list(margins)
    return sum(1.0 if m > 0 else 0.5 if m == 0 else 0.0 for m in margins) / len(margins)


@mistake("unigram-accuracy", "probabilities are added up")
def _(shares, pairs):
    """Adds probabilities in place of their logarithms."""

    def total(sentence):
        return sum(shares[word] for word in sentence.split())

    return _share_right(total(good) - total(bad) for good, bad in pairs)


@mistake("unigram-accuracy", "counted as wrong")
def _(shares, pairs):
    """Ties count as wrong."""
    scored = [(_left_to_right(shares, g), _left_to_right(shares, b)) for g, b in pairs]
    return sum(good > bad + 1e-9 for good, bad in scored) / len(scored)


@mistake("unigram-accuracy", "counted as right")
def _(shares, pairs):
    """Ties count as right."""
    scored = [(_left_to_right(shares, g), _left_to_right(shares, b)) for g, b in pairs]
    return sum(good >= bad - 1e-9 for good, bad in scored) / len(scored)


@mistake("unigram-accuracy", "counts twice")
def _(shares, pairs):
    """Sets of words: what is there twice counts once."""

    def only(one, other):
        return sum(math.log(shares[w]) for w in set(one.split()) - set(other.split()))

    # as equal sets leave nothing, their margin is 0
    return _share_right(round(only(g, b) - only(b, g), 9) for g, b in pairs)


@mistake("unigram-accuracy", "if the mean were taken")
def _(shares, pairs):
    """Means over the words in place of sums."""

    def mean(sentence):
        return round(_left_to_right(shares, sentence) / len(sentence.split()), 9)

    return _share_right(mean(good) - mean(bad) for good, bad in pairs)


@mistake("unigram-accuracy", "Rounding")
def _(shares, pairs):
    """Sums from left to right: words in another order are no tie but for luck."""
    return _share_right(_left_to_right(shares, g) - _left_to_right(shares, b) for g, b in pairs)


@mistake("unigram-accuracy", "*larger* probability")
def _(shares, pairs):
    """Counts the pairs whose bad sentence is the more probable one."""
    return 1 - _share_right(_left_to_right(shares, g) - _left_to_right(shares, b) for g, b in pairs)
