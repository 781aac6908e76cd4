"""First uses of the glossary's words are linked, in running text and nowhere else."""

from __future__ import annotations

import json
import re

import pytest

from taskspace_utils.publishing import chapters, glossary

TEXT = """---
title: margin
---

# Of a margin

A `margin`, a $margin$, [a margin](margin.md) and {ref}`margins <margin>`.
The gradient space is no gradient, and margins are no margin.

```{code-cell} ipython3
margin = "a sham"
```

```{prf:definition} Sham
:label: def-sham
A sham is this.
```

```{exercise} Nat
What is a nat?
```

| corpus |
|---|
"""


def test_the_first_use_is_linked_and_what_is_no_running_text_is_left_alone():
    found = glossary.linked_page(TEXT)
    assert re.findall(r"\{term\}`[^`]*`", found) == [
        "{term}`gradient space`", "{term}`gradient`", "{term}`margins <margin>`", "{term}`sham`"
    ]  # fmt: skip
    plain = re.sub(r"\{term\}`([^`<]*?)(?: <[^`]*)?`", r"\1", found)
    assert plain == TEXT
    assert "no {term}`gradient`, and {term}`margins <margin>` are no margin" in found
    assert "A {term}`sham` is this" in found


def test_a_term_that_a_chapter_links_itself_is_linked_once():
    own = "The {term}`nats <nat>` and the {term}`run` of a nat.\n"
    assert glossary.linked_page(own) == own
    assert glossary.linked_page("It may run for a step.\n") == "It may run for a step.\n"


def test_an_executed_notebook_is_linked_like_its_text():
    cells = [
        {"cell_type": "markdown", "source": ["A margin.\n", "A nat."]},
        {"cell_type": "code", "source": "margin = 1", "outputs": [{"text": "margin"}]},
        {"cell_type": "markdown", "source": "A margin and a sham."},
    ]
    found = json.loads(glossary.linked_page(json.dumps({"cells": cells, "metadata": {}})))["cells"]
    assert found[0]["source"] == "A {term}`margin`.\nA {term}`nat`."
    assert found[1] == cells[1]
    assert found[2]["source"] == "A margin and a {term}`sham`."


@pytest.mark.parametrize("path", chapters.chapters(), ids=lambda path: path.stem)
def test_links_are_all_that_changes_in_a_chapter(path):
    text = path.read_text(encoding="utf-8")
    found = glossary.linked_page(text)
    linked = glossary.TERM.findall(found)
    assert len(linked) > 3
    assert {name.strip() for name in linked} <= set(glossary.terms())
    added = re.sub(r"\{term\}`([^`<]*?)(?: <[^`]*)?`", r"\1", found)
    assert added == re.sub(r"\{term\}`([^`<]*?)(?: <[^`]*)?`", r"\1", text)


def test_the_words_for_which_there_are_no_links_are_in_the_glossary():
    assert set(glossary.terms()) >= glossary.PLAIN
    assert len(set(glossary.terms())) == len(glossary.terms())
