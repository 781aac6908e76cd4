"""Doubts: a task's nearest neighbours, and which of several rival explanations each withstands."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping

import numpy as np
import pandas as pd

from taskspace_utils import figures, spaces
from taskspace_utils.explore.atlas import pixels
from taskspace_utils.explore.doubts_page import LIVE, SCRIPT, STYLE
from taskspace_utils.explore.frame import frame
from taskspace_utils.explore.markup import Html
from taskspace_utils.store import InputError

LEVEL = 0.95  # on paper, and at first


def above(
    space: pd.DataFrame, rivals: pd.DataFrame, strata: pd.DataFrame | None = None
) -> pd.DataFrame:
    """For each two tasks, the share of other, rival pairs of tasks that are less similar.

    Args:
        space: symmetric similarities.
        rivals: True where two tasks are to be exceeded; the same tasks, in any order.
        strata: a pair is compared only with rivals that have its own value here.

    Returns:
        a space of shares; NaN where a similarity is missing, or has no rivals, and on the diagonal.
    """
    names, places = space.index, np.triu_indices(len(space), 1)
    values, is_rival, stratum = (
        np.zeros(len(places[0])) if some is None else some.loc[names, names].to_numpy()[places]
        for some in (space, rivals, strata)
    )
    mine, shares = is_rival.astype(bool), np.full(len(values), np.nan)
    for one in np.unique(stratum):
        inside = (stratum == one) & np.isfinite(values)
        rivals_here = np.sort(values[inside & mine])
        others = len(rivals_here) - mine[inside]  # a rival is no rival of itself
        below = np.searchsorted(rivals_here, values[inside])
        shares[inside] = np.where(others > 0, below / np.maximum(others, 1), np.nan)
    full = np.full(space.shape, np.nan)
    full[places] = full.T[places] = shares
    return pd.DataFrame(full, names, names)


def neighbourhood(
    space: pd.DataFrame,
    doubts: Mapping[str, pd.DataFrame],
    task: str,
    n: int = 6,
    level: float = LEVEL,
) -> pd.DataFrame:
    """The nearest tasks of one, and whether they withstand doubts.

    Args:
        space: symmetric similarities.
        doubts: shares such as `above` gives, by the doubt's name.
        level: the share that has to be reached.

    Returns:
        A row a task, the nearest first: cosine, the share of each doubt, and verdict: "falls" where
        a share is below the level, else "can't be told" where one is missing, else "stands".
    """
    near = space.loc[task].drop(task).dropna()
    near = near.sort_values(ascending=False, kind="stable").head(n).rename_axis("task")
    shares = {name: one.loc[task, near.index] for name, one in doubts.items()}
    shares = pd.DataFrame(shares, index=near.index, dtype=float)
    falls, unknown = (shares < level - 1e-9).any(axis=1), shares.isna().any(axis=1)
    shares.insert(0, "cosine", near)
    return shares.assign(verdict=np.select([falls, unknown], ["falls", "can't be told"], "stands"))


def doubt(
    space: pd.DataFrame,
    doubts: Mapping[str, pd.DataFrame],
    labels: pd.DataFrame,
    planted: pd.DataFrame | None = None,
    n: int = 6,
) -> Html:
    """Choose a task and raise doubts: which of its nearest neighbours withstand them?

    Verdicts are those of `neighbourhood`.

    Args:
        space: symmetric similarities; its tasks are shown.
        doubts: shares such as `above` gives, by the doubt's name.
        labels: one row a task: task, phenomenon.
        planted: how each two tasks are related by what is known of them; shown when asked for.
        n: how many neighbours.

    Raises:
        InputError: there is no doubt, or a task without a label or without a row in a doubt.
    """
    if not doubts:
        raise InputError("no doubt to raise: name at least one")
    held = {"`labels`": labels["task"]} | {f"doubt {k!r}": one.index for k, one in doubts.items()}
    for where, there in held.items():
        if missing := sorted(set(space.index) - set(there)):
            raise InputError(f"{where} has no row for {', '.join(missing)}")
    table = by_phenomenon(labels, space)
    names = list(table["task"])
    space = space.loc[names, names]
    doubts = {name: one.loc[names, names] for name, one in doubts.items()}
    data = {
        "tasks": [figures.readable(task) for task in names],
        "phenomena": [figures.readable(name) for name in table["phenomenon"]],
        "cosines": [None if np.isnan(v) else float(f"{v:.5g}") for v in spaces.cells(space)],
        "doubts": [[name, _percent(spaces.cells(one))] for name, one in doubts.items()],
        "n": n,
        "level": round(100 * LEVEL),
    }
    if planted is not None:
        found, kinds = pd.factorize(spaces.cells(planted.loc[names, names]), sort=True)
        data["planted"] = [[str(kind) for kind in kinds], found.tolist()]
    return frame(data, LIVE, _still(space, doubts), SCRIPT, STYLE)


def by_phenomenon(labels: pd.DataFrame, space: pd.DataFrame) -> pd.DataFrame:
    """The rows of `labels` for the tasks of a space, in the order in which they are shown."""
    some = labels[labels["task"].isin(space.index)].reset_index(drop=True)
    return some.sort_values(["phenomenon", "task"])


def _percent(shares: np.ndarray) -> list[int | None]:
    """Rounded down, so that what reaches a whole percentage still does, and nothing else."""
    return [None if np.isnan(share) else int(100 * share + 1e-6) for share in shares]


def _still(space: pd.DataFrame, doubts: Mapping[str, pd.DataFrame]) -> str:
    """Whether each task's nearest neighbour withstands: a strip a doubt, a mark a task."""
    first = pd.concat([neighbourhood(space, doubts, task, 1) for task in space.index])
    held = {name: np.sign(first[name] - LEVEL + 1e-9) for name in doubts}
    held["all of them"] = first["verdict"].map({"stands": 1.0, "falls": -1.0})
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{_strip(marks)}</td>"
        f"<td>{(marks > 0).sum()} of {marks.count()}</td></tr>"
        for name, marks in held.items()
    )
    return (
        f"<p>Does each task's nearest neighbour exceed {100 * LEVEL:.0f} % of its rivals? A mark a "
        "task, phenomena side by side; red: it does, blue: it does not, grey: it can't be told.</p>"
        f"<table><thead><tr><th>doubt</th><td></td><th>withstand</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def _strip(marks: pd.Series) -> str:
    picture = base64.b64encode(pixels(0.7 * marks.to_frame().T, 1.0, 6)).decode()
    said = f"{(marks > 0).sum()} red, {(marks < 0).sum()} blue, {marks.isna().sum()} grey marks"
    size = f'width="{6 * len(marks)}" height="14"'
    return f'<img src="data:image/png;base64,{picture}" {size} alt="{said}" />'
