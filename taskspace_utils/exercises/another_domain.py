"""Self-check of chapter 14: a judge of programs that never saw their generator."""

from __future__ import annotations

from collections import Counter

from taskspace_utils.exercises import Hint, compare, mistake, number, stage

CLOSES = {"do": "od", "if": "fi"}
OPENS = {closes: opens for opens, closes in CLOSES.items()}


def _place(answer, program: str) -> float:
    return number(answer(program))


@stage("first-fault", "programs without fault: flat, nested, one block after another")
def _(answer):
    for program in ("print one ;", "do print one ; od", "if do print one ; od print two ; fi"):
        found = _place(answer, program)
        if found == len(program.split()):
            raise Hint(f"`{program}` closes all its blocks, and yet the end is called faulty.")
        if found != -1:
            raise Hint(
                f"`{program}` has no fault, and place {found:g} is said to be one. A block that is "
                "closed is over: the word that opened it must not be asked for again."
            )


@stage("first-fault", "a block that the wrong word closes")
def _(answer):
    compare(_place(answer, "do print one ; fi"), 4, {
        "places are counted from 0: the first word of a program is at 0.": 5,
        "a place among *words* is asked for, and this is one among letters.": 15,
        "as many blocks are opened as are closed, but not by the words that fit.": -1,
    }, "the place of `fi` in `do print one ; fi`")  # fmt: skip


@stage("first-fault", "two blocks that are closed in the wrong order")
def _(answer):
    compare(_place(answer, "if do print two ; fi od"), 5, {
        "each kind has as many closings as openings here, and yet `fi` comes too early: the block "
        "that was opened last is closed first. Counting can't see that; a list of what is still "
        "open can.": -1,
        "this is the last fault; the first one is asked for.": 6,
    }, "the place of the fault in `if do print two ; fi od`")  # fmt: skip


@stage("first-fault", "a block that nobody closes")
def _(answer):
    compare(_place(answer, "do if print one ; fi print two ;"), 9, {
        "a block is still open at the end. No word is wrong there, so the place is that behind "
        "the last one: the number of words.": -1,
        "a block that stays open is a fault at the end, not where it began: until then all could "
        "have become right.": 0,
    }, "the place of the fault in `do if print one ; fi print two ;`")  # fmt: skip


@stage("first-fault", "a closing word where nothing is open")
def _(answer):
    compare(_place(answer, "print one ; od do print two ; od"), 3, {
        "`od` closes something that was never opened, and it is let pass.": -1,
    }, "the place of the fault in `print one ; od do print two ; od`")  # fmt: skip


# ------------------------------------------------------------------------------- plausible mistakes


def _walk(program: str, empty: bool = True, left: bool = True, first: bool = True) -> int:
    """The right answer with parts of it switched off."""
    words, still_open, found = program.split(), [], -1
    for place, word in enumerate(words):
        if word in CLOSES:
            still_open.append(word)
        elif word in OPENS and not still_open:
            if empty:
                return place
        elif word in OPENS and still_open.pop() != OPENS[word]:
            found = place
            if first:
                return place
    return len(words) if still_open and left else found


@mistake("first-fault", "must not be asked for again")
def _(program):
    """What was closed stays on the list of what is open."""
    last = ""
    for place, word in enumerate(program.split()):
        if word in CLOSES:
            last = CLOSES[word]
        elif word in OPENS and word != last:
            return place
    return -1


@mistake("first-fault", "the end is called faulty")
def _(program):
    """The number of words is given where there is no fault."""
    found = _walk(program)
    return len(program.split()) if found < 0 else found


@mistake("first-fault", "counted from 0")
def _(program):
    """Places are counted from 1."""
    found = _walk(program)
    return found + 1 if found >= 0 else found


@mistake("first-fault", "one among letters")
def _(program):
    """The place is looked up in the text and not among its words."""
    words, found = program.split(), _walk(program)
    return sum(len(word) + 1 for word in words[:found]) if found >= 0 else found


@mistake("first-fault", "not by the words that fit")
def _(program):
    """Blocks are counted without looking at their kind."""
    still_open = 0
    for place, word in enumerate(program.split()):
        still_open += (word in CLOSES) - (word in OPENS)
        if still_open < 0:
            return place
    return len(program.split()) if still_open else -1


@mistake("first-fault", "Counting can't see that")
def _(program):
    """Openings and closings are counted, each kind for itself."""
    words, count = program.split(), Counter()
    for place, word in enumerate(words):
        count[OPENS.get(word, word)] += (word in CLOSES) - (word in OPENS)
        if word in OPENS and count[OPENS[word]] < 0:
            return place
    return len(words) if any(count[opens] for opens in CLOSES) else -1


@mistake("first-fault", "this is the last fault")
def _(program):
    """It goes on after the first fault."""
    return _walk(program, first=False)


@mistake("first-fault", "behind the last one")
def _(program):
    """What is still open at the end is forgotten."""
    return _walk(program, left=False)


@mistake("first-fault", "not where it began")
def _(program):
    """An open block is a fault at the word that opened it."""
    found, words = _walk(program), program.split()
    if found < len(words):
        return found
    still_open = []
    for place, word in enumerate(words):
        if word in CLOSES:
            still_open.append(place)
        elif word in OPENS:
            still_open.pop()
    return still_open[0]


@mistake("first-fault", "let pass")
def _(program):
    """A closing word with nothing to close is skipped."""
    return _walk(program, empty=False)
