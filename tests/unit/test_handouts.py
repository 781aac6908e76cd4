"""Handouts lead where they point, and the sheet of pairs has the answers that its key gives."""

from __future__ import annotations

import csv
import re
import shlex

import pytest

from taskspace_utils import cli, store
from taskspace_utils.grammar import load_grammar
from taskspace_utils.publishing import chapters, handouts
from taskspace_utils.publishing.plain_myst import titles

ROOT = store.project_root()
PAGES = ROOT / "book" / "course"
WHERE = {"ch-one": "book/notebooks/01_one.html#ch-one", "course-b": "handouts/b.html"}


@pytest.mark.parametrize(
    ("myst", "expected"),
    [
        ("see {ref}`ch-one`", "see [One](../book/notebooks/01_one.html#ch-one)"),
        ("a {ref}`sheet <course-b>`", "a [sheet](../handouts/b.html)"),
        ("by {ref}`ch-two`", "by *Two*"),
        ("in `tables/a.csv`", "in [`tables/a.csv`](../tables/a.csv)"),
        ("`slides/06.html#/whole`", "[`slides/06.html#/whole`](../slides/06.html#/whole)"),
        ("`instructor/key.html`", "`instructor/key.html`"),
        ("```sh\nrun `tables/a.csv`\n```", "```sh\nrun `tables/a.csv`\n```"),
    ],
)
def test_a_reference_and_a_file_of_the_archive_become_links(myst, expected):
    known = {"ch-one": "One", "ch-two": "Two"}
    assert handouts.linked(myst, known, WHERE, "../") == expected


def test_every_reference_of_the_courses_pages_has_an_address():
    where = handouts.addresses(ROOT)
    known = titles([*chapters.chapters(), *(ROOT / "book").rglob("*.md")])
    assert where["course"] == "index.html"
    assert where["ch-blimp"] == "book/notebooks/11_blimp.html#ch-blimp"
    asked = set()
    for path in PAGES.glob("*.md"):
        found = re.findall(r"\{ref\}`(?:[^`<]*<)?([\w-]+)>?`", path.read_text("utf-8"))
        asked |= set(found)
    assert len(asked) > 15
    assert asked <= set(where)
    assert asked <= set(known)


def test_a_page_escapes_what_it_shows_and_begins_sheets_on_new_paper():
    page = handouts.page("# A <b> & c\n\n## Sheet A: one\n\n<script>alert(1)</script>\n", "../")
    assert "<title>A &lt;b&gt; &amp; c</title>" in page
    assert "<script" not in page
    assert '<h2 class="sheet">Sheet A: one</h2>\n<p>Name, date:</p>' in page
    assert '<nav><a href="../index.html">' in page
    assert "<nav>" not in handouts.page("# Start\n")


def test_the_sheets_answers_are_the_keys():
    sheet, key = handouts.rules_sheet()
    parts = re.split(r"^## Part \d", sheet, flags=re.MULTILINE)[1:]
    answers = re.findall(r"^\*\*Part \d\*\* \(`(\w+)`\): (.+)\.$", key, re.MULTILINE)
    assert [task for task, _ in answers] == list(handouts.RULES)
    assert "*" not in sheet
    for part, (task, right) in zip(parts, answers, strict=True):
        pairs = load_grammar().pairs(200, 0, [task])
        good, bad = set(pairs["good"]), set(pairs["bad"])
        rows = re.findall(r"^\| (\d) \| (.+?) \| (.+?) \|$", part, re.MULTILINE)
        told = dict(one.split() for one in right.split(", "))
        assert len(rows) == len(told) == handouts.PAIRS
        for number, a, b in rows:
            one, other = (a, b) if told[number] == "A" else (b, a)
            assert one in good
            assert other in bad
        assert list(told.values()).count("A") == len(told) / 2  # to tick one column is no answer
        assert task not in sheet


def test_sheet_a_shows_an_example_of_each_of_its_tasks():
    with (ROOT / "data/course/examples.csv").open(encoding="utf-8") as file:
        examples = {row["task"]: row for row in csv.DictReader(file)}
    text = (PAGES / "predictions.md").read_text("utf-8")
    couples = re.findall(r"^\| `(\w+)` \| `(\w+)` \|", text, re.MULTILINE)
    shown = re.findall(r"^\| `(\w+)` \| (\w.+?) \| (\w.+?) \|$", text, re.MULTILINE)
    assert len(couples) == 8
    assert [task for task, _, _ in shown] == [task for couple in couples for task in couple]
    for task, good, bad in shown:
        assert {"task": task, "good": good, "bad": bad} == examples[task]
        assert good != bad


def test_commands_that_the_pages_of_the_course_give_are_commands():
    said = []
    for path in PAGES.glob("*.md"):
        text = path.read_text("utf-8")
        said += re.findall(r"(?:^ *|`)(?:\S*bin/)?taskspaces (\w+ [^`\n]+)", text, re.MULTILINE)
    said.remove("generate --grammar")  # an option is named, no command given
    assert len(said) >= 3
    for command in said:
        options = cli._parser().parse_args(shlex.split(command))
        if options.command == "chapter":
            given = dict(one.split("=", 1) for one in options.p)
            chapters.check_parameters(options.chapter, given)
