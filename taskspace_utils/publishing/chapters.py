"""Chapters: text files that are read, given parameters, and run by papermill.

A chapter is MyST Markdown in `notebooks/`, with one cell tagged `parameters` of annotated
assignments, each with its reason. Parameters are checked before anything runs. The module knows
nothing of models and imports no torch.
"""

from __future__ import annotations

import ast
import difflib
import math
import os
import re
import subprocess
import sys
import tempfile
import tokenize
from collections.abc import Iterable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from taskspace_utils import store
from taskspace_utils.publishing import passports, redraw
from taskspace_utils.store import InputError

WARMUPS = ("warmup_grammar", "warmup_gradients")  # in the order in which they are read
TYPES = {"int": int, "float": float, "str": str, "bool": bool}


class BuildError(RuntimeError):
    """The book could not be built; the message says which chapter, which cell, and why."""


class Parameter(NamedTuple):
    """One line of a chapter's parameters cell: `name: type = default  # reason`."""

    type: str
    default: Any
    reason: str


def chapters(root: Path | None = None) -> list[Path]:
    """The text files of all chapters as they are read: warm-ups, then by number."""
    folder = (root or store.project_root()) / "notebooks"
    first = [path for name in WARMUPS if (path := folder / f"{name}.md").is_file()]
    return first + sorted(folder.glob("[0-9][0-9]_*.md"))


def find_chapter(name: str | int | Path, root: Path | None = None) -> Path:
    """The chapter with this number ("5", "05"), name ("05_ftgd", "ftgd") or path.

    A warm-up has its whole name only: chapter 7 is called gradients too.

    Raises:
        InputError: there is no such chapter; the message lists those there are.
    """
    wanted = Path(str(name)).name.removesuffix(".md")
    known = {path.stem: path for path in chapters(root)}
    for stem, path in known.items():
        number, _, rest = stem.partition("_")
        if wanted == stem or (number.isdigit() and (wanted == rest or wanted.zfill(2) == number)):
            return path
    if not known and not store.in_project():
        raise InputError(
            "the chapters are not part of the installed package: get the project, and run the "
            "same command there"
        )
    there = ", ".join(known)
    raise InputError(f"no chapter {wanted!r}{_did_you_mean(wanted, known)}; there are {there}")


