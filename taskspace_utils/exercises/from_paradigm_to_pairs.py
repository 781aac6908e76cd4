"""Self-checks of chapter 2: pairs that a bag of words cannot solve."""

from __future__ import annotations

from collections import Counter

from taskspace_utils.exercises import Hint, mistake, short, stage

PAIRS = 20


def _pairs(answer) -> list[tuple[str, str]]:
    found = [tuple(pair) if isinstance(pair, list | tuple) else pair for pair in answer()]
    for pair in found:
        good_and_bad = isinstance(pair, tuple) and len(pair) == 2
        if not good_and_bad or not all(isinstance(s, str) and s.split() for s in pair):
            raise Hint(
                "a list of couples (good sentence, bad sentence) is asked for; "
                f"this is in it: {short(pair)}."
            )
    return found


def _difference(pair: tuple[str, str]) -> Counter:
    """How much oftener each word is in the good sentence than in the bad one; no zeros."""
    words = Counter(pair[0].split())
    words.subtract(pair[1].split())
    return Counter({word: n for word, n in words.items() if n})


@stage("own-twenty", "twenty pairs, all different")
def _(answer):
    pairs = _pairs(answer)
    if len(set(pairs)) < len(pairs):
        twice = next(pair for pair, n in Counter(pairs).items() if n > 1)
        raise Hint(f"a pair is there more than once: {twice[0]!r}. A copy adds nothing.")
    if len(pairs) < PAIRS:
        raise Hint(f"there are {len(pairs)} pairs; {PAIRS} are asked for.")


@stage("own-twenty", "minimal: a pair differs in one or two words, or in their order")
def _(answer):
    for pair in _pairs(answer):
        if pair[0].split() == pair[1].split():
            raise Hint(f"good and bad are the same sentence: {pair[0]!r}.")
        changed = max(sum((+_difference(pair)).values()), sum((-_difference(pair)).values()))
        if changed > 2 or len(pair[0].split()) <= changed:
            raise Hint(
                f"{pair[0]!r} and {pair[1]!r} differ in {changed} words: a model may prefer one "
                "for reasons that are not your rule. Change no more than the rule needs."
            )


@stage("own-twenty", "a rule: no sentence is good in one pair and bad in another")
def _(answer):
    pairs = _pairs(answer)
    both = {good for good, _ in pairs} & {bad for _, bad in pairs}
    if both:
        raise Hint(
            f"{min(both)!r} is good in one pair and bad in another: pairs turned round do fool a "
            "bag of words, but no rule is left. Let the words around decide which form is good."
        )


@stage("own-twenty", "a bag of words, trained on the other pairs, gets no more than 0.6")
def _(answer):
    differences = [_difference(pair) for pair in _pairs(answer)]
    right = 0.0
    for own in differences:  # each pair is judged by what the others say of its words
        others = Counter()
        for other in differences:
            if other is not own:
                others.update(other)
        vote = sum(n * others[word] for word, n in own.items())
        right += 1.0 if vote > 0 else 0.5 if vote == 0 else 0.0
    share = right / len(differences)
    if share <= 0.6:
        return
    always = Counter(w for d in differences for w, n in d.items() if n > 0)
    always = [w for w, _ in always.most_common() if not any(d[w] < 0 for d in differences)]
    if always and all(d[always[0]] > 0 for d in differences):
        raise Hint(
            f"one direction only: `{always[0]}` is good in every pair, so whoever counts words "
            f"gets {share:.2f}. Write as many pairs in which it is the mistake."
        )
    named = ", ".join(f"`{word}`" for word in always[:3]) or "the words that differ"
    raise Hint(
        f"a bag of words gets {share:.2f}. Both directions are there, but not for the same word: "
        f"{named} tell the good sentence wherever they are. Each word that decides must be the "
        "good one in half of its pairs."
    )


@stage("own-twenty", "every word that decides is good somewhere and bad elsewhere")
def _(answer):
    differences = [_difference(pair) for pair in _pairs(answer)]
    good = {word for d in differences for word, n in d.items() if n > 0}
    bad = {word for d in differences for word, n in d.items() if n < 0}
    if alone := sorted(good ^ bad):
        raise Hint(
            f"`{alone[0]}` and {len(alone) - 1} other words decide on one side only. Twenty pairs "
            "are too few for a bag to notice, but a hundred more would show it: let each of them "
            "be good in one pair and bad in another."
        )


NOUNS = [
    "baker",
    "doctor",
    "farmer",
    "lawyer",
    "painter",
    "pilot",
    "poet",
    "sailor",
    "singer",
    "tailor",
]


@mistake("own-twenty", "one direction only")
def _():
    """The bad sentence always has the same word in it."""
    return [(f"the {n} {v} there is a lamp .", f"the {n} {v} there are a lamp .")
            for n in NOUNS for v in ("says", "sees")]  # fmt: skip


@mistake("own-twenty", "not for the same word")
def _():
    """Both numbers occur, each with a verb of its own."""
    one = [(f"the {n} sleeps .", f"the {n} sleep .") for n in NOUNS]
    return one + [(f"the {n}s run .", f"the {n}s runs .") for n in NOUNS]


@mistake("own-twenty", "no rule is left")
def _():
    """Half of the pairs are turned round, which fools a bag, and everybody else."""
    one = [(f"the {n} sleeps .", f"the {n} sleep .") for n in NOUNS]
    return one + [(bad, good) for good, bad in one]


@mistake("own-twenty", "more than once")
def _():
    """Ten pairs, twice."""
    one = [(f"the {n} sleeps .", f"the {n} sleep .") for n in NOUNS]
    return one + one


@mistake("own-twenty", "Change no more than the rule needs")
def _():
    """The bad sentence is another sentence altogether."""
    return [(f"the {n} {v} well .", f"some old {n}s near us {v} badly .")
            for n in NOUNS for v in ("sleeps", "sings")]  # fmt: skip


@mistake("own-twenty", "on one side only")
def _():
    """One direction, hidden by a new verb in each pair."""
    verbs = ["bake", "sing", "paint", "sail", "sew", "fly", "read", "write", "plough", "plead"]
    one = [(f"the {n} {v}s here .", f"the {n} {v} here .") for n, v in zip(NOUNS, verbs)]
    more = ["walk", "talk", "jump", "cook", "knit", "draw", "hum", "whistle", "yawn", "snore"]
    return one + [(f"the {n} {v}s here .", f"the {n} {v} here .") for n, v in zip(NOUNS, more)]
