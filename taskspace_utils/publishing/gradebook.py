"""What students handed in, as one table: a row a file of scores, with the share of stages passed.

A file of scores says what a notebook said on the student's machine, and can be edited there. What
can't be true is named in the table; for the rest, run a few notebooks again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from taskspace_utils import exercises
from taskspace_utils.publishing import labs
from taskspace_utils.store import InputError

SCORES = re.compile(r"scores-([a-z]+(?:_\d+)?)")
COLUMNS = ["student", "lab", "passed", "of", "share", "predicted", "unfinished", "trouble"]


def collected(folder: str | Path, root: Path | None = None) -> pd.DataFrame:
    """A table of all files `…scores-LAB….json` in a folder and in the folders inside of it.

    Args:
        folder: where they lie: a folder for each student, or one for all with names in file names.
        root: the project, whose labs they are of.

    Returns:
        student (the file's folder, or what its name says beside the lab), lab, passed and of
        (stages, over all exercises of the lab), share, predicted (when predictions were written
        down, UTC, if their file lies beside), unfinished (exercises with passed/of), trouble (what
        can't be true, or can't be read; such a file has no share).

    Raises:
        InputError: there is no such folder, or no file of scores in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: name the one in which the files of scores lie")
    known = {lab.name: lab.exercises for lab in labs.labs(root)}
    files = sorted(p for p in folder.rglob("*.json") if SCORES.search(p.name) and p.is_file())
    if not files:
        raise InputError(f"{folder}: no file in it is called like scores-lab_1.json")
    return pd.DataFrame([_row(path, folder, known) for path in files], columns=COLUMNS)


def _row(path: Path, folder: Path, known: Mapping[str, tuple[str, ...]]) -> dict:
    lab = SCORES.search(path.name)[1]
    inside = path.parent.relative_to(folder).as_posix()
    rest = re.sub(rf"scores-{lab}|\.json$", "", path.name).strip(" -_.")
    row = {"student": inside if inside != "." else rest or "?", "lab": lab}
    row["predicted"] = _when(path.with_name(path.name.replace("scores-", "predictions-")))
    try:
        scores = json.loads(path.read_text(encoding="utf-8"))
        counts = {name: (one["passed"], one["of"]) for name, one in scores.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return row | {"unfinished": "", "trouble": "not a file of scores"}
    trouble = _impossible(counts, known.get(lab, ()))
    if trouble:
        return row | {"unfinished": "", "trouble": trouble}
    passed, of = (sum(numbers) for numbers in zip(*counts.values()))
    open_ones = [f"{name} {done}/{all_}" for name, (done, all_) in counts.items() if done < all_]
    done = {"passed": passed, "of": of, "share": round(passed / of, 3)}
    return row | done | {"unfinished": ", ".join(open_ones), "trouble": ""}


def _impossible(counts: Mapping[str, tuple], wanted: tuple[str, ...]) -> str:
    if not wanted or set(counts) != set(wanted):
        return f"not the exercises of this lab, which are {', '.join(wanted) or 'unknown'}"
    for name, (done, of) in counts.items():
        whole = type(of) is int and type(done) is int  # True and 1.0 are no counts of stages
        stages = len(exercises.stages(name))
        if not whole or of != stages or not 0 <= done <= of:
            said = f"{str(done)[:20]} of {str(of)[:20]}"
            return f"{name}: {said} passed, but it has {stages} stages"
    return ""


def _when(path: Path) -> str:
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["written"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""
