"""Explorers: small pages inside a page, alive in a browser without a kernel.

Each is one piece of HTML with its data and a few lines of JavaScript in it. Text from data reaches
the page only as text, never as markup, and without JavaScript, or on paper, something can still be
read. The `…_widget` functions give the same with a kernel.
"""

from taskspace_utils.explore.atlas import space, views
from taskspace_utils.explore.doubts import above, doubt, neighbourhood
from taskspace_utils.explore.gains import balance
from taskspace_utils.explore.groups import grouping, hypothesis
from taskspace_utils.explore.markup import Html, picture
from taskspace_utils.explore.questions import quiz
from taskspace_utils.explore.rules import rules_of, under, verdict_rules
from taskspace_utils.explore.widgets import (
    balance_widget,
    doubt_widget,
    hypothesis_widget,
    microscope_widget,
    space_widget,
    verdict_rules_widget,
)
from taskspace_utils.explore.words import difference, microscope

__all__ = [
    "Html",
    "above",
    "balance",
    "balance_widget",
    "difference",
    "doubt",
    "doubt_widget",
    "grouping",
    "hypothesis",
    "hypothesis_widget",
    "microscope",
    "microscope_widget",
    "neighbourhood",
    "picture",
    "quiz",
    "rules_of",
    "space",
    "space_widget",
    "under",
    "verdict_rules",
    "verdict_rules_widget",
    "views",
]
