"""Editions: from one solved chapter to a notebook for students and one for their teacher.

A chapter's coded exercise is a cell tagged `exercise`, whose lines between `# SOLUTION` and `# END`
a student writes, and a cell that calls `exercises.check`. The student's edition has a stub in their
place and no solutions; the instructor's has everything open, and under each check its stages and
the wrong answers that they are there for. Nothing is run here.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import NamedTuple

from taskspace_utils import exercises
from taskspace_utils.publishing.chapters import find_chapter
from taskspace_utils.store import InputError

HIDING = {"hide-input", "hide-output", "hide-cell"}
# a directive from its first fence to the fence that closes it, of backticks or colons
DIRECTIVE = r"^(?P<fence>[`:]{{3,}})\{{{name}\}} *(?P<title>[^\n]*)\n(?P<body>.*?)^(?P=fence) *\n?"


class Coded(NamedTuple):
    """A coded exercise as a chapter has it.

    Attributes:
        name: as `exercises.check` knows it.
        title: of its `{exercise}` directive.
        statement: the directive's text, its first line with stars and minutes included.
        solved: the code cell with its solution.
        stub: the same with the solution taken out.
        check: the cell that checks.
    """

    name: str
    title: str
    statement: str
    solved: str
    stub: str
    check: str


def _notebook(chapter: str | Path):
    from jupytext.myst import myst_to_notebook

    path = chapter if isinstance(chapter, Path) else find_chapter(chapter)
    return path, myst_to_notebook(path.read_text(encoding="utf-8"))


def directives(text: str, name: str) -> list[re.Match]:
    """All directives of a name in Markdown, such as `exercise` or `solution`."""
    return list(re.finditer(DIRECTIVE.format(name=name), text, re.MULTILINE | re.DOTALL))


def stub(source: str, where: str = "the cell") -> str:
    """Code with each solution replaced by a line that says that it is still to be written.

    Raises:
        InputError: there is no solution in it, or one that isn't closed.
    """
    lines, kept, inside = source.splitlines(), [], False
    for line in lines:
        word = line.strip()
        if word not in ("# SOLUTION", "# END"):
            kept += [] if inside else [line]
        elif (word == "# END") != inside:
            raise InputError(f"{where}: `{word}` stands alone; write `# SOLUTION` … `# END`")
        else:
            if not inside:
                function = next((k for k in reversed(kept) if k.startswith("def ")), "def it(")
                name = function.removeprefix("def ").split("(")[0]
                space = line[: len(line) - len(line.lstrip())]
                kept.append(f'{space}raise NotImplementedError("write the body of {name}")')
            inside = not inside
    if inside or len(kept) == len(lines):
        raise InputError(f"{where}: an exercise holds one `# SOLUTION` … `# END` or more")
    return "\n".join(kept)


def coded(chapter: str | Path) -> list[Coded]:
    """The coded exercises of a chapter, in its order.

    Raises:
        InputError: a cell tagged `exercise` has no solution to take out, no `{exercise}` above it,
            or no cell under it that checks.
    """
    path, notebook = _notebook(chapter)
    found, statement = [], None
    for cell, after in zip(notebook.cells, [*notebook.cells[1:], None]):
        if cell.cell_type == "markdown":
            statement = (directives(cell.source, "exercise") or [statement])[-1]
        elif "exercise" in cell.metadata.get("tags", []):
            where = f"{path.name}, the exercise that begins `{cell.source.splitlines()[0]}`"
            asked = re.search(r'exercises\.check\(\s*"([^"]+)"', after.source if after else "")
            if not asked or statement is None:
                raise InputError(f"{where}: an {{exercise}} comes before it, and its check after")
            text = re.sub(r"^:\w+:.*\n", "", statement["body"], flags=re.MULTILINE).strip()
            solved, empty = cell.source, stub(cell.source, where)
            found.append(Coded(asked[1], statement["title"], text, solved, empty, after.source))
    return found


def student(chapter: str | Path):
    """A chapter as a notebook without solutions: stubs where students write, nothing folded.

    Args:
        chapter: number, name or path of the chapter's text.
    """
    path, notebook = _notebook(chapter)
    unwritten: set[str] = set()
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for solution in directives(cell.source, "solution"):
                cell.source = cell.source.replace(solution[0], "")
            cell.source = re.sub(r"\n{3,}", "\n\n", cell.source).strip()
        elif "exercise" in cell.metadata.get("tags", []):
            unwritten |= _made(cell.source)
            cell.source = stub(cell.source, path.name)
        elif unwritten & _used(cell.source) and "exercises.check(" not in cell.source:
            # Jupyter's "run all" goes on behind such a cell, and behind those that need its results
            cell.metadata["tags"] = [*cell.metadata.get("tags", []), "raises-exception"]
            unwritten |= _made(cell.source)
        _open(cell)
    notebook.cells = [c for c in notebook.cells if c.source]
    return notebook


def instructor(chapter: str | Path):
    """A chapter as a notebook with all solutions open, and what each check looks for."""
    _, notebook = _notebook(chapter)
    cells = []
    for cell in notebook.cells:
        cells.append(_open(cell))
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"^:class: dropdown\n", "", cell.source, flags=re.MULTILINE)
        elif asked := re.search(r'exercises\.check\(\s*"([^"]+)"', cell.source):
            cells.append(_behind(asked[1]))
    notebook.cells = cells
    return notebook


def _made(source: str) -> set[str]:
    """Names of the functions and values that code leaves behind."""
    names = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {n.id for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name)}
    return names


def _used(source: str) -> set[str]:
    nodes = ast.walk(ast.parse(source))
    return {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def _open(cell):
    """The cell with nothing folded."""
    if tags := cell.metadata.pop("tags", None):
        kept = [tag for tag in tags if tag not in HIDING]
        cell.metadata |= {"tags": kept} if kept else {}
    for name in ("code_prompt_show", "code_prompt_hide"):
        cell.metadata.get("mystnb", {}).pop(name, None)
    if not cell.metadata.get("mystnb", True):
        del cell.metadata["mystnb"]
    return cell


def _behind(name: str):
    """A cell for the instructor: the stages of an exercise, and its known wrong answers."""
    import inspect
    import textwrap

    from nbformat.v4 import new_markdown_cell

    lines = [f"**What `{name}` looks at**, in this order:", ""]
    lines += [f"{n}. {looks_at}" for n, looks_at in enumerate(exercises.stages(name), start=1)]
    for wrong in exercises.mistakes(name):
        hint = exercises.trial(name, wrong.answer).hint
        code = textwrap.dedent(inspect.getsource(wrong.answer))
        code = "\n".join(c for c in code.splitlines() if not c.startswith("@"))
        lines += ["", f"*Likely mistake*: {wrong.says}", "", "```python", code, "```", ""]
        lines += [f"> {hint}"]
    return new_markdown_cell("\n".join(lines), id=f"behind-{name}")
