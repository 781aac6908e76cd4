"""Likeness: how alike tasks are within and between phenomena, seed by seed, for figures.

What makes models comparable (which checkpoints, which pairs of tasks, equal loss) is that of the
claims, `data/claims.yml`; `estimands` has their intervals, this room the points that are drawn. No
model is loaded.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd

from taskspace_utils import store
from taskspace_utils.runs import OTHER_TEXT
from taskspace_utils.spaces import transfer
from taskspace_utils.tables import Run
from taskspace_utils.yaml_files import read_yaml

KEYS = ["scale", "seed", "step"]


def blocks(scale: str) -> int:
    """Parameters of a scale without embeddings, 12 · layers · width²; 0 for a model of others."""
    row = read_yaml(store.data_path("scales.yml"), dict).get(scale)
    return 12 * row["layers"] * row["width"] ** 2 if row else 0


def reliable(run: Run, least: float) -> pd.DataFrame:
    """Rows of `tasks.csv` of real tasks, from the first checkpoint that can be compared on.

    That is the first after step 0 at which half of the tasks are reliable in every model.
    """
    facts = run.table("tasks").query("phenomenon != 'preference_sham' and step > 0")
    share = (facts["reliability"] >= least).groupby([facts[key] for key in KEYS]).mean()
    enough = share.groupby("step").min() >= 0.5
    return facts[facts["step"] >= (enough.idxmax() if enough.any() else np.inf)]


def over_steps(run: Run, value: str, least: float) -> pd.DataFrame:
    """Measures over the tasks that are reliable at all checkpoints of their model.

    Args:
        value: the cosine: "cosine_corrected" or "cosine".
        least: the reliability from which on a task counts.

    Returns:
        columns scale, seed, step, measure, group (within, between, each task), value, n.
    """
    facts, parts = reliable(run, least), []
    cells = dict(list(run.table("gradient").query("a < b").groupby(KEYS)))
    for _, some in facts.groupby(KEYS[:2], sort=False):
        some = everywhere(some, least)
        for key, here in some.groupby(KEYS):
            about = dict(zip(KEYS, key, strict=True))
            parts.append(means(here, cells[key], value).reset_index().assign(**about))
    found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    return found.reindex(columns=[*KEYS, "measure", "group", "value", "n"]).dropna()


def everywhere(facts: pd.DataFrame, least: float) -> pd.DataFrame:
    """The rows of tasks that are reliable in all of the models that the rows are of."""
    models = facts[KEYS].drop_duplicates().shape[0]
    good = facts[facts["reliability"] >= least]
    return good[good.groupby("task")["task"].transform("size") == models]


def means(facts: pd.DataFrame, cells: pd.DataFrame, value: str) -> pd.DataFrame:
    """Columns value and n of one model, by measure and group.

    Args:
        facts, cells: rows of `tasks.csv` of the tasks that count, and of `gradient.csv` (a < b).
    """
    phenomenon = facts.set_index("task")["phenomenon"]
    cells = cells[cells["a"].isin(phenomenon.index) & cells["b"].isin(phenomenon.index)]
    same = cells["a"].map(phenomenon) == cells["b"].map(phenomenon)
    spread = np.exp(np.log(facts["participation"]).mean())
    rows = [("participation", "each task", spread, len(facts))]
    for group, part in (("within", cells[same]), ("between", cells[~same])):
        rows += [(m, group, part[m].mean(), len(part)) for m in (value, "overlap_lift")]
    table = pd.DataFrame(rows, columns=["measure", "group", "value", "n"])
    return table.set_index(["measure", "group"])


def over_scales(run: Run, value: str, least: float, step: int) -> pd.DataFrame:
    """Measures of all scales of a seed at equal loss, at a step, and at the end.

    Returns:
        columns scale, parameters, seed, at, loss (nats a token), measure, group, value, n.
    """
    training = run.table("training")
    loss = training[training["text"] != OTHER_TEXT].groupby(KEYS)["loss"].mean()
    facts, found = reliable(run, least), _transferred(run, loss)
    cells = dict(list(run.table("gradient").query("a < b").groupby(KEYS)))
    for seed, some in facts.groupby("seed"):
        paths = {scale: loss[scale, seed].loc[np.unique(part["step"])]
                 for scale, part in some.groupby("scale")}  # fmt: skip
        level = max(path.min() for path in paths.values())
        ways = {
            "equal loss": {scale: _place(path, level) for scale, path in paths.items()},
            f"step {step}": {scale: {step: 1.0} for scale in paths},
            "last step": {scale: {path.index[-1]: 1.0} for scale, path in paths.items()},
        }
        for at, places in ways.items():
            keys = [(scale, seed, s) for scale, place in places.items() for s in place]
            models = dict(
                list(
                    everywhere(
                        some[pd.MultiIndex.from_frame(some[KEYS]).isin(keys)], least
                    ).groupby(KEYS)
                )
            )
            for scale, place in places.items() if len(models) == len(keys) else ():
                of = {s: means(models[scale, seed, s], cells[scale, seed, s], value) for s in place}
                number = sum(share * of[s]["value"] for s, share in place.items())
                x = sum(share * paths[scale][s] for s, share in place.items())
                about = (scale, blocks(scale), seed, at, x)
                found += [(*about, *name, v, of[max(place)].loc[name, "n"])
                          for name, v in number.items()]  # fmt: skip
    columns = ["scale", "parameters", "seed", "at", "loss", "measure", "group", "value", "n"]
    return pd.DataFrame(found, columns=columns).dropna()


def _place(path: pd.Series, level: float) -> dict[int, float]:
    """The checkpoints that first enclose a loss, with their shares; the first, if it is below."""
    for early, late in pairwise(path.index):
        if path[early] > level >= path[late]:
            share = (path[early] - level) / (path[early] - path[late])
            return {step: s for step, s in ((early, 1 - share), (late, share)) if s > 0}
    return {path.index[0]: 1.0}


def _transferred(run: Run, loss: pd.Series) -> list[tuple]:
    facts = run.table("tasks").query("phenomenon != 'preference_sham'").drop_duplicates("task")
    phenomenon, moved, rows = facts.set_index("task")["phenomenon"], run.table("transfer"), []
    moved = moved[moved["source"].isin(facts["task"]) & moved["target"].isin(facts["task"])]
    moved = moved[moved["tuning"] == moved["tuning"].min()]
    for (seed, step), of_seed in moved[moved["step"] == moved["step"].max()].groupby(
        ["seed", "step"]
    ):
        spaces = {s: transfer(some, relative=True) for s, some in of_seed.groupby("scale")}
        rose = sum(space.isna().all(axis=1) for space in spaces.values()) == 0
        for scale, space in spaces.items():
            cells = space[rose].rename_axis(index="a", columns="b").stack().rename("value")
            cells = cells.reset_index().query("a != b")
            same = cells["a"].map(phenomenon) == cells["b"].map(phenomenon)
            for group, part in (("within", cells[same]), ("between", cells[~same])):
                about = (
                    scale,
                    blocks(scale),
                    seed,
                    f"step {step}",
                    loss[scale, seed, step],
                )
                rows.append((*about, "transfer", group, part["value"].mean(), len(part)))
    return rows


def _at(loss: np.ndarray, value: np.ndarray, wanted: float) -> float:
    """A value where the loss first falls to what is wanted; NaN where it starts below, or later."""
    for i in range(len(loss)):
        if loss[i] == wanted:
            return value[i]
        if i + 1 < len(loss) and loss[i] > wanted >= loss[i + 1]:
            share = (loss[i] - wanted) / (loss[i] - loss[i + 1])
            return value[i] + share * (value[i + 1] - value[i])
    return np.nan
