"""Slides: a reveal.js deck a chapter, made of the chapter's own text, results and figures.

A section becomes a column: its first sentences, its definitions and equations, what came out (text
that the run wrote), and its figures with their captions. Sections and figures have addresses:
DECK.html#/a-section, DECK.html#/fig-a-figure. All other prose goes into the speaker's notes (key
S). Solutions are on no slide. Nothing is written for the slides, so nothing in them can disagree
with the book; the price is that they show, and leave the telling to the speaker.
"""

from __future__ import annotations

import ast
import html
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from taskspace_utils import store
from taskspace_utils.publishing import drawing
from taskspace_utils.publishing.plain_myst import as_html, plain

REVEAL = "reveal.js@5.2.1"
TAKEN = ("dist/reset.css", "dist/reveal.css", "dist/reveal.js", "plugin/notes/notes.js", "LICENSE")
CDN = f"https://cdn.jsdelivr.net/npm/{REVEAL}"
MATHJAX = "es5/tex-chtml-full.js"
WORDS = 60  # on a slide: what is read while somebody speaks
LAST = ("Exercises", "Further reading")
APART = re.compile(  # exercises with their solutions, and the line that says what ran
    r"^(?P<fence>`{3,}|:{3,})\{(?:exercise|solution)\b.*?^(?P=fence) *$"
    r'|<p class="ts-provenance">.*?</p>|^\*\*Further reading\.\*\*.*?$',
    re.MULTILINE | re.DOTALL,
)

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="{reveal}/dist/reset.css">
<link rel="stylesheet" href="{reveal}/dist/reveal.css">
<link rel="stylesheet" href="slides.css">
<script>MathJax = {{options: {{enableMenu: false}}}};</script>
</head>
<body>
<div class="reveal"><div class="slides">
{slides}
</div></div>
<script src="{reveal}/dist/reveal.js"></script>
<script src="{reveal}/plugin/notes/notes.js"></script>
<script src="{mathjax}"></script>
<script>
Reveal.initialize({{width: 1100, height: 700, hash: true, center: false, transition: "none",
  slideNumber: "c/t", plugins: [RevealNotes]}});
</script>
</body>
</html>
"""


@dataclass
class Section:
    """A section of a chapter: what is shown, what is told, and what is drawn."""

    title: str
    texts: list[str] = field(default_factory=list)  # paragraphs, as plain Markdown
    slides: list[str] = field(default_factory=list)  # slides of its figures and results, as HTML


def sections(notebook, known: Mapping[str, str]) -> list[Section]:
    """A chapter's sections; the first is its opening, with the chapter's title.

    Args:
        notebook: a page of the book, executed.
        known: headings by label; see `plain_myst.titles`.
    """
    values, found = _glued(notebook), []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            text = APART.sub("", cell.source)
            for block in _blocks(plain(text, known, values)):
                if heading := re.match(r"(#{1,2}) +(.+)", block):
                    found.append(Section(heading[2].strip()))
                elif found and not block.startswith("#"):
                    found[-1].texts.append(block)
        elif found and cell.cell_type == "code":
            found[-1].slides += _outputs(cell, found[-1].title, known, values)
    return [s for s in found if s.title not in LAST]


def _blocks(text: str) -> list[str]:
    """Markdown cut at blank lines, but not inside code or formulas."""
    blocks, inside = [""], ""
    for line in text.splitlines():
        mark = re.match(r"`{3,}|\$\$", line)
        if not line.strip() and not inside:
            blocks.append("")
            continue
        blocks[-1] += line + "\n"
        if mark and (not inside or line.strip() == inside):
            one_line = mark[0] == "$$" and line.strip() != "$$"
            inside = "" if inside or one_line else mark[0]
    return [block for block in blocks if block.strip()]


def _glued(notebook) -> dict[str, object]:
    """What the notebook glued as text, by name."""
    found: dict[str, object] = {}
    for output in (o for c in notebook.cells for o in c.get("outputs", [])):
        name = output.get("metadata", {}).get("scrapbook", {}).get("name")
        data = {kind.rsplit("record/")[-1]: text for kind, text in output.get("data", {}).items()}
        if name and (text := data.get("text/plain")) is not None:
            try:
                found[name] = ast.literal_eval(text)
            except (ValueError, SyntaxError):
                found[name] = text
    return found


def _outputs(cell, title: str, known: Mapping[str, str], values) -> list[str]:
    """Slides of a cell's figure, or of text that it wrote."""
    about, made = cell.metadata.get("mystnb", {}), []
    name = html.escape(about.get("figure", {}).get("name", ""))
    alt = about.get("image", {}).get("alt", "")
    caption = plain(about.get("figure", {}).get("caption", "").split("\n\n")[0], known, values)
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if output.get("metadata", {}).get("scrapbook"):
            continue
        if "image/png" in data and alt:
            image = (
                f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{data["image/png"]}">'
            )
            text = as_html(caption)
            figure = f'<figure id="{name}">{image}<figcaption>{text}</figcaption></figure>'
            made.append(_head(title) + figure)
        elif "text/markdown" in data:
            shown, rest = cut(plain(data["text/markdown"], known, values))
            made.append(_head(title) + as_html(shown) + _notes(rest))
    return made


def _head(title: str) -> str:
    return "<h2>" + as_html(title).removeprefix("<p>").removesuffix("</p>\n") + "</h2>"


