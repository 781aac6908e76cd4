"""Self-check of chapter 13: how many pairs give a wanted reliability."""

from __future__ import annotations

import math

from taskspace_utils.exercises import Hint, compare, mistake, number, short, stage


@stage("pairs-needed", "twice the pairs, worked by hand")
def _(answer):
    compare(
        number(answer(0.5, 100, 2 / 3)),
        200.0,  # 2 · ½ / (1 + ½) = ⅔
        {
            "that is f, how many times as many pairs: multiply by the pairs that there are.": 2.0,
            "reliability doesn't grow in proportion to the pairs; it could pass 1 then. Solve the "
            "equation for f.": 100 * 4 / 3,
            "upside down: a higher reliability should take more pairs, not fewer.": 50.0,
        },
        "with a reliability of ½ from 100 pairs, the number for ⅔",
    )


@stage("pairs-needed", "a wanted reliability that is there already, and a lower one")
def _(answer):
    compare(number(answer(0.3, 80, 0.3)), 80.0, {}, "the number for what is there already")
    compare(
        number(answer(0.8, 80, 0.5)),
        20.0,  # a quarter of them: ¼ · 0.8 / (1 − ¾ · 0.8) = ½
        {
            "fewer pairs would be enough here, and it says how many: there is no need to keep all "
            "that there are.": 80.0,
        },
        "with a reliability of 0.8 from 80 pairs, the number for ½",
    )


@stage("pairs-needed", "halves that have nothing in common")
def _(answer):
    for reliability in (-0.2, 0.0):
        found = answer(reliability, 60, 0.5)
        if not (isinstance(found, int | float) and math.isinf(found) and found > 0):
            raise Hint(
                f"with a reliability of {reliability:g} it gives {short(found)}. No number of "
                "pairs makes a signal where the halves show none: return `math.inf`, and look "
                "before you divide."
            )


@mistake("pairs-needed", "multiply by the pairs")
def _(reliability, pairs, wanted):
    """The factor, not the number of pairs."""
    return wanted * (1 - reliability) / (reliability * (1 - wanted))


@mistake("pairs-needed", "doesn't grow in proportion")
def _(reliability, pairs, wanted):
    """Pairs in proportion to reliability."""
    return pairs * wanted / reliability


@mistake("pairs-needed", "upside down")
def _(reliability, pairs, wanted):
    """The inverse of the factor."""
    return pairs * reliability * (1 - wanted) / (wanted * (1 - reliability))


@mistake("pairs-needed", "no need to keep all")
def _(reliability, pairs, wanted):
    """Never fewer pairs than there are."""
    if reliability <= 0:
        return math.inf
    return max(pairs, pairs * wanted * (1 - reliability) / (reliability * (1 - wanted)))


@mistake("pairs-needed", "look before you divide")
def _(reliability, pairs, wanted):
    """Right, but without a look at reliabilities that are none."""
    return pairs * wanted * (1 - reliability) / (reliability * (1 - wanted))