def _did_you_mean(wanted: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(wanted, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


# --------------------------------------------------------------------------------------- parameters


def read_chapter(path: Path):
    """A chapter as a notebook whose code cells know their number and line in the text."""
    from jupytext.myst import myst_to_notebook

    text = path.read_text(encoding="utf-8")
    notebook = myst_to_notebook(text, add_source_map=True)
    lines, number = text.splitlines(), 0
    for cell, fence in zip(notebook.cells, notebook.metadata.pop("source_map"), strict=True):
        if cell.cell_type == "code" and cell.source:
            number += 1
            cell.id = f"cell-{number}"  # jupytext draws ids at random
            first = cell.source.splitlines()[0]
            line = lines.index(first, fence) + 1
            cell.metadata["source"] = {"number": number, "line": line, "first": first.strip()}
    return notebook


def chapter_parameters(path: str | Path) -> dict[str, Parameter]:
    """The parameters of a chapter by name, read from its text; nothing is run.

    Raises:
        InputError: there isn't exactly one parameters cell; a line of it is not
            `name: type = default  # reason`; its type is not one of int, float, str, bool or a
            list or tuple of them; or its default is of another type.
    """
    path = Path(path)
    cells = [c for c in read_chapter(path).cells if "parameters" in c.metadata.get("tags", [])]
    if len(cells) != 1:
        raise InputError(f"{path.name}: {len(cells)} cells are tagged `parameters`, not one")
    source = cells[0].source
    tokens = tokenize.generate_tokens(StringIO(source).readline)
    reasons = {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}
    found = {}
    for node in ast.parse(source).body:
        where = f"{path.name}, line {cells[0].metadata.source['line'] + node.lineno - 1}"
        if not isinstance(node, ast.AnnAssign) or node.value is None:
            raise InputError(f"{where}: write `name: type = default  # reason`")
        name, kind = ast.unparse(node.target), ast.unparse(node.annotation)
        if not reasons.get(node.end_lineno):
            raise InputError(f"{where}: {name} needs a reason: a comment at the end of its line")
        try:
            default = ast.literal_eval(node.value)
            if _convert(default, kind) != default:
                raise ValueError
        except ValueError:
            raise InputError(f"{where}: the default of {name} is not a {kind}") from None
        found[name] = Parameter(kind, default, reasons[node.end_lineno])
    return found


def _convert(value: Any, kind: str) -> Any:
    """A value, or the text of one, as the annotated type; ValueError where it is none."""
    if many := re.fullmatch(r"(list|tuple)\[(\w+)(, \.\.\.)?\]", kind):
        items = [i.strip() for i in value.split(",")] if isinstance(value, str) else value
        if not isinstance(items, list | tuple):
            raise ValueError
        items = [_convert(item, many[2]) for item in items if item != ""]
        return items if many[1] == "list" else tuple(items)
    if isinstance(value, str) and kind in ("int", "float"):
        value = TYPES[kind](value)
    if isinstance(value, str) and kind == "bool":
        value = {"true": True, "false": False}.get(value.lower())
    if kind == "float" and type(value) is int:
        value = float(value)
    if kind not in TYPES or type(value) is not TYPES[kind]:
        raise ValueError
    if kind == "float" and not math.isfinite(value):
        raise ValueError
    return value


def check_parameters(chapter: str | int | Path, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Overrides of a chapter's parameters, with texts from the command line made into values.

    A list or tuple is written with commas: `steps=100,200`.

    Raises:
        InputError: a name is unknown or a value is of another type than the annotation says.
            The message names the chapter and lists its parameters with their reasons.
    """
    path = chapter if isinstance(chapter, Path) else find_chapter(chapter)
    known = chapter_parameters(path)
    lines = [f"  {n}: {p.type} = {p.default!r}  # {p.reason}" for n, p in known.items()]
    listing = "\n".join(["; it has", *lines])
    checked = {}
    for name, value in overrides.items():
        if name not in known:
            close = _did_you_mean(name, known)
            raise InputError(f"{path.stem} has no parameter {name!r}{close}{listing}")
        try:
            checked[name] = _convert(value, known[name].type)
        except ValueError:
            kind = known[name].type
            raise InputError(f"{path.stem}: {name} is a {kind}, not {value!r}{listing}") from None
    return checked


# ---------------------------------------------------------------------------------------- execution


def execute(path: Path, parameters: Mapping[str, Any], root: Path, kept: Path):
    """Run a chapter with papermill, in a kernel of its own with one thread.

    Args:
        path: the chapter's text.
        parameters: checked values; a tuple reaches the chapter as a list.
        root: the folder that the kernel works in.
        kept: where the notebook of a chapter that failed is left to be looked at.

    Returns:
        The notebook with its outputs; `metadata.papermill` has the seconds, and
        `metadata.figures` what `passports.issue` gives.

    Raises:
        BuildError: a cell raised or showed a Python warning; the message names the line of the
            text, the cell and the exception.
    """
    import nbformat

    plain = {n: list(v) if isinstance(v, tuple) else v for n, v in parameters.items()}
    with tempfile.TemporaryDirectory(prefix="taskspaces-") as folder:
        target = Path(folder) / f"{path.stem}.ipynb"
        nbformat.write(read_chapter(path), target)
        done = papermill(target, plain, root, TASKSPACES_FIGURES=f"{folder}/figures")
        notebook = nbformat.read(target, as_version=4)
        cell, problem = first_problem(notebook)
        if not (problem or done.returncode):
            figures = Path(folder, "figures")
            notebook.metadata["figures"] = passports.issue(figures, notebook, path, plain)
    if done.returncode and not problem:  # the kernel died, in the last cell that was begun
        begun = [c for c in notebook.cells if c.metadata.get("papermill", {}).get("start_time")]
        cell = begun[-1] if begun else None
        problem = (done.stderr.strip().splitlines() or ["papermill gave no reason"])[-1]
    if problem:
        copy = store.write_atomic(kept / f"{path.stem}.ipynb", nbformat.writes(notebook))
        source = cell.metadata.get("source") if cell else None
        place = (
            f":{source['line']}, cell {source['number']} (`{source['first']}`)" if source else ""
        )
        raise BuildError(f"notebooks/{path.name}{place}: {problem}\n    as far as it came: {copy}")
    for cell in notebook.cells:  # progress is for whom it passes by
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
    return notebook


def papermill(
    notebook: Path, parameters: Mapping[str, Any], root: Path, **environment: str
) -> subprocess.CompletedProcess:
    """Execute a notebook in place, in a kernel of this environment with one thread."""
    command = [sys.executable, "-m", "papermill", str(notebook), str(notebook)]
    command += ["--parameters_yaml", yaml.safe_dump(dict(parameters)), "--cwd", str(root)]
    command += ["--kernel", "python3", "--language", "python", "--no-progress-bar"]
    # chapters run side by side, so each has one thread
    own = {"JUPYTER_PREFER_ENV_PATH": "1", "OMP_NUM_THREADS": "1"} | environment
    return subprocess.run(
        command, env={**os.environ, **own}, capture_output=True, text=True, check=False
    )


def first_problem(notebook):
    """The first cell that raised or warned, and what it said; (None, "") where none did."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                return cell, f"{output.ename}: {output.evalue}"
            if output.get("name") == "stderr" and re.search(r"\w+Warning: ", output.text):
                return cell, f"a warning, which no page may show: {output.text.strip()}"
    return None, ""


def run_chapter(
    chapter: str | int | Path,
    profile: str = "laptop",
    overrides: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
) -> Path:
    """Run one chapter with a profile's parameters and one's own; return the executed notebook.

    Args:
        chapter: number, name or path; see `find_chapter`.
        profile: the profile whose values are used where `overrides` has none.
        overrides: parameter values, or their texts; see `check_parameters`.
        out: the notebook to write (`.ipynb`) or a folder for it; `_build/chapters/` by default.

    Raises:
        InputError: no such chapter, profile or parameter, or a value of another type.
        BuildError: a cell failed; see `execute`.
    """
    import nbformat

    from taskspace_utils import runs

    path = chapter if isinstance(chapter, Path) else find_chapter(chapter)
    given = {"profile": profile, **runs.load_profile(profile).chapters.get(path.stem, {})}
    parameters = check_parameters(path, {**given, **(overrides or {})})
    build = store.project_root() / "_build"
    target = Path(out) if out else build / "chapters"
    if target.suffix != ".ipynb":
        target = target / f"{path.stem}.ipynb"
    notebook = execute(path, parameters, store.project_root(), build / "failed")
    redraw.write(target.resolve().parent / "figures", notebook.metadata.pop("figures"))
    return store.write_atomic(target.resolve(), nbformat.writes(notebook))
