"""Self-check of chapter 12: a verdict from an interval and a smallest effect."""

from __future__ import annotations

import math

from taskspace_utils.exercises import Hint, mistake, short, stage

WORDS = ("consistent", "contrary", "negligible", "undetermined", "not attempted")


def _asked(answer, low, high, right, mistakes=None):
    """The verdict on an interval, where 0.1 is the smallest effect that would matter."""
    found = answer(low, high, 0.1)
    if not isinstance(found, str) or found not in WORDS:
        raise Hint(f"a verdict is one of {', '.join(map(repr, WORDS))}, and this is {short(found)}")
    if found != right:
        why = (mistakes or {}).get(found, "Draw the interval, and a band from −0.1 to 0.1.")
        raise Hint(f"with a smallest effect of 0.1, [{low:g}, {high:g}] is *{right}* and not "
                   f"*{found}*. {why}")  # fmt: skip


@stage("verdict", "intervals that lie clear of the band of small effects")
def _(answer):
    _asked(answer, 0.2, 0.5, "consistent")
    _asked(
        answer,
        -0.5,
        -0.2,
        "contrary",
        {
            "undetermined": "A rule that can't say *contrary* can't lose: this whole interval lies "
            "beyond the smallest effect, on the other side.",
            "consistent": "The effect is large, but its sign is not the one that was claimed.",
        },
    )


@stage("verdict", "an interval that says nothing, and one that says it is nothing")
def _(answer):
    _asked(
        answer,
        -0.05,
        0.05,
        "negligible",
        {
            "undetermined": "The whole interval is smaller than what would matter, so the data do "
            "say something: that there is no effect worth the name.",
        },
    )
    _asked(
        answer,
        -0.3,
        0.3,
        "undetermined",
        {
            "negligible": "An interval that holds 0 doesn't show that nothing is there: this one "
            "holds large effects too, so the data don't say.",
        },
    )


@stage("verdict", "intervals that leave out 0, in the band or across its edge")
def _(answer):
    _asked(
        answer,
        0.05,
        0.5,
        "undetermined",
        {
            "consistent": "It leaves out 0, but not effects that are too small to matter: hold its "
            "lower end against the smallest effect.",
        },
    )
    _asked(
        answer,
        0.02,
        0.08,
        "negligible",
        {
            "undetermined": "It leaves out 0 and yet lies in the band as a whole: an effect can be "
            "surely there, and surely too small.",
        },
    )
    _asked(
        answer,
        -0.5,
        0.05,
        "undetermined",
        {"contrary": "One end beyond the band is not enough: the whole interval must lie there."},
    )


@stage("verdict", "no interval at all")
def _(answer):
    _asked(
        answer,
        math.nan,
        math.nan,
        "not attempted",
        {
            "undetermined": "*Undetermined* says that data don't decide, and here are none: with "
            "nan every comparison is false, so it fell through to the last line.",
        },
    )


def _or_nothing(low, high, verdict):
    return "not attempted" if math.isnan(low) or math.isnan(high) else verdict


@mistake("verdict", "can't lose")
def _(low, high, smallest):
    """A rule that can't come out against the claim."""
    word = "consistent" if low > smallest else "undetermined"
    return _or_nothing(low, high, "negligible" if -smallest < low <= high < smallest else word)


@mistake("verdict", "that there is no effect worth the name")
def _(low, high, smallest):
    """Whatever is neither for nor against the claim is undetermined."""
    word = "contrary" if high < -smallest else "undetermined"
    return _or_nothing(low, high, "consistent" if low > smallest else word)


@mistake("verdict", "holds large effects too")
def _(low, high, smallest):
    """An interval that holds 0 is taken as no effect."""
    word = "negligible" if low <= 0 <= high else "undetermined"
    word = "contrary" if high < -smallest else word
    return _or_nothing(low, high, "consistent" if low > smallest else word)


@mistake("verdict", "lower end against")
def _(low, high, smallest):
    """The interval's ends are held against 0, and the smallest effect serves for null results."""
    if -smallest < low <= high < smallest:
        return "negligible"
    word = "contrary" if high < 0 else "undetermined"
    return _or_nothing(low, high, "consistent" if low > 0 else word)


@mistake("verdict", "surely too small")
def _(low, high, smallest):
    """Negligible only if the interval holds 0 as well."""
    if -smallest < low <= 0 <= high < smallest:
        return "negligible"
    word = "contrary" if high < -smallest else "undetermined"
    return _or_nothing(low, high, "consistent" if low > smallest else word)


@mistake("verdict", "One end beyond the band")
def _(low, high, smallest):
    """One end decides, the lower one, on either side."""
    if -smallest < low <= high < smallest:
        return "negligible"
    word = "contrary" if low < -smallest and high < 2 * smallest else "undetermined"
    return _or_nothing(low, high, "consistent" if low > smallest else word)


@mistake("verdict", "fell through")
def _(low, high, smallest):
    """Right, but nobody asks whether there is an interval."""
    if low > smallest:
        return "consistent"
    if high < -smallest:
        return "contrary"
    return "negligible" if -smallest < low and high < smallest else "undetermined"
