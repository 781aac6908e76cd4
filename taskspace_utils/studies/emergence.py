"""Emergence: is a task learnt at one blow, or does a smooth rise only look like it (chapter 18)?

Curves are over steps, each at least twice over: under accuracy and under the mean margin. A margin
that rises smoothly makes accuracy, which counts signs, rise at one blow where it passes zero
(Schaeffer, Miranda and Koyejo, 2023); what it would do is equation 18.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pandas as pd
from scipy.optimize import isotonic_regression
from scipy.special import ndtr

from taskspace_utils.measured import Estimate, estimate, mean

FIRST = 25  # the first step that counts: at 0 nothing has been read, and log 0 is no place
RISES = {"accuracy": 0.2, "margin": 0.5}  # that a curve must have for its shape to be asked


def sharpness(steps: Sequence[float], values: Sequence[float]) -> float:
    """The largest share of a curve's whole rise that lies within one doubling; equation 18.4.

    The whole rise is from the lowest point to the last. A doubling is from a step to the next one
    that is at least twice as large, less a hundredth for rounded steps.

    Returns:
        a number; NaN where the last point is the lowest. A curve that overshoots can pass 1.
    """
    steps, values = np.asarray(steps, float), np.asarray(values, float)
    rise = values[-1] - values.min()
    if not rise > 0:
        return float("nan")
    later = np.searchsorted(steps, 2 * steps * 0.99)
    inside = later < len(steps)
    return float((values[later[inside]] - values[inside]).max(initial=0.0) / rise)


def implied(margin, spread) -> np.ndarray:
    """The accuracy of normal margins of this mean and standard deviation: Φ(mean / sd)."""
    return ndtr(np.asarray(margin, float) / np.maximum(np.asarray(spread, float), 1e-12))


def smooth(steps: Sequence[float], margin: Sequence[float], spread: Sequence[float]) -> np.ndarray:
    """The accuracy that there would be, had margins risen by the same amount a doubling.

    From the lowest margin to the last, mean and standard deviation go in a straight line over log
    steps; before that they are as they were.
    """
    x, margin, spread = (np.asarray(v, float) for v in (np.log(steps), margin, spread))
    first = int(margin.argmin())
    straight = [
        np.where(x < x[first], v, np.interp(x, [x[first], x[-1]], v[[first, -1]]))
        for v in (margin, spread)
    ]
    return implied(*straight)


def calm(values: Sequence[float]) -> np.ndarray:
    """The curve that never falls and is nearest (least squares): a wobble up and back is gone."""
    return isotonic_regression(np.asarray(values, float)).x


def shapes(tasks: pd.DataFrame, calmed: bool = False) -> pd.DataFrame:
    """How sharply each task is learnt in each training, where it is learnt at all.

    Args:
        tasks: columns width, seed, step, task, accuracy, margin, margin_sd.
        calmed: take accuracies and margins of the curves as `calm` gives them.

    Returns:
        columns width, seed, task, accuracy, margin, smooth: sharpness of the accuracy, of the mean
        margin, and of the accuracy that a smooth rise of margins gives (NaN where that does not
        rise, as margins spread while they rise). Curves from step `FIRST` on
        whose accuracy and margin both rise by `RISES`.
    """
    later = tasks[tasks["step"] >= FIRST]
    wide = later.pivot(index="step", columns=["width", "seed", "task"]).sort_index()
    steps, rows = wide.index.to_numpy(), []
    for key in wide["accuracy"].columns:
        accuracy, margin, spread = (
            wide[name][key].to_numpy(float) for name in ("accuracy", "margin", "margin_sd")
        )
        straight = smooth(steps, margin, spread)
        if min(_rise(accuracy) - RISES["accuracy"], _rise(margin) - RISES["margin"]) >= 0:
            seen = [calm(accuracy), calm(margin)] if calmed else [accuracy, margin]
            rows.append((*key, *(sharpness(steps, values) for values in (*seen, straight))))
    return pd.DataFrame(rows, columns=["width", "seed", "task", "accuracy", "margin", "smooth"])


def _rise(values: np.ndarray) -> float:
    return float(values[-1] - values.min())


def over_families(table: pd.DataFrame, value: str, families: pd.Series) -> Estimate:
    """The mean of a column, with an interval crossed over seeds and families (`measured.estimate`).

    Args:
        table: columns seed, task, and the value; a row a task and training. One without a value
            does not count.
        families: by task.
    """
    of = SimpleNamespace(seeds=sorted(table["seed"].unique()), tasks=families.to_frame("family"))
    table, parts = table.dropna(subset=[value]), {}
    for seed, some in table.groupby("seed"):
        values = some[value].to_numpy(float)
        parts[seed, ""] = some, lambda weights, values=values: mean(weights, values)
    return estimate(of, parts, ("task",))
