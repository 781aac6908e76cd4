"""Labs: notebooks of exercises that check themselves, with predictions first and a file of scores.

Their exercises are those of the chapters, with the same checks; `data/course/labs.yml` says which.
Each stands alone: an exercise that needs a variable of its chapter is an error, not a puzzle.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from taskspace_utils import store
from taskspace_utils.publishing import editions
from taskspace_utils.publishing.chapters import chapters
from taskspace_utils.publishing.plain_myst import plain, titles
from taskspace_utils.store import InputError
from taskspace_utils.yaml_files import read_yaml

MINUTES = re.compile(r"^\*\([^)\n]*?(\d+) minutes", re.MULTILINE)
HOW = """Work from the top. Write your predictions first: they are kept with the time, and count
whether they are right or wrong. Then fill in the functions, and run the cell below each: it says
how far you came, and names a likely mistake. The last cell writes your scores."""


class Lab(NamedTuple):
    """A lab as `data/course/labs.yml` has it: questions by name, and names of exercises."""

    name: str
    title: str
    predictions: Mapping[str, str]
    exercises: tuple[str, ...]


def known_exercises(root: Path | None = None) -> dict[str, tuple[Path, editions.Coded]]:
    """Every coded exercise of the book by its name, with its chapter's text."""
    return {one.name: (path, one) for path in chapters(root) for one in editions.coded(path)}


def labs(root: Path | None = None) -> list[Lab]:
    """The labs, and last a notebook of all other coded exercises, if there are any.

    Raises:
        InputError: a lab names an exercise that no chapter has.
    """
    path = (root or store.project_root()) / "data/course/labs.yml"
    there, found = known_exercises(root), []
    for name, about in read_yaml(path, dict).items():
        for exercise in about["exercises"]:
            if exercise not in there:
                raise InputError(f"{path}: {name} wants {exercise!r}; there are {', '.join(there)}")
        found.append(Lab(name, about["title"], about["predictions"], tuple(about["exercises"])))
    used = {exercise for lab in found for exercise in lab.exercises}
    if others := tuple(name for name in there if name not in used):
        asks = {"hardest": "Which of these will need most tries, and why?"}
        found.append(Lab("more", "More exercises", asks, others))
    return found


def minutes(lab: Lab, root: Path | None = None) -> int:
    """How long the lab's exercises say they take."""
    there = known_exercises(root)
    return sum(int(MINUTES.search(there[name][1].statement)[1]) for name in lab.exercises)


def notebook(lab: Lab, solved: bool = False, root: Path | None = None):
    """A lab as a notebook.

    Args:
        lab: one of `labs`.
        solved: with solutions, and predictions that say so: for instructors and for tests.
        root: the project.
    """
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    there = known_exercises(root)
    known = titles(chapters(root))
    asked = "\n".join(f"- `{name}`: {text.strip()}" for name, text in lab.predictions.items())
    answer = "written by the instructor" if solved else ""
    written = "".join(f"    {name}={answer!r},\n".replace("'", '"') for name in lab.predictions)
    cells = [
        new_markdown_cell(f"# {lab.title}\n\n{HOW}"),
        new_code_cell(_imports(lab, there)),
        new_markdown_cell(f"## Predictions, before anything is run\n\n{asked}"),
        new_code_cell(f'write_down(\n    "predictions-{lab.name}.json",\n{written})'),
    ]
    for name in lab.exercises:
        path, one = there[name]
        above = f"*From `{path.stem}`: what is said to stand above, stands there.*"
        cells += [
            new_markdown_cell(f"## {one.title}\n\n{plain(one.statement, known)}\n\n{above}"),
            new_code_cell(one.solved if solved else one.stub),
            new_code_cell(one.check),
        ]
    cells += [
        new_markdown_cell(f"## Hand in\n\n`scores-{lab.name}.json`, which the next cell writes, "
                          f"`predictions-{lab.name}.json`, and one sentence: which hint helped, or "
                          "which was missing?"),
        new_code_cell(f'exercises.write_scores("scores-{lab.name}.json", {list(lab.exercises)!r})'),
    ]  # fmt: skip
    for place, cell in enumerate(cells, start=1):
        cell.id = f"cell-{place}"  # drawn at random otherwise
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


def _imports(lab: Lab, there: Mapping[str, tuple[Path, editions.Coded]]) -> str:
    """The first cell: what the exercises' code and checks use, imported as their chapters do.

    Raises:
        InputError: an exercise uses a name that is neither its own nor imported in its chapter.
    """
    lines = {
        "from taskspace_utils import exercises": None,
        "from taskspace_utils.exercises.predictions import write_down": None,
    }
    for name in lab.exercises:
        path, one = there[name]
        ours = {"exercises", *vars(builtins)} | _given(one.solved)
        imported = _chapter_imports(path)
        for missing in sorted(_used(one.solved) | _used(one.check)):
            if missing not in ours:
                if missing not in imported:
                    raise InputError(
                        f"{path.name}: the exercise {name!r} uses {missing!r}, which only its "
                        "chapter has: give it to the function as an argument"
                    )
                lines[imported[missing]] = None
    return "\n".join(sorted(lines))


def _chapter_imports(path: Path) -> dict[str, str]:
    """The import statement of each name that a chapter imports at the top of a cell."""
    from jupytext.myst import myst_to_notebook

    found = {}
    for cell in myst_to_notebook(path.read_text(encoding="utf-8")).cells:
        for node in _parsed(cell.source) if cell.cell_type == "code" else ():
            if isinstance(node, ast.Import | ast.ImportFrom):
                for alias in node.names:
                    one = type(node)(**{**vars(node), "names": [alias]})
                    found[(alias.asname or alias.name).split(".")[0]] = ast.unparse(one)
    return found


def _parsed(source: str) -> Iterable[ast.stmt]:
    return ast.parse(re.sub(r"^[%!].*$", "", source, flags=re.MULTILINE)).body


def _used(source: str) -> set[str]:
    names = (n for s in _parsed(source) for n in ast.walk(s) if isinstance(n, ast.Name))
    return {n.id for n in names if isinstance(n.ctx, ast.Load)}


def _given(source: str) -> set[str]:
    """Names that code defines itself: functions, arguments, assignments, imports."""
    found = set()
    for node in (n for statement in _parsed(source) for n in ast.walk(statement)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, ast.alias):
            found.add((node.asname or node.name).split(".")[0])
    return found
