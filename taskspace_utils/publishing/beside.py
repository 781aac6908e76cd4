"""A probed model beside the models whose tables are shipped (chapter 13).

Tasks are the same where their names are: other pairs of one paradigm are other pairs.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from taskspace_utils import spaces, store
from taskspace_utils.tables import Run, only, read_table, reference_run

REFERENCES = ("grammar", "blimp-8M")
SHARED = 4  # fewest tasks in common by which two spaces are compared
PUBLISHED = ("gpt2", "human")  # whose scores on BLiMP stand beside


def references(run: Run) -> list[tuple[Run, list[str]]]:
    """The shipped runs that were asked some of a run's tasks, with those tasks."""
    there = [name for name in REFERENCES
             if store.data_path("reference", name, "manifest.json").is_file()]  # fmt: skip
    found = []
    for shipped in map(reference_run, there):
        if shared := sorted(set(shipped.manifest["tasks"]) & set(run.manifest["tasks"])):
            found.append((shipped, shared))
    return found


def _last(shipped: Run, table: str) -> pd.DataFrame:
    """The rows of the shipped models' last steps."""
    some = shipped.table(table)
    last = shipped.table("accuracy").groupby("scale")["step"].max()
    return some[some["step"] == some["scale"].map(last)]


def accuracies(run: Run, where: dict, shipped: Run, shared: list[str]) -> pd.DataFrame:
    """Mean accuracies over shared tasks, a row a phenomenon.

    Args:
        where: which model of the run, as `placement.models_of` gives it.

    Returns:
        columns phenomenon, tasks (how many), this model, one a scale of the shipped models (mean
        over seeds) and, of BLiMP, those of published models.
    """
    mine = only(run.table("accuracy"), where).set_index("task")["accuracy"].reindex(shared)
    found = _last(shipped, "accuracy")
    found = found[found["task"].isin(shared)]
    columns = {"this model": mine}
    columns |= {f"scale {s}": some.groupby("task")["accuracy"].mean()
                for s, some in found.groupby("scale")}  # fmt: skip
    published = read_table(store.data_path("published", "blimp_models.csv")).set_index("task")
    if set(shared) <= set(published.index):
        columns |= {name: published[name] for name in PUBLISHED}
    facts = shipped.table("tasks").drop_duplicates("task").set_index("task")
    group = facts["phenomenon"].reindex(shared)
    shown = pd.DataFrame(columns).loc[shared].groupby(group).mean()
    shown.insert(0, "tasks", group.value_counts().reindex(shown.index))
    return shown.rename_axis("phenomenon").reset_index()


def likeness(run: Run, where: dict, shipped: Run) -> pd.DataFrame:
    """How like a run's gradient space is to those of a scale's seeds, and they among themselves.

    Returns:
        columns reference, seeds, tasks (that all of these models have reliably), with this model,
        among its seeds: mean Spearman correlations of corrected cosines over these tasks, the same
        in both columns; NaN of fewer than four.
    """
    value = "cosine_corrected"
    mine = spaces.symmetric(spaces.square(only(run.table("gradient"), where), value))
    theirs = {
        key: spaces.symmetric(spaces.square(some, value))
        for key, some in _last(shipped, "gradient").groupby(["scale", "seed"])
    }
    rows = []
    for scale in sorted({scale for scale, _ in theirs}):
        seeds = [space for (s, _), space in theirs.items() if s == scale]
        tasks = sorted(set.intersection(*map(_reliable, (mine, *seeds))))
        own, *seeds = (space.loc[tasks, tasks] for space in (mine, *seeds))
        to_mine = [_agreement(own, space) for space in seeds]
        among = [_agreement(a, b) for i, a in enumerate(seeds) for b in seeds[:i]]
        rows.append((f"scale {scale}", len(seeds), len(tasks), _mean(to_mine), _mean(among)))
    names = ["reference", "seeds", "tasks", "with this model", "among its seeds"]
    return pd.DataFrame(rows, columns=names)


def _reliable(space: pd.DataFrame) -> set[str]:
    return set(space.index[space.notna().any()])


def _agreement(one: pd.DataFrame, other: pd.DataFrame) -> float:
    if len(one.index.intersection(other.index)) < SHARED:
        return np.nan
    return spaces.agreement(one, other, permutations=0)[0]


def _mean(values: Iterable[float]) -> float:
    kept = [value for value in values if np.isfinite(value)]
    return float(np.mean(kept)) if kept else np.nan
