"""Pages that are filled when they are drawn: run times, minutes to read, claims, the API.

A Sphinx extension. Where a page of `book/` says `@name`, or `@name(words)`, it gets text that is
made here from what was measured (`run_times.csv`, which `book` writes), from chapters, from
`data/` or from docstrings. A number can so be on a page without being typed. It runs inside
Jupyter Book's process; only that draws the API, and only the API imports torch.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import json
import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import yaml
from jupytext.myst import myst_to_notebook

from taskspace_utils import store
from taskspace_utils.claims import ledger
from taskspace_utils.publishing import glossary, prose
from taskspace_utils.publishing.chapters import chapters, read_chapter
from taskspace_utils.tables import reference_run

TIMES = "run_times.csv"  # beside the pages, as the book that is being drawn measured it


# ---------------------------------------------------------------------------------------- run times


def run_times(executed: Iterable[Path]) -> pd.DataFrame:
    """What papermill measured while it ran chapters.

    Args:
        executed: notebooks with papermill's metadata.

    Returns:
        chapter, profile, seconds of the whole (with the start of its kernel), cells, and the
        seconds of the slowest cell; a row a chapter.
    """
    rows = []
    order = {path.stem: place for place, path in enumerate(chapters())}
    for path in sorted(executed, key=lambda path: order.get(path.stem, len(order))):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        papermill = notebook["metadata"]["papermill"]
        cells = [c for c in notebook["cells"] if c["cell_type"] == "code"]
        seconds = [c["metadata"].get("papermill", {}).get("duration") or 0.0 for c in cells]
        profile = papermill["parameters"].get("profile", "")
        rows.append(
            (path.stem, profile, papermill["duration"], len(cells), max(seconds, default=0.0))
        )
    columns = ["chapter", "profile", "seconds", "cells", "slowest_cell"]
    return pd.DataFrame(rows, columns=columns).round({"seconds": 1, "slowest_cell": 1})


def _run_times(folder: Path) -> str:
    """The table of run times beside the pages; where none was measured, how to get one."""
    path = folder / "book" / TIMES
    if not path.is_file():
        return "*These pages were drawn without running a chapter: `make book` runs and measures.*"
    table = pd.read_csv(path)
    titles = {p.stem: _chapter(p)[1] for p in chapters()}
    lines = ["| chapter | profile | seconds | slowest cell, s | cells |", "|---|---|--:|--:|--:|"]
    for row in table.itertuples():
        name = titles.get(row.chapter, row.chapter)
        lines.append(
            f"| {name} | {row.profile} | {row.seconds:.0f} | {row.slowest_cell:.1f} | {row.cells} |"
        )
    lines.append(f"| *all, if one ran after the other* | | {table['seconds'].sum():.0f} | | |")
    return "\n".join(lines) + f"\n\nThe same as a file: {{download}}`{TIMES}`."


def _reference_times(folder: Path) -> str:
    """What the shipped runs cost, from their manifests."""
    lines = ["| run | made with profile | device | threads | minutes |", "|---|---|---|--:|--:|"]
    for path in sorted(store.data_path("reference").glob("*/manifest.json")):
        made = reference_run(path.parent.name).manifest
        if "seconds" in made:
            lines.append(
                f"| `{path.parent.name}` | {made.get('profile', '')} | {made.get('device', '')} | "
                f"{made.get('threads', '')} | {made['seconds'] / 60:.1f} |"
            )
    return "\n".join(lines)


# ------------------------------------------------------------------------------- chapters, as texts


@functools.cache
def _chapter(path: Path) -> tuple[str, str]:
    """A chapter's name in a sentence, such as *chapter 5*, and a link to it that has its title."""
    text = path.read_text(encoding="utf-8")
    title = re.search(r"(?m)^# (.+)$", text)[1]
    label = re.search(r"(?m)^\(([\w-]+)\)=\n# ", text)
    number = f"{int(path.stem[:2])}. " if path.stem[:2].isdigit() else ""
    target = label[1] if label else ""
    return target, f"{{ref}}`{number}{title} <{target}>`" if label else f"{number}{title}"


def minutes(what: str, root: Path | None = None) -> int:
    """Minutes to read parts of the book, as `prose` counts them, without the exercises.

    Args:
        what: blank-separated: `05` a chapter, `05:ends` how it opens and closes, `intro` a page of
            `book/`, `warmup_grammar`, and `chapters` for all.
    """
    root = root or store.project_root()
    known = {_short(path): path for path in chapters(root)}
    total = 0.0
    for word in what.split():
        name, _, part = word.partition(":")
        for one in known if name == "chapters" else [name]:
            text = known.get(one, root / "book" / f"{one}.md").read_text(encoding="utf-8")
            if part == "ends":
                total += sum(_exactly(section) for section in _ends(text))
            else:
                total += _exactly(text)
    return round(total)


