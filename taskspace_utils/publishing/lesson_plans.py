"""Lesson plans: their minutes, read from the pages of the course, against what was measured.

A plan is a table under a heading that says how long the class is; its last column says what is run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from taskspace_utils import store

SHARE = 3  # of a row's minutes, what it runs may take a third: the rest is for people


class Row(NamedTuple):
    """A row of a lesson plan: its class, its minutes, and the chapters and labs that it runs."""

    plan: str
    session: str
    total: int
    minutes: int
    runs: tuple[str, ...]


def plans(root: Path | None = None) -> list[Row]:
    """All rows of the lesson plans in `book/course/`: tables under headings that give minutes."""
    rows = []
    for path in sorted(((root or store.project_root()) / "book" / "course").glob("*.md")):
        session, total, last = "", 0, False
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("#"):
                heading = re.search(r"^#+ (.+?) \((\d+) minutes\)$", line)
                session, total = (heading[1], int(heading[2])) if heading else ("", 0)
            elif session and line.startswith("| minutes |"):
                last = line.rstrip(" |").endswith("| runs")
            elif session and (row := re.match(r"\| (\d+) \|", line)):
                cell = line.rstrip(" |").split("|")[-1] if last else ""
                runs = tuple(re.findall(r"(?:chapter|lab) \d+", cell))
                rows.append(Row(path.stem, session, total, int(row[1]), runs))
    return rows


def measured(out: Path, root: Path | None = None) -> pd.DataFrame:
    """Seconds of chapters: as shipped, and as the book in this folder measured, if it did.

    Returns:
        chapter, profile, seconds.
    """
    paths = [(root or store.project_root()) / "data/course/run_times.csv", out / "run_times.csv"]
    some = [pd.read_csv(path) for path in paths if path.is_file()]
    return pd.concat(some, ignore_index=True)[["chapter", "profile", "seconds"]]


def too_long(rows: Iterable[Row], times: pd.DataFrame) -> list[str]:
    """Where a plan gives a chapter less than three times what it was measured to run."""
    slowest = times.assign(number=times["chapter"].str[:2]).groupby("number")["seconds"].max()
    found = []
    for row in rows:
        numbers = [name.split()[1] for name in row.runs if name.startswith("chapter")]
        seconds = sum(float(slowest.get(number, 0.0)) for number in numbers)
        if seconds * SHARE > row.minutes * 60:
            found.append(
                f"{row.plan}, {row.session}: {row.minutes} minutes for {', '.join(row.runs)}, "
                f"which ran {seconds / 60:.1f}"
            )
    return found
