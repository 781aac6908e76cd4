"""MyST text outside of the book: its roles and directives as plain Markdown, and that as HTML.

Notebooks of a course are opened in Jupyter, slides and handouts in a browser; none of them knows
what `{ref}` is. What can't be said without the book (pictures, lists of citations) is left out.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

ROLE = re.compile(r"\{(?P<name>[\w:.+-]+)\}`(?P<text>[^`]*)`")
DIRECTIVE = re.compile(
    r"^(?P<fence>`{3,}|:{3,})\{(?P<name>[\w:+.-]+)\} *(?P<title>[^\n]*)\n"
    r"(?P<body>.*?)^(?P=fence) *$",
    re.MULTILINE | re.DOTALL,
)
LABEL = re.compile(r"^\((?P<label>[\w-]+)\)=\n", re.MULTILINE)
OPTION = re.compile(r"\A(?:[ \t]*:[\w-]+:[^\n]*\n)+")
BOXES = {"admonition", "note", "tip", "hint", "warning", "important", "caution", "seealso"}
NAMED = {"exercise": "Exercise", "solution": "Solution", "prf:definition": "Definition"}
NAMED |= {"exercise-start": "Exercise", "solution-start": "Solution"}


def titles(paths: Iterable[Path]) -> dict[str, str]:
    """What each label in front of a heading refers to: the heading."""
    found: dict[str, str] = {}
    for path in paths:
        text = path.read_text(encoding="utf-8")
        found |= re.findall(r"^\(([\w-]+)\)=\n+#+ (.+)$", text, re.MULTILINE)
    return found


def plain(
    text: str,
    known: Mapping[str, str],
    values: Mapping[str, object] | None = None,
    links: Mapping[str, str] | None = None,
) -> str:
    """MyST as plain Markdown; formulas stay between dollars.

    Args:
        known: headings by label; see `titles`.
        values: what `glue` kept, by name.
        links: addresses by label; a `{ref}` to any other label has none to lead to.
    """
    text = DIRECTIVE.sub(lambda m: _directive(m, known, values, links), text)
    text = re.sub(r"^\$\$ *\(([\w-]+)\) *$", _tag, text, flags=re.MULTILINE)
    text = LABEL.sub("", text)
    return ROLE.sub(lambda m: _role(m["name"], m["text"], known, values or {}, links or {}), text)


def _directive(match: re.Match, known: Mapping[str, str], values, links) -> str:
    name, title = match["name"], match["title"].strip()
    body = plain(OPTION.sub("", match["body"]).strip("\n"), known, values, links)
    if name == "math":
        return f"$$\n{body}\n$$"
    if name in NAMED:
        title = "" if name.startswith("solution") else title
        head = f"**{NAMED[name]}{': ' * bool(title)}{title}.**"
        if name == "prf:definition":  # stays in one piece wherever it is shown
            return f"{head} {body}"
        return f"{head}\n\n{body}" if body else head
    if name in BOXES:
        lines = [*([f"**{title}**", ""] if title else []), *body.splitlines()]
        return "\n".join(f"> {line}".rstrip() for line in lines)
    return ""


def _role(name: str, text: str, known: Mapping, values: Mapping, links: Mapping) -> str:
    shown, target = re.fullmatch(r"(.*?)(?:\s*<([^<>]*)>)?", text, re.DOTALL).groups()
    if name.startswith("glue"):
        key, _, form = text.partition(":")
        return _formatted(values[key], form) if key in values else "…"
    if name.startswith("cite"):
        said = ", ".join(
            re.sub(r"([a-z]+)(\d{4}).*", _author, key.strip()) for key in text.split(",")
        )
        return said if name == "cite:t" else f"({said})"
    if name == "math":
        return f"${text}$"
    if name == "ref" and (target or text) in links:
        return f"[{shown if target else known.get(text, text)}]({links[target or text]})"
    if target or name not in ("ref", "numref", "eq", "doc", "prf:ref"):
        return shown
    if name == "eq":
        return f"({'.'.join(re.findall(r'[0-9]+', text)) or text})"
    if name == "numref":
        return "the figure" if text.startswith("fig") else "the table"
    return f"*{known.get(text, text)}*"


def _tag(match: re.Match) -> str:
    """The end of an equation, with the number that its label has: eq-7-1 is 7.1."""
    number = ".".join(re.findall(r"\d+", match[1]))
    return f"\\tag{{{number}}}\n$$" if number else "$$"


def _author(match: re.Match) -> str:
    return f"{match[1].title()} {match[2]}"


def _formatted(value: object, form: str) -> str:
    try:
        return format(value, form)
    except (TypeError, ValueError):
        return str(value)


def as_html(text: str) -> str:
    """Plain Markdown as HTML: tags in it are shown as text, formulas are left to MathJax."""
    from markdown_it import MarkdownIt
    from mdit_py_plugins.dollarmath import dollarmath_plugin

    def formula(content: str, options: dict) -> str:
        marks = (r"\[", r"\]") if options["display_mode"] else (r"\(", r"\)")
        return marks[0] + html.escape(content.strip()) + marks[1]

    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    reader.use(dollarmath_plugin, renderer=formula, double_inline=True)
    return reader.render(text)