def _said(path: Path) -> str:
    return f"chapter {int(_short(path))}" if _short(path).isdigit() else "the warm-up"


def _short(path: Path) -> str:
    """05 for `05_ftgd.md`; what has no number, by its whole name."""
    return path.stem[:2] if path.stem[:2].isdigit() else path.stem


def _ends(text: str) -> list[str]:
    """What stands before a chapter's first section, and its section *What we saw*."""
    text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.S)
    opening, *sections = re.split(r"(?m)^## ", text)
    return [opening, *(s for s in sections if s.startswith("What we saw"))]


def _exactly(text: str) -> float:
    """Minutes, not rounded as for a chapter's opening box."""
    measured = prose.measure(myst_to_notebook(text))
    return measured.words / prose.PACE + measured.lines * prose.LINE / 60


def _reading_times(folder: Path) -> str:
    lines = ["| chapter | minutes to read | and for its exercises |", "|---|--:|--:|"]
    for path in chapters():
        practice = prose.measure(read_chapter(path)).practice
        lines.append(f"| {_chapter(path)[1]} | {minutes(_short(path))} | {practice or '–'} |")
    lines.append(f"| *all* | {minutes('chapters')} | |")
    return "\n".join(lines)


# --------------------------------------------------------------------------------- claims, citation


def _claims(folder: Path) -> str:
    """The ledger, claim by claim, as it was decided before the run that it judges."""
    lines = ["| claim | in the words we know | the number | rule | smallest effect |"]
    lines.append("|---|---|---|---|---|")
    for claim in ledger():
        said = " ".join(claim.words.split()).replace("|", "\\|")
        lines.append(
            f"| {claim.id} | {claim.statement} | {said} | {claim.rule} | "
            f"{claim.smallest:.2g} {claim.unit} |"
        )
    return "\n".join(lines)


def _citation(folder: Path) -> str:
    """Both entries of CITATION.cff as BibTeX."""
    cff = yaml.safe_load((store.project_root() / "CITATION.cff").read_text(encoding="utf-8"))
    paper = cff["preferred-citation"]
    names = " and ".join(f"{a['family-names']}, {a['given-names']}" for a in paper["authors"])
    entries = {
        "inproceedings{weber2024": (paper["title"], names, paper["year"],
                                    "booktitle", paper["collection-title"]),
        "software{taskspaces": (cff["title"], f"{{{cff['authors'][0]['name']}}}", "2026",
                                "version", cff["version"]),
    }  # fmt: skip
    lines = ["```bibtex"]
    for kind, (title, author, year, key, value) in entries.items():
        lines += [f"@{kind},", f"  title = {{{title}}},", f"  author = {{{author}}},"]
        lines += [f"  {key} = {{{value}}},", f"  year = {{{year}}}", "}"]
    return "\n".join([*lines, "```"])


def _changelog(folder: Path) -> str:
    text = (store.project_root() / "CHANGELOG.md").read_text(encoding="utf-8")
    return text.split("\n", 1)[1]


# ------------------------------------------------------------------------------------------ the API


def public_names() -> dict[str, list[str]]:
    """The names of the flat public API by the room that they live in, in the rooms' order."""
    import taskspace_utils

    return {room: list(names) for room, names in taskspace_utils._HOME.items()}


def _api(folder: Path) -> str:
    """A section a room: what the room is for, then autodoc of each public name."""
    parts = []
    for room, names in public_names().items():
        said = inspect.getdoc(importlib.import_module(f"taskspace_utils.{room}"))
        said = EQUATIONS.sub(
            lambda m: re.sub(r"(\d+)\.(\d+)", r"{eq}`eq-\1-\2`", m[0]), said.split("\n\n")[0]
        )
        parts.append(f"(room-{room})=\n## `{room}`\n\n{said}\n")
        for name in names:
            full = f"taskspace_utils.{room}.{name}"
            found = getattr(importlib.import_module(f"taskspace_utils.{room}"), name)
            kind = "autoclass" if inspect.isclass(found) else "autofunction"
            more = "   :members:\n" if kind == "autoclass" else ""
            parts.append(f"```{{eval-rst}}\n.. {kind}:: {full}\n{more}```\n")
    return "\n".join(parts)