def _notes(text: str) -> str:
    return f'<aside class="notes">{as_html(text)}</aside>' if text.strip() else ""


def cut(text: str, words: int = WORDS) -> tuple[str, str]:
    """As many whole sentences as fit on a slide, at least one, and the rest; an item is as one."""
    sentences = []
    for line in text.strip().split("\n"):
        item = re.match(r"([-*>]|\d+\.) ", line)
        sentences += [line] if item else re.split(r"(?<=[.!?:]) (?=[A-Z*_`$(])", line)
    taken, count = [], 0
    for sentence in sentences:
        count += len(sentence.split())
        if taken and count > words:
            break
        taken.append(sentence)
    return "\n\n".join(taken), "\n".join(sentences[len(taken) :])


def slides(section: Section) -> list[str]:
    """The slides of a section, as HTML."""
    shown, told, formulas, before = [], [], [], ""
    for block in section.texts:
        if block.startswith("**Definition"):
            formulas.append(_head(section.title) + as_html(block))
        elif block.startswith("$$"):
            formulas.append(_head(section.title) + as_html(f"{_last(before)}\n\n{block}"))
        elif re.match(r"[-*>|] ?|\d+\. |```", block):  # a list, a quotation, a table, code
            (shown if not shown or _fits(shown, block) else told).append(block)
        else:
            room = WORDS - len(" ".join(shown).split())
            full = bool(told) or (bool(shown) and room < len(cut(block, 1)[0].split()))
            first, rest = ("", block) if full else cut(block, room)
            shown += [first] if first else []
            told += [rest] if rest else []
        before = block if not block.startswith("$$") else before
    if not (shown or formulas or section.slides):
        return []
    text = "\n\n".join(shown)
    kind = "dense" if len(text.split()) > 1.3 * WORDS or text.count("\n") > 7 else "easy"
    opening = f'{_head(section.title)}<div class="{kind}">{as_html(text)}</div>'
    return [opening + _notes("\n\n".join(told)), *formulas, *section.slides]


def _last(text: str, words: int = 30) -> str:
    """The last sentence before an equation, or two short ones."""
    sentences = cut(text, 10**6)[0].split("\n\n")
    both = " ".join(sentences[-2:])
    return both if len(both.split()) <= words else sentences[-1]


def _fits(shown: list[str], block: str) -> bool:
    return len(" ".join([*shown, block]).split()) <= 2 * WORDS and block.count("\n") <= 8


def deck(notebook, known: Mapping[str, str], reveal: str, mathjax: str) -> str:
    """A chapter's deck as a page.

    Args:
        notebook: a page of the book, executed.
        known: headings by label.
        reveal: where reveal.js lies, as seen from the page.
        mathjax: the same for MathJax's file.
    """
    parts = sections(notebook, known)
    columns = [(anchor(part.title), slides(part)) for part in parts]
    if columns and columns[0][1]:
        first = columns[0][1]
        first[0] = first[0].replace("<h2>", "<h1>", 1).replace("</h2>", "</h1>", 1)
    stacks = [
        f'<section id="{name}">{column[0]}</section>\n'
        + "".join(f"<section>{one}</section>\n" for one in column[1:])
        for name, column in columns
        if column
    ]
    inner = "\n".join(f"<section>\n{stack}</section>" for stack in stacks)
    title = html.escape(parts[0].title) if parts else "Slides"
    return PAGE.format(title=title, slides=inner, reveal=reveal, mathjax=mathjax)


def anchor(title: str) -> str:
    """A section's name in addresses, the same in a deck and in the book: DECK.html#/NAME."""
    from docutils.nodes import make_id

    return make_id(re.sub(r"[`*]", "", title))


def write(notebooks: list[Path], out: Path, known: Mapping[str, str], mathjax: str) -> list[Path]:
    """Decks of executed notebooks in a folder, with reveal.js beside them and a list of all.

    Args:
        mathjax: MathJax's file as seen from the folder, or an address.
    """
    import nbformat

    local = drawing.vendored([REVEAL])
    if local:
        with tarfile.open(drawing.tarball(REVEAL)) as tar:
            for member in tar:
                member.name = member.name.removeprefix("package/")
                if member.name in TAKEN:
                    tar.extract(member, out / "reveal", filter="data")
    style = store.data_path("course", "slides.css")
    store.write_atomic(out / style.name, style.read_bytes())
    made, lines = [], []
    for path in sorted(notebooks, key=lambda path: (path.stem[0].isdigit(), path.stem)):
        notebook = nbformat.read(path, as_version=4)
        page = deck(notebook, known, "reveal" if local else CDN, mathjax)
        made.append(store.write_atomic(out / f"{path.stem}.html", page))
        title = re.search(r"<title>(.*?)</title>", page)[1]
        number = re.match(r"(\d+)_", path.stem)
        called = f"Chapter {int(number[1])}: {title}" if number else title
        lines.append(f'<li><a href="{path.stem}.html">{called}</a></li>')
    index = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Slides</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<body style="font: 1.1em/1.7 system-ui, sans-serif; max-width: 40em; margin: 3em auto">'
        "<h1>Slides</h1><p>A deck a chapter. Arrow keys move, S opens the speaker’s notes, "
        f"O the overview, ? says the rest.</p><ul>{''.join(lines)}</ul>"
        '<p><a href="../index.html">The course</a></p>'
    )
    return [*made, store.write_atomic(out / "index.html", index)]
