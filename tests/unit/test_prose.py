"""Chapters read like a book: how they open and close, how much code they show, and no typed result.

The numbers are those of the style that the book holds itself to; see the room `publishing.prose`.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache

import nbformat.v4 as nb
import pytest

from taskspace_utils import store
from taskspace_utils.publishing import chapters, prose

EVERY = [pytest.param(path, id=path.stem) for path in chapters.chapters()]
NUMBERED = [pytest.param(p, id=p.stem) for p in chapters.chapters() if p.stem[:2].isdigit()]

# Numbers typed in prose that are no result of a run, each with what it is.
LEVEL = "the level of an interval, or a share that chance alone would give"
GIVEN: dict[str, dict[str, str]] = {
    "01_one_pair": {"0.1": "a choice: where counts start"},
    "03_a_model_grows_up": {"0.55": "an example of what a coin may give"},
    "05_ftgd": {
        "0.1": "the rule: how near the target a tuning lands, nats",
        "1 %": "the rule: how far weights may move",
        "0.3": "the target of the two-word example",
        "95 %": LEVEL,
    },
    "07_gradients": {"1 %": "the definition of a column"},
    "09_hypotheses": {
        "60 %": "the definition of order-only",
        "0.05": LEVEL,
        "30 %": "the construction of a null",
    },
    "11_blimp": {"95 %": LEVEL, "0.60": "the definition of order-only"},
    "13_your_model": {"95 %": LEVEL},
    "15_prediction_sharpened": {
        **dict.fromkeys(("0.05", "0.02", "0.95", "0.8", "1.2", "0.1", "−0.8"), "a stated bound"),
    },
    "17_other_architectures": {
        "0.02": "a rule of the predictions: the smallest difference that counts",
        "0.05": "a rule of the predictions",
        "0.3": "the same",
        "0.60": "the definition of order-only",
        "95 %": LEVEL,
    },
    "18_laws_and_emergence": {
        "0.01": "a choice: the highest learning rate",
        **dict.fromkeys(("95 %", "5 %", "20 %", "0.05", "0.10", "0.2"), "a threshold, set before"),
        **dict.fromkeys(("0.6", "0.8"), "a choice: what counts as sudden"),
    },
    "20_engine": {"5 %": "the rule: when a race is refused", "10 %": "the same"},
}
SPARSE = {"12_verdicts", "13_your_model"}  # read results aloud: more words a line of code
STEPS = {
    "06_transfer": 1,
    "07_gradients": 1,
}  # displays that are a step on the way to a labelled one


def book_pages():
    return sorted((store.project_root() / "book").rglob("*.md"))


@cache
def read(path):
    return chapters.read_chapter(path)


def text_of(path) -> str:
    return "\n\n".join(c.source for c in read(path).cells if c.cell_type == "markdown")


@pytest.mark.parametrize("path", EVERY)
def test_cells_are_short_and_prose_outweighs_code(path):
    found = prose.measure(read(path))
    assert found.longest <= 20
    assert found.median <= 6
    assert found.words / max(found.lines, 1) >= 10
    if path.stem[:2].isdigit():  # a warm-up is mostly prose
        assert found.words / found.lines <= (24 if path.stem in SPARSE else 20)


@pytest.mark.parametrize("path", EVERY)
def test_a_chapter_opens_with_a_box_and_closes_with_what_was_seen(path):
    text = text_of(path)
    box = re.search(r"(?ms)^```\{admonition\} In this chapter\n:class: tip\n(.*?)^```$", text)
    assert box, "no opening box"
    said = [part.split("**")[1] for part in box[1].strip().split("\n\n")]
    assert said == ["You will", "You learn", "You need"]
    assert text.index(box[0]) < text.find("\n## "), "the box stands before the first section"
    assert "\n## What we saw\n" in text
    last = [c for c in read(path).cells if c.cell_type == "markdown"][-1].source
    assert re.search(r"^(## Further reading$|\*\*Further reading\.\*\*)", last, re.MULTILINE)


@pytest.mark.parametrize("path", NUMBERED)
def test_terms_and_equations_can_be_referred_to(path):
    text = text_of(path)
    kinds = re.findall(r"^(`{3,})\{prf:definition\}.*\n:label: (\S+)$", text, re.MULTILINE)
    assert kinds, "no term is defined"
    assert all(label.startswith("def-") for _, label in kinds)
    assert text.count("{prf:definition}") == len(kinds), "a definition lacks its label"
    assert r"\tag" not in text, "an equation's number is typed"
    number = int(path.stem[:2])
    displays = re.findall(r"(?ms)^\$\$\n.*?^\$\$([^\n]*)$", text)
    labels = [label.strip(" ()") for label in displays if label]
    assert labels == [f"eq-{number}-{i}" for i in range(1, len(labels) + 1)]
    assert len(displays) - len(labels) == STEPS.get(path.stem, 0)


DECLARED = re.compile(
    r"^\((\S+)\)=$|^:(?:label|name): (\S+)$|^ {4}name: (\S+)$|^\$\$ \((\S+)\)$", re.MULTILINE
)
REFERRED = re.compile(r"\{(?:ref|numref|eq|prf:ref)\}`(?:[^`<]*<)?([^`<>]+)>?`")


def test_every_label_stands_once_and_every_reference_leads_to_one():
    texts = {p: p.read_text("utf-8") for p in [*chapters.chapters(), *book_pages()]}
    declared = [(found, p.name) for p, text in texts.items()
                for groups in DECLARED.findall(text) for found in groups if found]  # fmt: skip
    twice = {label for label, n in Counter(label for label, _ in declared).items() if n > 1}
    assert not twice, [(label, where) for label, where in declared if label in twice]
    known = {label for label, _ in declared} | {"genindex", "search"}
    for path, text in texts.items():
        prose_alone = re.sub(r"(?ms)^````?\{code-cell\}.*?^````?$", "", text)
        assert set(REFERRED.findall(prose_alone)) <= known, path.name


@pytest.mark.parametrize("path", EVERY)
def test_a_cell_with_a_figure_shows_nothing_else(path):
    """What else it showed would be given the figure's caption and label, too."""
    for cell in read(path).cells:
        if "figure" in cell.metadata.get("mystnb", {}):
            last = ast.parse(cell.source).body[-1]
            assert not isinstance(last, ast.Expr) or cell.source.endswith(";"), cell.source


