"""The glossary: where a chapter first uses one of its words, the page links there.

Links are made when pages are drawn, so chapters stay plain text, and a word that is new in the
glossary is linked everywhere at once. Words that plain English uses too are left alone, for a link
on the wrong one would mislead: a chapter that means them writes `{term}` itself.
"""

from __future__ import annotations

import functools
import json
import re

from taskspace_utils import store

# as a verb, or in another sense, more often than as the term
PLAIN = {"energy", "family", "frame", "harm", "interval", "island", "overlap", "parameter", "run",
         "scale", "seed", "selection", "source and target", "step", "store", "task", "transfer",
         "hypothesis", "asymmetry", "agreement"}  # fmt: skip
# what is no running text: code, directives' fences and options, headings, tables, labels, formulas
APART = re.compile(
    r"(^(?P<fence>`{3,}|:{3,})(?!\{(?:prf:|admonition)).*?^(?P=fence)[ \t]*$|^\$\$.*?^\$\$[^\n]*$"
    r"|^(?:#|\||:\w|\(|```|:::|<|>|---)[^\n]*$)",
    re.MULTILINE | re.DOTALL,
)
INSIDE = re.compile(r"(\{[\w:-]+\}`[^`]*`|`+[^`]+`+|\$[^$]+\$|!?\[[^\]]*\]\([^)]*\)|<[^>]+>)")
TERM = re.compile(r"\{term\}`(?:[^`<]*<)?([^`<>]+)>?`")


@functools.cache
def terms() -> tuple[str, ...]:
    """The words of `book/glossary.md`, longest first."""
    text = (store.project_root() / "book" / "glossary.md").read_text(encoding="utf-8")
    found = []
    for block in re.findall(r"^```\{glossary\}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        found += re.findall(r"^(?!:)(\S.*)$", block, re.MULTILINE)
    return tuple(sorted(found, key=len, reverse=True))


def linked(text: str, seen: set[str]) -> str:
    """Markdown whose first use of each term, singular or plural, is a link to the glossary.

    Args:
        seen: terms that were linked before; those that are linked now are added.
    """
    seen |= {name.strip() for name in TERM.findall(text)}
    pieces, end = [], 0
    for apart in APART.finditer(text):
        pieces += [_linked(text[end : apart.start()], seen), apart[0]]
        end = apart.end()
    return "".join([*pieces, _linked(text[end:], seen)])


def _pattern(term: str) -> re.Pattern:
    return re.compile(rf"(?<![\w-]){re.escape(term)}s?(?![\w-])", re.IGNORECASE)


def _linked(text: str, seen: set[str]) -> str:
    """The same of text that has neither code blocks nor headings."""
    for term in terms():
        if term in seen or term in PLAIN:
            continue
        longer = [other for other in terms() if term in other and other != term]
        inside = re.compile("|".join(map(re.escape, longer)) or r"(?!)", re.IGNORECASE)
        parts = INSIDE.split(text)
        for i in range(0, len(parts), 2):
            covered = {place for m in inside.finditer(parts[i]) for place in range(*m.span())}
            places = (m for m in _pattern(term).finditer(parts[i]) if m.start() not in covered)
            if found := next(places, None):
                said = found[0].replace("\n", " ")
                role = f"{{term}}`{said}`" if said == term else f"{{term}}`{said} <{term}>`"
                parts[i] = parts[i][: found.start()] + role + parts[i][found.end() :]
                text = "".join(parts)
                seen.add(term)
                break
    return text


def linked_page(source: str) -> str:
    """The source of a chapter's page, Markdown or an executed notebook, with such links."""
    seen: set[str] = set()
    if not source.lstrip().startswith("{"):
        head = re.match(r"\A---\n.*?\n---\n", source, re.DOTALL)
        start = head.end() if head else 0
        return source[:start] + linked(source[start:], seen)
    notebook = json.loads(source)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            text = cell["source"]
            cell["source"] = linked("".join(text) if isinstance(text, list) else text, seen)
    return json.dumps(notebook)
