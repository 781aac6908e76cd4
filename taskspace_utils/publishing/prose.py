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
WORD = re.compile(r"[A-Za-z][\w'’-]*")
FENCE = re.compile(r"(?P<mark>`{3,}|:{3,})(?P<rest>(\{(?P<directive>[\w:-]+)\})?(?P<title>.*))$")
OPTION = re.compile(r"(:[\w-]+:.*|\([\w-]+\)=)$")  # of a directive; a label
DISPLAY = re.compile(r"(?ms)^\$\$$.*?^\$\$[^\n]*$")
GATED = re.compile(r"(?ms)^```\{(exercise|solution)-start\}.*?^```\{\1-end\}\n```$")
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
    words = _words(body("\n\n".join(texts))) + sum(map(_words, asked))
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
    """The prose of a Markdown text: no exercises, no formulas on lines of their own, no code.

    What directives such as admonitions and definitions hold is prose; their options are not.
    """
    kept, open_fences, silent = [], [], 0  # silent: how many of the open fences hold no prose
    for line in GATED.sub("", text).splitlines():
        fence = FENCE.match(line)
        if fence and open_fences and fence["rest"] == "" and fence["mark"] == open_fences[-1][0]:
            silent -= open_fences.pop()[1]
        elif fence:
            quiet = not fence["directive"] or fence["directive"].startswith(("exercise", "sol"))
            open_fences.append((fence["mark"], quiet))
            silent += quiet
            if not silent:
                kept.append(fence["title"])
        elif not silent and not OPTION.match(line):
            kept.append(line)
    return DISPLAY.sub("", "\n".join(kept))


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


def _words(text: str) -> int:
    return len(WORD.findall(text))


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
