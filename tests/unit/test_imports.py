"""Rooms import only rooms named before them; what needs no torch imports none."""

from __future__ import annotations

import ast
import graphlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import taskspace_utils
from taskspace_utils.store import METHOD_ROOMS

PACKAGE = Path(taskspace_utils.__file__).parent
ORDER = [
    "store",
    "tables",
    "records",
    "progress",
    "cluster",
    "jobs",
    *METHOD_ROOMS,
    "pseudo",
    "opening",
    "legibility",
    "controls",
    "families",
    "partial",
    "blocks",
    "sample_size",
    "placement",
    "maps",
    "flags",
    "ladder",
    "equal_gain",
    "measured",
    "estimands",
    "claims",
    "cells",
    "profiles",
    "context",
    "trainings",
    "preflight",
    "assembly",
    "runs",
    "probes",
    "studies",
    "comparison",
    "likeness",
    "figures",
    "dark",
    "explore",
    "exercises",
    "publishing",
    "inventory",
    "commands",
    "cli",
]
# The rooms of a part of the house, each after those that it imports.
PUBLISHING = [
    "redraw",
    "prose",
    "passports",
    "chapters",
    "comparison_text",
    "beside",
    "sayings",
    "sheet",
    "report",
    "editions",
    "glossary",
    "pages",
    "drawing",
    "book",
    "epub",
    "plain_myst",
    "slides",
    "labs",
    "gradebook",
    "lesson_plans",
    "handouts",
    "course",
    "commands",
]


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def names_imported(path: Path) -> set[tuple[str, ...]]:
    """What a file imports of the package, as (room, name, …), however it is written."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            inside = ["taskspace_utils", *path.relative_to(PACKAGE).parts[:-1]]
            base = inside[: len(inside) + 1 - node.level] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found |= {module, *(f"{module}.{a.name}" for a in node.names)}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in ("import_module", "__import__"):
                found |= {a.value for a in node.args if isinstance(a, ast.Constant)}
    parts = [name.split(".") for name in found]
    return {tuple(p[1:]) for p in parts if p[0] == "taskspace_utils" and len(p) > 1}


def imported(path: Path) -> set[str]:
    """Rooms that a file imports, at its top or inside functions."""
    return {name[0] for name in names_imported(path)} - {"__version__"}


def imported_of(part: str, path: Path) -> set[str]:
    """Names that a file imports from a part of the house."""
    return {name[1] for name in names_imported(path) if name[0] == part and len(name) > 1}


FILES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_a_room_imports_only_rooms_named_before_it(path):
    room = room_of(path)
    assert room in ORDER, f"{room} is no room of the house: the blueprint lists them"
    allowed = {*ORDER[: ORDER.index(room)], room} - ({room} if path.parent == PACKAGE else set())
    assert imported(path) <= allowed


def test_rooms_of_publishing_import_only_those_named_before_them():
    found = {path.stem: path for path in (PACKAGE / "publishing").glob("[a-z]*.py")}
    assert sorted(found) == sorted(PUBLISHING)
    for place, room in enumerate(PUBLISHING):
        assert imported_of("publishing", found[room]) <= set(PUBLISHING[:place]), room


def test_studies_stand_in_some_order():
    paths = (PACKAGE / "studies").glob("[a-z]*.py")
    graph = {path.stem: imported_of("studies", path) for path in paths}
    assert set(graphlib.TopologicalSorter(graph).static_order()) == set(graph)  # no circle


def test_the_reader_of_imports_sees_them_all(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    path = tmp_path / "figures" / "one.py"
    path.parent.mkdir()
    path.write_text(
        "import taskspace_utils.publishing.book\nfrom taskspace_utils import cli, runs as r\n"
        "def f():\n    from taskspace_utils.ftgd import tune\n    from ..models import x\n"
        "    from . import two\n    from .. import store\n"
        "    import_module('taskspace_utils.spaces')\n"
    )
    rooms = {"publishing", "cli", "runs", "ftgd", "models", "figures", "store", "spaces"}
    assert imported(path) == rooms
    assert imported_of("publishing", path) == {"book"}
    assert imported_of("figures", path) == {"two"}
    assert imported_of("ftgd", path) == {"tune"}


def test_the_method_rooms_come_before_rooms_whose_code_is_in_no_result():
    first = ORDER.index(METHOD_ROOMS[0])
    assert ORDER[first : first + len(METHOD_ROOMS)] == METHOD_ROOMS


def test_the_public_names_are_there_and_load_when_used():
    for name in taskspace_utils.__all__:
        if name != "spaces":
            assert getattr(taskspace_utils, name).__module__.startswith("taskspace_utils.")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = taskspace_utils.nothing


HEAVY = {"torch", "transformers"}
STATEMENTS = {
    "the package": "import taskspace_utils",
    "the command line": "import taskspace_utils.cli",
    "its help": "from taskspace_utils.cli import main; main(['--help'])",
    "a wrong profile": "from taskspace_utils.cli import main; main(['sweep', '--profile', 'no'])",
    "checking pairs": "from taskspace_utils.cli import main; main(['check-pairs', {pairs!r}])",
    "making pairs": (
        "from taskspace_utils.cli import main; "
        "main(['generate', '--pairs-per-task', '4', '--tasks', 'agreement_simple', "
        "'--out', {out!r}])"
    ),
    "a chapter's parameters": (
        "from taskspace_utils.publishing import chapters; "
        "[chapters.chapter_parameters(p) for p in chapters.chapters()]"
    ),
    "a profile": "from taskspace_utils.runs import load_profile; load_profile('laptop')",
    "the rooms above": (
        "from taskspace_utils import runs; from taskspace_utils.publishing import book, chapters"
    ),
}


def test_no_torch_is_imported_before_it_is_needed(tmp_path):
    pairs = tmp_path / "pairs.csv"
    rows = [f"t,g{i},b{i}" for i in range(4)]
    pairs.write_text("\n".join(["UID,sentence_good,sentence_bad", *rows]) + "\n")
    code = "import sys\n"
    for what, statement in STATEMENTS.items():
        statement = statement.format(pairs=str(pairs), out=str(tmp_path / "out.jsonl"))
        code += f"try:\n    {statement}\nexcept SystemExit: pass\n"
        code += f"found = {HEAVY!r} & set(sys.modules)\nassert not found, ({what!r}, found)\n"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.jsonl").is_file()


# ------------------------------------------------------------------------- what must be installed

OTHERWISE_NAMED = {"yaml": "pyyaml", "sklearn": "scikit-learn", "bs4": "beautifulsoup4",
                   "markdown_it": "markdown-it-py"}  # fmt: skip
BROUGHT = {"cycler": "matplotlib", "huggingface_hub": "transformers", "IPython": "ipykernel",
           "nbformat": "papermill", "mdit_py_plugins": "jupytext", "docutils": "jupyter-book",
           "sphinx_external_toc": "jupyter-book"}  # fmt: skip


def packages(path: Path) -> set[str]:
    """Packages of others that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module)
    tops = {name.partition(".")[0] for name in names}
    return tops - set(sys.stdlib_module_names) - {"taskspace_utils"}


def test_what_is_imported_is_declared_and_a_probe_needs_no_more_than_its_own():
    """The wheel's test sees this environment's packages, so it would miss an undeclared one."""
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]

    def named(*lists: list[str]) -> set[str]:
        return {re.split(r"[<>=\[; ]", line)[0] for some in lists for line in some}

    core = named(project["dependencies"])
    may = {"publishing": core | named(extras["report"], extras["book"]),
           "explore": core | named(extras["book"]), "exercises": core | named(extras["book"]),
           "cluster": core | named(extras["cluster"])}  # fmt: skip
    lacking = {}
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).with_suffix("").parts[0]
        needs = {OTHERWISE_NAMED.get(name, BROUGHT.get(name, name)) for name in packages(path)}
        if rest := needs - may.get(room, core):
            lacking[path.relative_to(PACKAGE).as_posix()] = rest
    assert not lacking
