"""MyST outside of the book: nothing of it is left, and nothing of the text is lost."""

from __future__ import annotations

import pytest

from taskspace_utils import store
from taskspace_utils.publishing import chapters
from taskspace_utils.publishing.plain_myst import DIRECTIVE, ROLE, as_html, plain, titles

KNOWN = {"ch-real": "Is it real?"}


@pytest.mark.parametrize(
    ("myst", "expected"),
    [
        ("see {ref}`ch-real`", "see *Is it real?*"),
        ("see {ref}`chapter 8 <ch-real>`", "see chapter 8"),
        ("equation {eq}`eq-7-2`", "equation (7.2)"),
        ("{numref}`fig-cosine` shows", "the figure shows"),
        ("by {cite:t}`weber2024`, and {cite}`a1999,b2001`", "by Weber 2024, and (A 1999, B 2001)"),
        ("a {term}`margin`, {term}`pairs <minimal pair>`", "a margin, pairs"),
        ("{glue:text}`near:.2f` nats", "1.23 nats"),
        ("{glue:text}`absent:.2f` nats", "… nats"),
        ("{math}`x^2`", "$x^2$"),
        ("(a-label)=\n## A heading", "## A heading"),
        ("$$\nx\n$$ (eq-7-1)", "$$\nx\n\\tag{7.1}\n$$"),
        ("$$\nx\n$$ (eq-own)", "$$\nx\n$$"),
        ("```{math}\n:label: eq-1\nx\n```", "$$\nx\n$$"),
        ("```{exercise} By hand\n:label: ex-1\nDo it.\n```", "**Exercise: By hand.**\n\nDo it."),
        (
            "```{prf:definition} Pair\n:label: def-pair\nA **pair** is two.\n```",
            "**Definition: Pair.** A **pair** is two.",
        ),
        (
            "```{admonition} A box\n:class: tip\nSee {ref}`ch-real`.\n```",
            "> **A box**\n>\n> See *Is it real?*.",
        ),
        ("```python\nx = 1\n```", "```python\nx = 1\n```"),
        ("before\n\n```{image} a.png\n```\n\nafter", "before\n\n\n\nafter"),
    ],
)
def test_a_construct_becomes_plain(myst, expected):
    assert plain(myst, KNOWN, {"near": 1.2345}) == expected


def test_nothing_of_myst_is_left_of_chapters_and_pages():
    root = store.project_root()
    paths = [*chapters.chapters(), *(root / "book" / "course").glob("*.md")]
    known = titles([*chapters.chapters(), *(root / "book").rglob("*.md")])
    assert "course-rubric" in known
    for path in paths:
        text = plain(path.read_text(encoding="utf-8"), known)
        assert not DIRECTIVE.findall(text.replace("{code-cell}", "")), path.name
        assert not ROLE.findall(text), path.name


def test_html_shows_tags_as_text_and_leaves_formulas_alone():
    page = as_html("<script>alert(1)</script> and $a < b$\n\n$$\n\\frac{a}{b}\n$$\n")
    assert "<script>" not in page
    assert r"\(a &lt; b\)" in page
    assert r"\[\frac{a}{b}\]" in page
    assert "<td>2</td>" in as_html("| a | b |\n|---|---|\n| 1 | 2 |\n")
