"""Self-check of chapter 18: probabilities of sentences, worked by hand for a language of a line."""

from __future__ import annotations

import math

from taskspace_utils.exercises import Hint, compare, mistake, number, stage

THE, MARK = {"the": 1.0}, {".": 1.0}
NOUN = {"boy": 1.0, "girl": 1 / 2, "king": 1 / 3}  # 1 / rank: they add up to 11/6
VERB = {"sang": 1.0, "slept": 1.0}
PLAIN = [THE, NOUN, VERB, MARK]
OTHER = [THE, {"boy": 1.0, "cup": 3.0}, {"slept": 1.0}, MARK]
LONG = [THE, NOUN, VERB, {"again": 1.0}, MARK]


def _asked(answer, writers: list, sentence: str) -> float:
    try:
        return number(answer(writers, sentence))
    except (KeyError, IndexError) as error:
        raise Hint(
            "a slot is asked for a word that it hasn't, and that stops your function with an "
            "error. The share of such a word is zero."
        ) from error


@stage("sentence-probability", "a single writer, whose words are equally frequent")
def _(answer):
    compare(_asked(answer, [(1.0, [THE, VERB, MARK])], "the sang ."), 1 / 2, {
        "logs are not asked for: the answer is a probability.": math.log(1 / 2),
        "two verbs weigh 1 each, so each has a half: divide by the sum of a slot's weights.": 1.0,
        "all slots must be filled: their shares are multiplied, not added.": 2.5,
    }, "the probability of `the sang .`")  # fmt: skip


@stage("sentence-probability", "a writer whose words have other weights")
def _(answer):
    compare(_asked(answer, [(1.0, PLAIN)], "the king slept ."), 1 / 11, {
        "words are drawn by their weights, not evenly.": 1 / 6,
    }, "the probability of `the king slept .`")  # fmt: skip


@stage("sentence-probability", "writers whose weights don't add up to one")
def _(answer):
    found = _asked(answer, [(3.0, PLAIN), (1.0, OTHER)], "the boy sang .")
    compare(found, 9 / 44, {
        "this writer has three quarters of the weights: divide by the sum of all writers' "
        "weights.": 9 / 11,
        "a writer's weight must count: this one is drawn three times in four.": 3 / 11,
    }, "the probability of `the boy sang .`")  # fmt: skip


@stage("sentence-probability", "writers of sentences of different lengths")
def _(answer):
    found = _asked(answer, [(3.0, PLAIN), (1.0, LONG)], "the boy sang again .")
    compare(found, 3 / 44, {
        "a writer with another number of slots can't say this, but it is drawn all the same: its "
        "weight belongs to the sum.": 3 / 11,
    }, "the probability of `the boy sang again .`")  # fmt: skip


@stage("sentence-probability", "a sentence that two writers can say")
def _(answer):
    found = _asked(answer, [(1.0, PLAIN), (1.0, OTHER)], "the boy slept .")
    compare(found, 23 / 88, {
        "both writers can say it, and only the first is counted: add them up.": 3 / 22,
        "both writers can say it, and only the last is counted: add them up.": 1 / 8,
    }, "the probability of `the boy slept .`")  # fmt: skip


@stage("sentence-probability", "sentences that nobody says")
def _(answer):
    for sentence in ("the cup sang .", "the boy"):
        if found := _asked(answer, [(1.0, PLAIN), (1.0, OTHER)], sentence):
            raise Hint(
                f"nobody says {sentence!r}, and it gets a probability of {found:.3g}. Is a "
                "sentence compared only as far as it goes?"
            )


# ------------------------------------------------------------------------------- plausible mistakes


def _parts(writers, sentence, even=False, norm=True, whole=True, weigh=True, fit=True, all_=True):
    """What each writer adds, with parts of it switched off."""
    words, found = sentence.split(), []
    total = sum(w for w, slots in writers if all_ or len(slots) == len(words))
    for weight, slots in writers:
        share = (weight / total if whole else weight) if weigh else 1.0
        for slot, word in zip(slots, words, strict=False):
            if even:
                share *= (word in slot) / len(slot)
            else:
                share *= slot.get(word, 0) / (sum(slot.values()) if norm else 1)
        found.append(share if len(slots) == len(words) or not fit else 0.0)
    return found


@mistake("sentence-probability", "logs are not asked for")
def _(writers, sentence):
    """The log of the probability is given."""
    return math.log(max(sum(_parts(writers, sentence)), 1e-300))


@mistake("sentence-probability", "each has a half")
def _(writers, sentence):
    """A slot's weights are taken for probabilities."""
    return sum(_parts(writers, sentence, norm=False))


@mistake("sentence-probability", "multiplied, not added")
def _(writers, sentence):
    """Shares of slots are added up."""
    return sum(
        slot.get(word, 0) / sum(slot.values())
        for _, slots in writers
        for slot, word in zip(slots, sentence.split(), strict=False)
    )


@mistake("sentence-probability", "not evenly")
def _(writers, sentence):
    """Words of a slot are taken for equally frequent."""
    return sum(_parts(writers, sentence, even=True))


@mistake("sentence-probability", "divide by the sum of all writers'")
def _(writers, sentence):
    """Weights of writers are taken for probabilities."""
    return sum(_parts(writers, sentence, whole=False))


@mistake("sentence-probability", "drawn three times in four")
def _(writers, sentence):
    """Weights of writers are left out."""
    return sum(_parts(writers, sentence, weigh=False))


@mistake("sentence-probability", "its weight belongs to the sum")
def _(writers, sentence):
    """Only writers of the right length share the weight."""
    return sum(_parts(writers, sentence, all_=False))


@mistake("sentence-probability", "only the first is counted")
def _(writers, sentence):
    """The first writer that can say it is taken."""
    return next((share for share in _parts(writers, sentence) if share), 0.0)


@mistake("sentence-probability", "only the last is counted")
def _(writers, sentence):
    """The last writer that can say it is taken."""
    return next((share for share in reversed(_parts(writers, sentence)) if share), 0.0)


@mistake("sentence-probability", "The share of such a word is zero")
def _(writers, sentence):
    """Words are looked up as if every slot had them."""
    words, total = sentence.split(), 0.0
    for weight, slots in writers:
        if len(slots) == len(words):
            share = weight / sum(w for w, _ in writers)
            for slot, word in zip(slots, words, strict=True):
                share *= slot[word] / sum(slot.values())
            total += share
    return total


@mistake("sentence-probability", "only as far as it goes")
def _(writers, sentence):
    """A sentence that ends too early is compared as far as it goes."""
    return sum(_parts(writers, sentence, fit=False))
