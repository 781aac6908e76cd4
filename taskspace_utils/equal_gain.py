"""Ways of teaching compared at an equal gain: what each had cost when it got there (chapter 5).

It reads the table `ladder` and computes no model. A target that only some tuning reached compares
nothing: over which tasks a comparison goes, and how many they are, is part of every result.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from taskspace_utils.ladder import RUNGS
from taskspace_utils.tables import MODEL_KEYS

VALUES = ["gain_train", "gain", "accuracy", "spread", "harm_kl", "harm_loss"]


def at_gain(table: pd.DataFrame, target: float, by: str = "gain") -> pd.DataFrame:
    """What each tuning had cost when its gain first reached a target.

    Values are interpolated between the two steps around it: linearly, but the divergence by its
    square root, for it grows with the square of a small move.

    Args:
        table: rows of `ladder.csv`.
        by: what is held equal: "gain" (of the held-out margin, nats), "gain_train" (nats) or
            "accuracy" (its rise on held-out pairs, as a share).

    Returns:
        One row a model, rung, source and text, with `reached`; values are NaN where it is False.
    """
    keys = [*MODEL_KEYS, "rung", "source", "text"]
    rows = []
    for key, some in table.groupby(keys, sort=False, dropna=False):
        some = some.sort_values("tuning_step")
        rise = (some[by] - some[by].iloc[0]).to_numpy()
        values = some[VALUES].assign(harm_kl=some["harm_kl"].clip(lower=0) ** 0.5).to_numpy(float)
        after = np.flatnonzero(rise >= target - 1e-9)
        found = np.full(len(VALUES), np.nan)
        reached = len(after) > 0 and after[0] > 0
        if reached:
            end = after[0]
            share = (target - rise[end - 1]) / (rise[end] - rise[end - 1])
            found = values[end - 1] + share * (values[end] - values[end - 1])
        found[VALUES.index("harm_kl")] **= 2
        rows.append((*key, *found, reached, some["flag"].iloc[0]))
    return pd.DataFrame(rows, columns=[*keys, *VALUES, "reached", "flag"])


def comparable(found: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """The tasks that reached a target on every rung, so that rungs are compared over the same.

    A rung on which fewer than half of the tasks reached it would leave too few, and is left out.

    Args:
        found: rows of `at_gain`.

    Returns:
        The rows of those rungs and tasks, and for each rung the number of tasks that reached it.
    """
    task = [*MODEL_KEYS, "source"]
    ends = found.drop_duplicates([*task, "rung"])
    counts = ends.groupby("rung")["reached"].sum().astype(int)
    total = ends.drop_duplicates(task).shape[0]
    kept = found[found["rung"].map(counts) >= max(1, total / 2)]
    there = kept[kept["reached"]]
    everywhere = there.groupby(task, dropna=False)["rung"].transform("nunique")
    return there[everywhere == kept["rung"].nunique()], counts.to_dict()


def intervals(
    rows: pd.DataFrame, value: str, to: str = "differential", draws: int = 2000
) -> pd.DataFrame:
    """Means over tasks with 95 % intervals, and each rung beside one of them, task by task.

    Intervals are percentiles of a bootstrap over tasks (seed 0); with few tasks they are too short,
    so look at the points as well.

    Args:
        rows: rows of `comparable`, of one text where `value` is a harm.
        to: the rung that others are compared with: by the geometric mean of ratios where all values
            are positive, else by the mean difference.

    Returns:
        One row a rung: n, mean, low, high, versus, versus_low, versus_high, kind of comparison.
    """
    task = [*MODEL_KEYS, "source"]
    wide = rows.groupby([*task, "rung"], dropna=False)[value].mean().unstack("rung")
    wide = wide[[rung for rung in RUNGS if rung in wide]]
    if wide.empty:
        return pd.DataFrame()
    values = wide.to_numpy()
    ratio = bool((values > 0).all())
    scale = np.log(values) if ratio else values
    base = scale[:, [list(wide).index(to)]] if to in wide else np.full((len(values), 1), np.nan)
    versus = (scale - base).mean(axis=0)
    versus_low, versus_high = interval(scale - base, draws)
    back = np.exp if ratio else np.asarray
    low, high = interval(values, draws)
    table = {"n": len(values), "mean": values.mean(axis=0), "low": low, "high": high,
             "versus": back(versus), "versus_low": back(versus_low),
             "versus_high": back(versus_high)}  # fmt: skip
    return pd.DataFrame(table, index=wide.columns).assign(kind="ratio" if ratio else "difference")


def interval(values: np.ndarray, draws: int = 2000) -> np.ndarray:
    """Ends of the 95 % bootstrap interval of the mean over the first axis; seed 0."""
    places = np.random.default_rng(0).integers(len(values), size=(draws, len(values)))
    return np.percentile(values[places].mean(axis=1), [2.5, 97.5], axis=0)