@functools.cache
def uses() -> dict[str, list[Path]]:
    """The chapters whose code uses a public name, by that name, in order."""
    homes = {name: room for room, names in public_names().items() for name in names}
    found: dict[str, list[Path]] = {}
    for path in chapters():
        cells = [c.source for c in read_chapter(path).cells if c.cell_type == "code"]
        seen = set()
        for node in ast.walk(ast.parse("\n".join(cells))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                "taskspace_utils"
            ):
                seen |= {alias.name for alias in node.names}
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                seen |= {node.attr} if homes.get(node.attr) == node.value.id else set()
        for name in seen & set(homes):
            found.setdefault(name, []).append(path)
    return found


EQUATIONS = re.compile(r"\bequations?\s+\d+\.\d+(?:(?:,| and| to)\s+\d+\.\d+)*")


def equations(text: str) -> list[str]:
    """The numbers of the equations that a docstring names, such as 5.4 and 5.6."""
    return [n for match in EQUATIONS.findall(text) for n in re.findall(r"\d+\.\d+", match)]


def as_rst(text: str) -> str:
    """A docstring of ours as reStructuredText: code, signs that have a meaning there, equations."""
    pieces = re.split(r"(`[^`]+`)", text)
    for i, piece in enumerate(pieces):
        if i % 2:
            pieces[i] = f"`{piece}`"
            continue
        piece = re.sub(r"([*|\\]|(?<=\w)_(?!\w))", r"\\\1", piece)
        pieces[i] = EQUATIONS.sub(lambda m: re.sub(r"(\d+)\.(\d+)", r":eq:`eq-\1-\2`", m[0]), piece)
    return "".join(pieces)


def _docstring(app, what, name, obj, options, lines: list[str]) -> None:
    """A docstring before it is drawn: as reStructuredText, and with the chapters it belongs to."""
    said = "\n".join(lines)
    lines[:] = as_rst(said).split("\n")
    used = uses().get(name.rpartition(".")[2], []) if name.count(".") == 2 else []
    numbers = {n.split(".")[0].zfill(2) for n in equations(said)}
    derived = [path for path in chapters() if _short(path) in numbers]
    for word, paths in (("Derived in", derived), ("Used in", used)):
        links = [
            f":ref:`{_said(path)} <{_chapter(path)[0]}>`" for path in paths if _chapter(path)[0]
        ]
        if links:
            lines += ["", f"*{word}* {', '.join(links)}."]


# ----------------------------------------------------------------------------------- launch buttons

BRANCH = "notebooks"  # where scripts/publish.py puts notebooks; buttons lead there


def with_launch_buttons(config: dict) -> dict:
    """Jupyter Book's configuration with launch buttons, where the repository's address is set.

    Binder takes any git address; Colab opens GitHub's alone. Without an address nothing changes.
    """
    address = (config.get("repository") or {}).get("url", "").strip().rstrip("/")
    if not address:
        return config
    buttons = {"notebook_interface": "jupyterlab", "binderhub_url": "https://mybinder.org"}
    if re.match(r"https://github\.com/[^/]+/[^/]+$", address):
        buttons["colab_url"] = "https://colab.research.google.com"
    html = {**config["html"], "use_repository_button": True}
    repository = {**config["repository"], "url": address, "branch": BRANCH}
    return {**config, "html": html, "repository": repository, "launch_buttons": buttons}


# ------------------------------------------------------------------------------- a Sphinx extension

MADE = {
    "run-times": _run_times, "reference-times": _reference_times, "reading-times": _reading_times,
    "claims": _claims, "citation": _citation, "changelog": _changelog, "api": _api,
}  # fmt: skip


def filled(text: str, folder: Path) -> str:
    """A page with what its marks stand for: `@name` alone on a line, `@minutes(…)` anywhere."""
    text = re.sub(r"@minutes\(([^)]*)\)", lambda m: f"{minutes(m[1])}\u00a0min", text)
    return re.sub(r"(?m)^@([a-z-]+)$", lambda m: MADE[m[1]](folder) if m[1] in MADE else m[0], text)


def setup(app) -> dict:
    """Fill pages and link first uses before they are parsed, docstrings before they are drawn."""

    def read(app, page: str, source: list[str]) -> None:
        if page.startswith("book/"):
            source[0] = filled(source[0], Path(app.srcdir))
        elif page.startswith("notebooks/"):
            source[0] = glossary.linked_page(source[0])

    app.setup_extension("sphinx.ext.autodoc")
    app.setup_extension("sphinx.ext.napoleon")
    app.connect("source-read", read)
    app.connect("autodoc-process-docstring", _docstring, priority=400)  # before napoleon, at 500
    return {"parallel_read_safe": True}
