"""What a chapter takes from the package is there: a name that moved is missed before a book is."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import types
from pathlib import Path

import pytest

from taskspace_utils.publishing import chapters


def missing(source: str) -> list[str]:
    """Names of the package that code imports, or asks an imported room for, and that aren't there.

    A local name that hides a room hides its attributes from this, too.
    """
    tree, rooms, found = ast.parse(source), {}, []
    for node in ast.walk(tree):
        if not (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("taskspace_")):
            continue
        home = importlib.import_module(node.module)
        for alias in node.names:
            name, there = f"{node.module}.{alias.name}", getattr(home, alias.name, None)
            if there is None and hasattr(home, "__path__") and importlib.util.find_spec(name):
                there = importlib.import_module(name)
            if there is None:
                found.append(name)
            elif isinstance(there, types.ModuleType):
                rooms[alias.asname or alias.name] = there
    stored = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and type(n.ctx) is ast.Store}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            room = rooms.get(node.value.id)
            if room and node.value.id not in stored and not hasattr(room, node.attr):
                found.append(f"{room.__name__}.{node.attr}")
    return found


@pytest.mark.parametrize("path", chapters.chapters(), ids=lambda path: path.stem)
def test_what_a_chapter_takes_from_the_package_is_there(path: Path):
    cells = [c.source for c in chapters.read_chapter(path).cells if c.cell_type == "code"]
    assert missing("\n".join(cells)) == []


def test_what_is_gone_is_named():
    source = "from taskspace_utils import runs, spaces as s, no_such\nruns.gone(s.square, s.cube)"
    assert missing(source) == [
        "taskspace_utils.no_such", "taskspace_utils.runs.gone", "taskspace_utils.spaces.cube"
    ]  # fmt: skip
    assert missing("from taskspace_utils.pairs import COLUMNS, nothing") == [
        "taskspace_utils.pairs.nothing"
    ]
