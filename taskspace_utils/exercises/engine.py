"""Self-check of chapter 20: how many tokens are read if each beginning is read once."""

from __future__ import annotations

from taskspace_utils.exercises import Hint, compare, mistake, number, stage


@stage("read-once", "three sentences with a common beginning")
def _(answer):
    compare(
        number(answer([[1, 2, 1, 5], [1, 2, 3, 6], [1, 2, 3, 8]])),
        4,  # 1, then 2, then 1 and 3 beside each other
        {
            "all tokens, shared or not: that is what a loop without padding reads.": 9,
            "the last token of each sentence was read too: nothing follows it, so nothing has to "
            "be predicted from it.": 7,
            "only sentences that are the same as a whole were shared: a beginning can be shared "
            "where the rest differs.": 6,
            "distinct *tokens* were counted: what a model computes for a token depends on all that "
            "stand before it.": 3,
            "only the beginning that *all* share was saved: two of the three share one token "
            "more.": 5,
        },
        "the number of tokens",
    )


@stage("read-once", "the same words behind different beginnings")
def _(answer):
    compare(
        number(answer([[1, 2, 7, 9], [3, 2, 7, 9]])),
        6,
        {
            "the same token at the same *place* was read once: but the first words differ, so "
            "what the model computes behind them differs too.": 4,
        },
        "the number of tokens",
    )


@stage("read-once", "sentences of unequal length, and an argument that stays as it is")
def _(answer):
    rows = [[4, 5], [4, 5, 6], [4]]
    compare(
        number(answer(rows)),
        2,
        {"the shortest sentence set the length of all: go through each to its own end.": 0},
        "the number of tokens",
    )
    if rows != [[4, 5], [4, 5, 6], [4]]:
        raise Hint("the sentences were changed: take the last token off a copy, `row[:-1]`.")


@mistake("read-once", "all tokens, shared or not")
def _(rows):
    """Nothing is shared."""
    return sum(len(row) - 1 for row in rows)


@mistake("read-once", "the last token of each sentence")
def _(rows):
    """Last tokens are read too."""
    return len({tuple(row[: end + 1]) for row in rows for end in range(len(row))})


@mistake("read-once", "the same as a whole")
def _(rows):
    """Only whole sentences are shared."""
    return sum(len(row) for row in {tuple(row[:-1]) for row in rows})


@mistake("read-once", "distinct *tokens*")
def _(rows):
    """Distinct tokens, wherever they stand."""
    return len({token for row in rows for token in row[:-1]})


@mistake("read-once", "the same token at the same *place*")
def _(rows):
    """Distinct tokens at each place, whatever stands before them."""
    return len({(place, token) for row in rows for place, token in enumerate(row[:-1])})


@mistake("read-once", "the shortest sentence set")
def _(rows):
    """All sentences are walked through side by side."""
    columns = zip(*(row[:-1] for row in rows))
    beginnings, seen = [()] * len(rows), set()
    for column in columns:
        beginnings = [(*before, token) for before, token in zip(beginnings, column)]
        seen |= set(beginnings)
    return len(seen)


@mistake("read-once", "sentences were changed")
def _(rows):
    """The last token is taken off the sentences themselves."""
    for row in rows:
        row.pop()
    return len({tuple(row[: end + 1]) for row in rows for end in range(len(row))})
