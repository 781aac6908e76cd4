"""What a chapter asks of its reader: words, code and minutes; and numbers typed in its prose.

Counts are of what a page shows: neither cells whose code is hidden nor exercises are part of the
body, which is what the style of the book is held to. Minutes are counted, not guessed: words and
lines of code at a stated pace.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from statistics import median
from typing import NamedTuple

PACE = 150  # words a minute: slow, as one reads what one wants to understand
LINE = 5  # seconds for a line of code
HIDDEN = {"remove-cell", "remove-input", "hide-input", "parameters", "exercise"}
APART = re.compile(r"(?ms)^(`{3,}|:{3,})\{(exercise|solution)[-\w]*\}.*?^\1\s*$")
WORD = re.compile(r"[A-Za-z][\w'’-]*")
SILENT = [  # parts of Markdown that aren't read as prose
    re.compile(r"(?ms)^(`{3,})\w*\n.*?^\1\s*$"),  # code in prose
    re.compile(r"(?ms)^\$\$.*?\$\$[^\n]*$"),
    re.compile(r"(?m)^\s*(`{3,}.*|:[\w-]+:.*|\([\w-]+\)=)$"),  # fences, options, labels
]
RESULT = re.compile(
    r"(?<![\w.])[-−+±]?(?:\d+\.\d+|\d+(?:\.\d+)?\s?%|\d+ (?:nats|seconds|percent)\b)(?![\w.]*\d)"
)
QUOTED = [  # numbers that aren't typed results: the run's own, formulas, names, what others found
    re.compile(r"\{[\w:+-]+\}`[^`]*`"),
    re.compile(r"`+[^`]*`+"),
    re.compile(r"\$[^$]*\$"),
    re.compile(r"\b(?:[Ee]quations?|[Ee]q\.|version)\s[\d., to]+\d"),
    re.compile(r"\(\d+\.\d+\)"),  # an equation's number
]


class Measure(NamedTuple):
    """Of a chapter's body, but for `practice`."""

    words: int  # of prose
    lines: int  # of code that is shown: no blanks, no comments
    median: float  # lines of a cell that is shown
    longest: int  # lines of the longest cell, hidden ones and blanks counted
    reading: int  # minutes, at PACE and LINE
    practice: int  # minutes that the exercises say they take


def measure(notebook) -> Measure:
    """Count a chapter.

    Args:
        notebook: as `chapters.read` gives it, executed or not.
    """
    texts = [c.source for c in notebook.cells if c.cell_type == "markdown"]
    cells = [c for c in notebook.cells if c.cell_type == "code" and c.source.strip()]
    shown = [n for c in cells if is_shown(c) and (n := _code_lines(c.source))]
    asked = [text for c in cells if "explore.quiz(" in c.source for text in _strings(c.source)]
    words = sum(len(WORD.findall(body(text))) for text in [*texts, *asked])
    practice = re.findall(r"^\*\([^)\n]*?(\d+) minutes", "\n".join(texts), re.MULTILINE)
    return Measure(
        words=words,
        lines=sum(shown),
        median=median(shown) if shown else 0,
        longest=max((len(c.source.splitlines()) for c in cells), default=0),
        reading=max(1, round(words / PACE + sum(shown) * LINE / 60)),
        practice=sum(map(int, practice)),
    )


def is_shown(cell) -> bool:
    """Is the code of this cell part of the body that a reader sees?"""
    check = cell.source.lstrip().startswith(("exercises.check(", "from taskspace_utils import ex"))
    return not check and not HIDDEN & set(cell.metadata.get("tags", []))


def body(text: str) -> str:
    """The prose of a Markdown text: no exercises, no formulas on lines of their own, no code."""
    for pattern in (APART, *SILENT):
        text = pattern.sub("", text)
    return text


def typed_results(text: str) -> Iterator[tuple[str, str]]:
    """Numbers in a Markdown text that look like a run's result but were typed, with their lines.

    A number on a line with a citation is the cited work's. Glue, code, formulas and the numbers of
    equations are left alone.
    """
    for line in body(text).splitlines():
        if "{cite" in line:
            continue
        plain = line
        for pattern in QUOTED:
            plain = pattern.sub("", plain)
        for found in RESULT.finditer(plain):
            yield found[0].strip(), line


def _code_lines(source: str) -> int:
    lines = (line.strip() for line in source.splitlines())
    return sum(bool(line) and not line.startswith("#") for line in lines)


def _strings(source: str) -> list[str]:
    """All texts in a cell, such as a quiz's questions: they are read, too."""
    nodes = ast.walk(ast.parse(source))
    return [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]


def opening(text: str, seconds: float | None, measured: Measure) -> str:
    """A chapter's first text with a line on its minutes at the end of its opening box.

    Args:
        seconds: what its code took to run, where it ran.
    """
    line = f"**It takes** about {_round(measured.reading)} minutes to read"
    if measured.practice:
        line += f", and {measured.practice} more for the exercises"
    if seconds is not None:
        line += f"; its code ran in {_spell(seconds)} here"
    return re.sub(r"(?m)^\*\*You need\*\*.*$", rf"\g<0>\n\n{line}.", text, count=1)


def _round(minutes: int) -> int:
    return minutes if minutes < 10 else 5 * round(minutes / 5)


def _spell(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 90 else f"{seconds / 60:.0f} minutes"
