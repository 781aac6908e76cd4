"""A hypothesis of one's own: put tasks into groups, and see what the groups explain at once."""

from __future__ import annotations

import html
import math

import numpy as np
import pandas as pd

from taskspace_utils import families, figures, hypotheses, spaces
from taskspace_utils.explore.frame import frame
from taskspace_utils.explore.groups_page import LIVE, SCRIPT, STYLE
from taskspace_utils.explore.markup import Html
from taskspace_utils.store import InputError

NONE = ""  # the label of a task that is like no other


def grouping(
    space: pd.DataFrame,
    words: pd.DataFrame,
    groups: pd.Series,
    family: pd.Series,
    permutations: int = 999,
) -> pd.Series:
    """What a grouping of tasks explains of a space (chapter 9, equation 9.2, with two columns).

    Args:
        space: symmetric similarities, without gaps.
        words: their lexical difference, over the same tasks.
        groups: the group of each task, indexed by task; "" is like no other.
        family: of each task.

    Returns:
        within, between, difference (means of cells); slope (of the groups beside `words`, in
        standard deviations); p (of the same on means over pairs of families, families permuted);
        n_within, n_families. NaN where there is nothing to compare.
    """
    names = space.index
    table = pd.DataFrame({"task": names, "group": groups.reindex(names).to_numpy()})
    same = hypotheses.same_label(table, "group").loc[names, names]
    x, y, w = (spaces.cells(one) for one in (same, space, words.loc[names, names]))
    within = y[x > 0].mean() if x.any() else np.nan
    between = y[x == 0].mean() if not x.all() else np.nan
    slope = np.nan
    if 0 < x.sum() < len(x) and not _contained(x, w):
        cells = pd.DataFrame({"space": y, "same": x, "words": w})
        slope = families.slopes(cells, ["same", "words"])["same"]
    means = [families.by_family(one, family) for one in (space, same, words.loc[names, names])]
    return pd.Series(
        {"within": within, "between": between, "difference": within - between, "slope": slope,
         "p": _p(*means, permutations), "n_within": int(x.sum()), "n_families": len(means[0])}
    )  # fmt: skip


def _contained(x: np.ndarray, w: np.ndarray) -> bool:
    """Whether one of two columns says all that the other does."""
    return np.ptp(w) > 1e-12 and abs(np.corrcoef(x, w)[0, 1]) > 1 - 1e-9


def _p(space: pd.DataFrame, same: pd.DataFrame, words: pd.DataFrame, permutations: int) -> float:
    x, w = spaces.cells(same), spaces.cells(words)
    if len(space) < 5 or np.ptp(x) < 1e-12 or np.ptp(spaces.cells(space)) < 1e-12:
        return np.nan
    if _contained(x, w):
        return np.nan
    named = {"same": same} | ({"words": words} if np.ptp(w) > 1e-12 else {})
    return float(hypotheses.regress(space, named, permutations)["p"].iloc[0])


def hypothesis(
    space: pd.DataFrame,
    words: pd.DataFrame,
    labels: pd.DataFrame,
    start: tuple[str, ...] = ("phenomenon",),
    permutations: int = 999,
) -> Html:
    """Groups to start from and to change task by task; means, slope and p are those of `grouping`.

    Args:
        space: symmetric similarities; tasks with gaps are left out, those with the most first.
        words: `lexical_space` of the same tasks.
        labels: one row a task: task, phenomenon, family, and the columns of `start`.
        start: columns to begin with, the first of them at first.
        permutations: of families, for each p.

    Raises:
        InputError: `labels` lacks a column, or fewer than three tasks have values in both spaces.
    """
    if missing := {"task", "phenomenon", "family", *start} - set(labels):
        raise InputError(f"`labels` has no column {', '.join(sorted(missing))}")
    table = labels.set_index("task").sort_values("phenomenon", kind="stable").fillna(NONE)
    known = families.common(space, words)
    table = table[table.index.isin(known)]
    if len(table) < 3:
        raise InputError(f"{len(table)} tasks have values in both spaces; three can be grouped")
    names = table.index
    space, words = space.loc[names, names], words.loc[names, names]
    presets = {column: table[column].astype(str) for column in start}
    data = {
        "tasks": [figures.readable(task) for task in names],
        "phenomena": [figures.readable(name) for name in table["phenomenon"]],
        "families": pd.factorize(table["family"])[0].tolist(),
        "space": _figures(spaces.cells(space)),
        "words": _figures(spaces.cells(words)),
        "presets": {figures.readable(name): _numbered(some) for name, some in presets.items()},
        "permutations": permutations,
    }
    rows = {
        name: grouping(space, words, some, table["family"], permutations)
        for name, some in presets.items()
    }
    return frame(data, LIVE, _still(rows), SCRIPT, STYLE)


def _figures(values: np.ndarray) -> list[float]:
    return [float(f"{value:.6g}") for value in values]


def _numbered(labels: pd.Series) -> list[int]:
    """Groups as 1, 2, …; 0 for a task that is like no other."""
    found = pd.factorize(labels.where(labels != NONE))[0] + 1
    return found.tolist()


def _still(rows: dict[str, pd.Series]) -> str:
    head = ("groups", "within", "between", "difference", "slope beside words", "p (families)")
    body = "".join(
        f"<tr><th>{html.escape(figures.readable(name))}</th>"
        + "".join(f"<td>{_said(row[key])}</td>"
                  for key in ("within", "between", "difference", "slope", "p"))
        + "</tr>"
        for name, row in rows.items()
    )  # fmt: skip
    titles = "".join(f"<th>{title}</th>" for title in head)
    return (
        "<p>What groupings explain of the space. (With JavaScript you can make your own here.)</p>"
        f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"
    )


def _said(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.3f}".replace("-", "−")
