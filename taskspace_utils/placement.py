"""Placement: what a task's neighbours are worth, against words and against shams (chapter 13).

Two tasks may be alike because their pairs differ in the same words. So a likeness is held against a
line of likeness over `lexical_diff` through unrelated pairs of tasks of the *context*, and its
height above that line is ranked among theirs, and among shams and their partners where the context
has shams. A *nearest* task is the highest of many, so it is also ranked among the highest: those of
each task of the context and its nearest unrelated one. The tasks that are judged never help to draw
the line.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from taskspace_utils.hypotheses import lexical_space
from taskspace_utils.spaces import square
from taskspace_utils.tables import MODEL_KEYS, Run, only

UNRELATED = 20  # fewest pairs of tasks to draw a line through
SHAMS = 5  # fewest shams to be ranked among
RANKS = ("share_below", "above_nearest", "above_shams")


def models_of(run: Run) -> list[dict]:
    """What tells the run's models apart: a dict of keys a model, to be given as `**where`."""
    table = run.table("accuracy")[MODEL_KEYS].drop_duplicates()
    rows = table.to_dict("records")
    return [{k: v for k, v in row.items() if pd.notna(v) and v != ""} for row in rows]


def placed(run: Run, **where) -> pd.DataFrame:
    """Each placed task with each other task, the most alike first.

    Args:
        where: which model, as `models_of` gives it.

    Returns:
        the columns of `placement.csv` from `a` on; phenomenon (of b), own (is b one of the tasks
        that are placed), sham (is b one), lexical_diff, expected (by the line), excess, share_below
        (of unrelated pairs' excess), above_nearest (share of the context's tasks whose highest
        excess with an unrelated task lies below) and above_shams (share of shams' excess below);
        NaN where there is no line, too few shams, or no reliable gradient.
    """
    table = only(run.table("placement"), where)
    facts = only(run.table("tasks"), where).set_index("task")
    words = lexical_space(run.table("lexical"))
    table = table[table["a"] != table["b"]].copy()
    table["phenomenon"] = facts["phenomenon"].reindex(table["b"]).to_numpy()
    table["own"] = table["b"].isin(set(table["a"]))
    table["sham"] = facts["sham_of"].reindex(table["b"]).fillna("").to_numpy() != ""
    table["lexical_diff"] = [words.loc[a, b] for a, b in zip(table["a"], table["b"], strict=True)]
    space = square(only(run.table("gradient"), where), "cosine_corrected")
    around = [task for task in space.index if task not in set(table["a"])]
    line, others_of = _measure(space.loc[around, around], words, facts)
    table["expected"] = np.polyval(line, table["lexical_diff"]) if line is not None else np.nan
    table["excess"] = table["corrected"] - table["expected"]
    for column, others in others_of.items():
        below = np.searchsorted(np.sort(others), table["excess"]) / max(1, len(others))
        table[column] = np.where(table["excess"].notna() & (len(others) > 0), below, np.nan)
    keys = [name for name in MODEL_KEYS if name in table]
    table = table.sort_values(["a", "corrected", "b"], ascending=[True, False, True])
    return table.drop(columns=keys).reset_index(drop=True)


def _measure(space: pd.DataFrame, words: pd.DataFrame, facts: pd.DataFrame):
    """The line through the context's unrelated pairs, and heights above it by what they are of.

    No line, and no heights, where there are too few such pairs, or words tell none of them apart.
    """
    names = space.index
    place = np.triu_indices(len(names), 1)
    a, b = names[place[0]], names[place[1]]
    sham = facts["sham_of"].fillna("").reindex(names)
    real = (sham.loc[a] == "").to_numpy() & (sham.loc[b] == "").to_numpy()
    kind = facts["phenomenon"].reindex(names)
    x, y = words.loc[names, names].to_numpy()[place], space.to_numpy()[place]
    use = real & (kind.loc[a].to_numpy() != kind.loc[b].to_numpy()) & np.isfinite(y)
    nothing = np.empty(0)
    if use.sum() < UNRELATED or np.ptp(x[use]) == 0:
        return None, dict.fromkeys(RANKS, nothing)
    line = np.polyfit(x[use], y[use], 1)
    height = y - np.polyval(line, x)
    both = pd.Series(np.tile(height[use], 2), index=[*a[use], *b[use]])
    partner = ((sham.loc[a].to_numpy() == b) | (sham.loc[b].to_numpy() == a)) & np.isfinite(y)
    shams = height[partner] if partner.sum() >= SHAMS else nothing
    nearest = both.groupby(level=0).max().to_numpy()
    return line, dict(zip(RANKS, (height[use], nearest, shams), strict=True))
