"""Pages that are filled when they are drawn: what they say comes from files, and adds up."""

from __future__ import annotations

import json
import re

import pytest
import yaml

import taskspace_utils
from taskspace_utils import store
from taskspace_utils.publishing import chapters, pages

ROOT = store.project_root()


def executed(folder, name: str, profile: str, seconds: float, cells: list[float]):
    notebook = {
        "metadata": {"papermill": {"duration": seconds, "parameters": {"profile": profile}}},
        "cells": [
            {"cell_type": "code", "metadata": {"papermill": {"duration": s}}} for s in cells
        ] + [{"cell_type": "markdown", "metadata": {}}],
    }  # fmt: skip
    return store.write_atomic(folder / f"{name}.ipynb", json.dumps(notebook))


def test_run_times_are_those_that_papermill_measured(tmp_path):
    last = executed(tmp_path, "20_engine", "smoke", 2.04, [])
    first = executed(tmp_path, "01_one_pair", "laptop", 7.26, [0.5, 3.333, 1.0])
    table = pages.run_times([last, first])
    assert table.values.tolist() == [
        ["01_one_pair", "laptop", 7.3, 3, 3.3], ["20_engine", "smoke", 2.0, 0, 0.0]]  # fmt: skip
    store.write_atomic(tmp_path / "book" / pages.TIMES, table.to_csv(index=False))
    text = pages.filled("# Times\n\n@run-times\n", tmp_path)
    assert re.search(r"\| .*1\. One pair.* \| laptop \| 7 \| 3\.3 \| 3 \|", text)
    assert "| | 9 |" in text  # together
    assert "without running a chapter" in pages.filled("@run-times", tmp_path / "elsewhere")


def test_minutes_are_words_and_lines_at_their_pace(tmp_path):
    words = " ".join(["word"] * 300)
    kernel = "kernelspec: {display_name: Python 3, name: python3}"
    box = f"---\n{kernel}\n---\n\n# Title\n\n{words}\n\n"
    code = "```{code-cell} ipython3\n" + "x = 1\n" * 24 + "```\n\n"
    asked = f"```{{exercise}} More\n{words}\n```\n"
    store.write_atomic(
        tmp_path / "notebooks" / "05_some.md",
        f"{box}## One\n\n{words}\n\n{code}## What we saw\n\n{words}\n\n## Exercises\n\n{asked}",
    )
    store.write_atomic(tmp_path / "book" / "intro.md", words)
    found = {w: pages.minutes(w, tmp_path) for w in ("05", "05:ends", "intro", "05 intro")}
    assert found == {"05": 8, "05:ends": 4, "intro": 2, "05 intro": 10}
    assert pages.minutes("chapters", tmp_path) == 8


PATHS = (ROOT / "book" / "paths.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("heading", "most"), [("In 30 minutes", 30), ("In 3 hours", 180)])
def test_a_way_through_takes_no_longer_than_it_says(heading, most):
    section = next(part for part in PATHS.split("\n## ") if part.startswith(heading))
    *rows, together = re.findall(r"@minutes\(([^)]*)\)", section)
    assert rows == re.findall(r"intro|\d+(?::ends)?", together), "the rows are what is added up"
    assert most / 2 < pages.minutes(together) <= most


def test_every_mark_of_a_page_is_filled():
    for path in (ROOT / "book").rglob("*.md"):
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r"(?m)^@([a-z-]+)$", text):
            assert name in pages.MADE, path
    assert pages.filled("@nothing-of-ours\n", ROOT) == "@nothing-of-ours\n"


def test_the_claims_page_has_each_claim_once_as_it_was_decided():
    text = pages.filled("@claims", ROOT)
    ledger = yaml.safe_load(store.data_path("claims.yml").read_text("utf-8"))["claims"]
    rows = [line.split(" | ")[0].strip("| ") for line in text.splitlines()[2:]]
    assert rows == [claim["id"] for claim in ledger]
    for claim in ledger:
        assert claim["statement"] in text


def test_the_citation_is_the_one_of_the_file():
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    text = pages.filled("@citation", ROOT)
    for author in cff["preferred-citation"]["authors"]:
        assert f"{author['family-names']}, {author['given-names']}" in text
    assert cff["preferred-citation"]["title"] in text
    assert f"version = {{{cff['version']}}}" in text
    for entry in text.split("@")[1:]:  # BibTeX: braces that close, a comma after each field
        assert entry.count("{") == entry.count("}")
        fields = [line for line in entry.splitlines() if line.startswith("  ")]
        assert all(line.endswith("},") for line in fields[:-1])


# ------------------------------------------------------------------------------------------ the API


def test_each_public_name_is_in_the_reference_and_says_what_it_does():
    named = [name for names in pages.public_names().values() for name in names]
    assert sorted([*named, "spaces"]) == taskspace_utils.__all__
    text = pages.filled("@api", ROOT)
    for room, names in pages.public_names().items():
        for name in names:
            assert re.search(rf"auto(function|class):: taskspace_utils\.{room}\.{name}\n", text)
            assert getattr(taskspace_utils, name).__doc__.strip()


def test_every_equation_that_a_docstring_names_is_in_the_book():
    labels = {
        label.replace("-", ".")
        for path in chapters.chapters()
        for label in re.findall(r"\(eq-([\d-]+)\)$", path.read_text("utf-8"), re.MULTILINE)
    }
    named = {
        number
        for path in (ROOT / "taskspace_utils").rglob("*.py")
        for number in pages.equations(path.read_text(encoding="utf-8"))
    }
    assert len(named) > 8
    assert named <= labels


def test_a_docstring_becomes_text_of_another_language():
    said = "The top k of |g|, `a*b` (chapter 5, equations 5.4 and 5.6); see 2*x and odd_."
    assert pages.as_rst(said) == (
        "The top k of \\|g\\|, ``a*b`` (chapter 5, equations :eq:`eq-5-4` and :eq:`eq-5-6`); "
        "see 2\\*x and odd\\_."
    )
    assert pages.equations(said) == ["5.4", "5.6"]


def test_the_reference_knows_where_a_function_is_used():
    used = {name: [path.stem[:2] for path in found] for name, found in pages.uses().items()}
    assert "04" in used["tune"]
    assert "02" in used["load_grammar"]
    assert set(used) <= set(taskspace_utils.__all__)
