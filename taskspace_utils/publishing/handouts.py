"""Handouts: the course's pages as files that open alone, print well and lead where they point.

A page of `book/course/` is written for the book. Outside of it a `{ref}` becomes a link to another
handout or into the packed book, and the name of a file of the archive becomes a link to that file.
One sheet is made here: pairs without a star, for a class to judge, and its key for the lecturer.
"""

from __future__ import annotations

import html
import random
import re
from collections.abc import Mapping
from pathlib import Path

from taskspace_utils import store
from taskspace_utils.publishing.chapters import chapters
from taskspace_utils.publishing.plain_myst import LABEL, as_html, plain, titles

START = "overview"  # the page of the book that is the archive's start page
LINKED = ("book", "handouts", "slides", "tables")  # a browser shows what lies in these folders
NAMED = re.compile(
    rf"^(?P<fence>`{{3,}}).*?^(?P=fence)|`(?P<path>(?:{'|'.join(LINKED)})/[^`\s]*)`",
    re.MULTILINE | re.DOTALL,
)
RULES = {  # tasks whose rules a class finds without being told, and the rules in plain words
    "agreement_pp": "the verb goes with the first noun, its subject, not with the noun beside it",
    "binding_pp": "*himself* and *herself* go with the first noun, not with the noun beside them",
    "npi_any_simple": "*any* wants a *no* before it, and *some* shuns one",
}
PAIRS = 4  # of each: ten minutes for two students
CSS = """body { font: 16px/1.5 system-ui, sans-serif; max-width: 54em; margin: auto; padding: 1em }
h1, h2, h3 { line-height: 1.2 } table { border-collapse: collapse; width: 100%; margin: 0 0 1em }
td, th { border: 1px solid #767676; padding: .4em .6em; text-align: left; vertical-align: top }
blockquote { border-left: .2em solid #767676; margin-left: 0; padding-left: 1em }
code { overflow-wrap: anywhere; font-size: .85em } pre { overflow-x: auto } a { color: #0b5394 }
@media (prefers-color-scheme: dark) { :root { color-scheme: dark } a { color: #8ab4f8 } }
@media print {
  body { margin: 0; max-width: none; padding: 0; font-size: 10.5pt; line-height: 1.3 }
  td, th { padding: .15em .4em; font-size: 9pt }
  nav { display: none } a { color: inherit; text-decoration: none }
  h1, h2, h3 { break-after: avoid } tr, blockquote { break-inside: avoid }
  .sheet { break-before: page }
}"""


def write(root: Path, part: Path) -> None:
    """The course's pages as handouts, the start page, and the keys in `instructor/`.

    Args:
        root: the project.
        part: the folder of the course.
    """
    known = titles([*chapters(root), *sorted((root / "book").rglob("*.md"))])
    where = addresses(root)
    made = dict(zip(("handouts/be_the_model", "instructor/be_the_model"), rules_sheet()))
    for path in sorted((root / "book/course").glob("*.md")):
        made[f"handouts/{path.stem}"] = path.read_text(encoding="utf-8")
    for path in sorted((root / "data/course/instructor").glob("*.md")):
        made[f"instructor/{path.stem}"] = path.read_text(encoding="utf-8")
    start = made.pop(f"handouts/{START}")
    links = ["- [The slides](slides/index.html)", "- [The book](book/index.html)"]
    for name, text in made.items():
        store.write_atomic(part / f"{name}.html", page(linked(text, known, where, "../"), "../"))
        if name.startswith("handouts/"):
            links.append(f"- [{_title(text)}]({name}.html)")
    text = "\n".join([linked(start, known, where), "", "## Open", "", *links, ""])
    store.write_atomic(part / "index.html", page(text))


def addresses(root: Path) -> dict[str, str]:
    """Where each label of the book is to be found in the archive, from its top."""
    found: dict[str, str] = {}
    for path in [*chapters(root), *sorted((root / "book").rglob("*.md"))]:
        place = path.relative_to(root).with_suffix(".html").as_posix()
        for label in LABEL.findall(path.read_text(encoding="utf-8")):
            found[label] = f"book/{place}#{label}"
            if path.parent.name == "course":
                found[label] = f"handouts/{path.stem}.html"
            if path.stem == START:
                found[label] = "index.html"
    return found


def linked(text: str, known: Mapping[str, str], where: Mapping[str, str], up: str = "") -> str:
    """A page of the book as Markdown whose links hold in the archive.

    Args:
        text: MyST.
        known: headings by label.
        where: addresses by label.
        up: the way from the page to the archive's top.
    """

    def link(found: re.Match) -> str:
        return f"[{found[0]}]({up}{found['path']})" if found["path"] else found[0]

    text = plain(text, known, links={label: up + address for label, address in where.items()})
    return NAMED.sub(link, text)


def _title(text: str) -> str:
    return re.search(r"^# (.+)$", text, re.MULTILINE)[1]


def page(text: str, up: str = "") -> str:
    """Plain Markdown as a page; a sheet has a line for a name, and in print paper of its own."""
    title, body = html.escape(_title(text)), as_html(text)
    sheet = r'<h2 class="sheet">\1</h2>\n<p>Name, date:</p>'
    body = re.sub(r"<h2>(Sheet .*)</h2>", sheet, body)
    back = f'<nav><a href="{up}index.html">The course</a></nav>\n' if up else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{CSS}</style></head><body>\n{back}<main>\n{body}</main>"
        "</body></html>\n"
    )


def rules_sheet(seed: int = 0) -> tuple[str, str]:
    """Pairs of three tasks of our language with good and bad in any order; and the answers.

    Returns:
        the sheet and its key, as Markdown.
    """
    from taskspace_utils.grammar import load_grammar

    grammar, draw = load_grammar(), random.Random(seed)
    sheet = ["# Be the model", "", "In each line one sentence is good English, and one is not."]
    sheet += ["Tick the good one.", "Then write what decides, in one line for each part."]
    key = ["# Be the model: the answers", "", "Pairs are numbered as on the sheet."]
    for part, (task, rule) in enumerate(RULES.items(), start=1):
        sheet += ["", f"## Part {part}", "", "| | A | B |", "|---|---|---|"]
        right, sides = [], draw.sample([0, 1] * (PAIRS // 2), PAIRS)  # half of the good ones left
        for number, row in grammar.pairs(PAIRS, seed, [task]).reset_index(drop=True).iterrows():
            both, first = (row["good"], row["bad"]), sides[number]
            sheet.append(f"| {number + 1} | {both[first]} | {both[1 - first]} |")
            right.append(f"{number + 1} {'AB'[first]}")
        sheet += ["", "What decides:"]
        key += ["", f"**Part {part}** (`{task}`): {', '.join(right)}.", f"The rule: {rule}."]
    return "\n".join([*sheet, ""]), "\n".join([*key, ""])