@pytest.mark.parametrize("path", EVERY)
def test_a_line_holds_a_sentence(path):
    """So that a change shows as what it is; a few short ones may share a line."""
    for line in prose.body(text_of(path)).splitlines():
        plain = re.sub(r"`[^`]*`", "", line)
        ends = re.findall(r"[a-z)][.?!] (?=[A-Z])", plain)
        assert len(ends) <= 4, line


@pytest.mark.parametrize("path", EVERY)
def test_no_result_is_typed(path):
    given = GIVEN.get(path.stem, {})
    typed = [(n, line) for n, line in prose.typed_results(text_of(path)) if n not in given]
    assert not typed
    assert given.keys() <= {n for n, _ in prose.typed_results(text_of(path))}, "no longer there"


def test_a_typed_result_is_found_and_what_is_no_result_is_not():
    found = [n for n, _ in prose.typed_results("The cosine is 0.93, at 81 % and 3 nats.")]
    assert found == ["0.93", "81 %", "3 nats"]
    for harmless in (
        "By equation 8.1 it is {glue:text}`gain:.2f` of `0.93`, $x > 0.5$.",
        "They chose it in 96.4 % of the pairs {cite}`warstadt2020`.",
        "```\nx = 0.93\n```",
        "$$\n0.93\n$$ (eq-1-1)",
        "```{exercise} What if it were 0.93?\n:label: ex\n```",
        "```{solution-start} ex\n```\nIt is 0.93.\n```{solution-end}\n```",
    ):
        assert not list(prose.typed_results(harmless)), harmless


def test_only_exercises_are_taken_out():
    text = "```{prf:definition} One\n:label: def\nTwo **three**.\n```\n\nFour 0.93.\n"
    text += "```py\nx\n```\nFive."
    assert prose.WORD.findall(prose.body(text)) == ["One", "Two", "three", "Four", "Five"]
    assert [n for n, _ in prose.typed_results(text)] == ["0.93"]


def test_what_is_counted_is_what_a_reader_sees():
    cells = [
        nb.new_markdown_cell("# Two words\n\n$$\na b c\n$$ (eq)\n\n```{exercise} Not this\n```"),
        nb.new_code_cell("x = 1\n\n# a comment\ny = 2"),
        nb.new_code_cell("z = 3", metadata={"tags": ["remove-input"]}),
        nb.new_code_cell('exercises.check("margin", margin)'),
        nb.new_markdown_cell("*(★☆☆ · 10 minutes · after it you can)*"),
        nb.new_markdown_cell("*(5 minutes)* and `code` there"),
    ]
    found = prose.measure(nb.new_notebook(cells=cells))
    assert (found.lines, found.median, found.longest, found.practice) == (2, 2, 4, 15)
    assert found.words == 2 + 5 + 4  # code in a line is read like a word


def test_the_opening_box_says_the_measured_minutes():
    measured = prose.Measure(3000, 60, 4.0, 9, 25, 30)
    text = "# Title\n\n```{admonition} In this chapter\n**You need** Python.\n```"
    line = (
        "**It takes** about 25 minutes to read, and 30 more for the exercises; "
        "its code ran in 12 seconds here."
    )
    assert prose.opening(text, 12.3, measured).splitlines()[3:] == [
        "**You need** Python.", "", line, "```"]  # fmt: skip
    assert prose.opening("# Title", 12.3, measured) == "# Title"


@pytest.mark.parametrize("path", EVERY)
def test_the_box_of_every_chapter_takes_that_line(path):
    notebook = read(path)
    first = next(c for c in notebook.cells if c.cell_type == "markdown").source
    assert "**It takes** about" in prose.opening(first, 1.0, prose.measure(notebook))
