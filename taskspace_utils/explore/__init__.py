"""Explorers: small pages inside a page, alive in a browser without a kernel.

Each is one piece of HTML with its data and a few lines of JavaScript in it. Text from data reaches
the page only as text, never as markup, and without JavaScript something can still be read.
"""

from taskspace_utils.explore.atlas import space, views
from taskspace_utils.explore.gains import balance
from taskspace_utils.explore.groups import grouping, hypothesis
from taskspace_utils.explore.markup import Html, picture
from taskspace_utils.explore.questions import quiz
from taskspace_utils.explore.words import difference, microscope

__all__ = [
    "Html",
    "balance",
    "difference",
    "grouping",
    "hypothesis",
    "microscope",
    "picture",
    "quiz",
    "space",
    "views",
]
