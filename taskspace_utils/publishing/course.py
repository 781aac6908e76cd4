"""A course in a box: editions, labs, slides, handouts, tables and the book, packed into archives.

`make course` draws the book if it has to; this puts beside it `course/` and three archives: all of
it for lecturers, the same without `instructor/` for students, and the book alone. Everything is
made of the chapters, the pages in `book/course/` and shipped tables.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

import pandas as pd

from taskspace_utils import store
from taskspace_utils.publishing import drawing, editions, handouts, labs, slides
from taskspace_utils.publishing.chapters import chapters
from taskspace_utils.publishing.lesson_plans import measured, plans, too_long
from taskspace_utils.publishing.plain_myst import titles

ARCHIVES = {  # name: which of the course's folders it leaves out, or the one that it is of
    "task-spaces-course.zip": (),
    "task-spaces-for-students.zip": ("instructor",),
}
BOOK = "task-spaces-book.zip"
PROJECT = [  # what `make env`, `make book` and a wheel need, and who may use it
    *("taskspace_utils/**/*.py", "taskspace_utils/**/*.md", "data/**/*", "notebooks/*.md"),
    *("book/**/*", "scripts/**/*"),
    *("Makefile", "pyproject.toml", "setup.py", "MANIFEST.in"),
    *("requirements.txt", "environment.yml", "jupytext.toml"),
    *("_config.yml", "_toc.yml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff"),
    *("LICENSE", "LICENSE-text"),
]
KEYS = ("instructor", "templates")  # of data/course: what only lecturers get
REFERENCE = "blimp-8M"
SMALL = ("binding", "determiner_noun_agreement", "filler_gap_dependency", "npi_licensing")


def build(index: Path, root: Path | None = None) -> Path:
    """Pack the course beside a built book; return the archive's path.

    Args:
        index: what `book.build` returned; `course/` and the archives go beside the book's folder.
        root: the project.

    Raises:
        InputError: a lab names an exercise that isn't there, or one that can't stand alone.
    """
    root = (root or store.project_root()).resolve()
    pages, out = index.parent, index.parent.parent
    part, course = out / "course.part", out / "course"
    shutil.rmtree(part, ignore_errors=True)
    store.say("packing the course")
    shutil.copytree(pages, part / "book", ignore=shutil.ignore_patterns(".key"))
    known = titles([*chapters(root), *sorted((root / "book").rglob("*.md"))])
    mathjax = _mathjax(part / "book")
    executed = sorted((pages / "_sources" / "notebooks").glob("*.ipynb"))
    slides.write(executed, part / "slides", known, mathjax)
    _editions(root, part)
    _labs(root, part)
    handouts.write(root, part)
    store.write_atomic(part / "handouts" / "tasks.csv", _labels().to_csv(index=False))
    tables(part / "tables")
    for path in _files(root, PROJECT):
        if any(path.is_relative_to(root / "data/course" / name) for name in KEYS):
            continue
        store.write_atomic(part / "project" / path.relative_to(root), path.read_bytes())
    shutil.rmtree(course, ignore_errors=True)
    os.replace(part, course)
    for late in too_long(plans(root), measured(out, root)):
        store.say(f"  {late}")
    _pack(course / "book", out / BOOK, "task-spaces-book")
    for name, left_out in ARCHIVES.items():
        made = _pack(course, out / name, name.removesuffix(".zip"), left_out)
        store.say(f"{made} ({made.stat().st_size / 2**20:.0f} MB)")
    return out / next(iter(ARCHIVES))


def _files(root: Path, patterns: Iterable[str]) -> list[Path]:
    hidden = ("*/__pycache__/*", "*/.*")
    found = {path for pattern in patterns for path in root.glob(pattern) if path.is_file()}
    return sorted(p for p in found if not any(fnmatch(p.as_posix(), h) for h in hidden))


def _mathjax(pages: Path) -> str:
    """MathJax as slides reach it: the book's own, or where the book gets it from."""
    if (pages / "_static" / slides.MATHJAX).is_file():
        return f"../book/_static/{slides.MATHJAX}"
    version = next(name for name in drawing.VENDORED if name.startswith("mathjax@"))
    return f"https://cdn.jsdelivr.net/npm/{version}/{slides.MATHJAX}"


def _write(notebook, path: Path) -> None:
    import nbformat

    store.write_atomic(path, nbformat.writes(notebook))


def _editions(root: Path, part: Path) -> None:
    for path in chapters(root):
        _write(editions.student(path), part / "student" / f"{path.stem}.ipynb")
        _write(editions.instructor(path), part / "instructor" / "chapters" / f"{path.stem}.ipynb")


def _labs(root: Path, part: Path) -> None:
    for lab in labs.labs(root):
        _write(labs.notebook(lab, root=root), part / "assignments" / f"{lab.name}.ipynb")
        solved = labs.notebook(lab, solved=True, root=root)
        _write(solved, part / "instructor" / "assignments" / f"{lab.name}.ipynb")


# ------------------------------------------------------------------------------------------- tables


def _labels() -> pd.DataFrame:
    from taskspace_utils.tables import read_table

    labels = read_table(store.data_path("hypotheses", "blimp.csv"))
    return labels[["task", "phenomenon", "family", "reason"]]


def tables(folder: Path) -> None:
    """Shipped spaces as squares that a spreadsheet opens; `small_` ones fit a printed page."""
    from taskspace_utils import spaces
    from taskspace_utils.hypotheses import lexical_space
    from taskspace_utils.tables import read_table, reference_run

    run, labels = reference_run(REFERENCE), _labels()
    squares = {"lexical_diff": lexical_space(run.table("lexical"))}
    for step, some in run.table("gradient").groupby("step"):
        for column, name in {"cosine": "cosine", "cosine_corrected": "corrected"}.items():
            squares[f"{name}_step_{step}"] = spaces.symmetric(spaces.square(some, column))
    squares["transfer"] = spaces.transfer(run.table("transfer"))
    last = run.table("gradient")["step"].max()
    few = labels[labels["phenomenon"].isin(SMALL)].groupby("phenomenon").head(4)["task"]
    for name, square in squares.items():
        for kind, tasks in {"": labels["task"], "small_": few}.items():
            text = square.loc[tasks, tasks].round(3).to_csv(index_label="task")
            store.write_atomic(folder / f"{kind}{name}.csv", text)
    columns = ["task", "reliability", "bag_accuracy"]
    known, scored = (run.table(n)[run.table(n)["step"] == last] for n in ("tasks", "accuracy"))
    facts = labels.drop(columns="reason").merge(known[columns])
    facts = facts.merge(scored[["task", "accuracy"]])
    store.write_atomic(folder / "tasks.csv", facts.round(3).to_csv(index=False))
    examples = read_table(store.data_path("course", "examples.csv"))
    some = examples[examples["task"].isin(set(few))]  # without their phenomena: a class sorts them
    store.write_atomic(folder / "small_tasks.csv", some.to_csv(index=False))


# ------------------------------------------------------------------------------------------ packing


def _pack(folder: Path, target: Path, name: str, left_out: Iterable[str] = ()) -> Path:
    """A zip of a folder under another name; the same files give the same bytes."""
    made = target.with_suffix(".part")
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            inside = path.relative_to(folder)
            if inside.parts[0] not in left_out:
                entry = zipfile.ZipInfo(f"{name}/{inside.as_posix()}")  # of 1980
                entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                archive.writestr(entry, path.read_bytes())
    os.replace(made, target)
    return target
