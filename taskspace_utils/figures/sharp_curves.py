"""Tasks over pre-training, under accuracy and under margin, and what a smooth margin would give."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures
from taskspace_utils.studies import emergence


def load(tasks: pd.DataFrame, names: Sequence[str], width: int) -> pd.DataFrame:
    """Curves of some tasks in the models of one width, from the first step that counts.

    Args:
        tasks: columns width, seed, step, task, accuracy, margin, margin_sd.

    Returns:
        columns task, seed, step, accuracy, margin (nats), smooth (the accuracy, had the margin
        risen by as much in each doubling); tasks in the order of `names`.
    """
    some = tasks[(tasks["width"] == width) & (tasks["step"] >= emergence.FIRST)]
    parts = []
    for name in names:
        for _, curve in some[some["task"] == name].sort_values("step").groupby("seed"):
            smooth = emergence.smooth(curve["step"], curve["margin"], curve["margin_sd"])
            parts.append(curve.assign(smooth=smooth))
    columns = ["task", "seed", "step", "accuracy", "margin", "smooth"]
    return pd.concat(parts)[columns].reset_index(drop=True) if parts else pd.DataFrame()


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """A column a task; above accuracy (dashed: of a smooth margin), below the mean margin."""
    names = list(dict.fromkeys(table["task"]))
    fig, axes = figures.new(8.0, 4.2, len(names), 2, sharex=True, sharey="row", squeeze=False)
    for column, name in enumerate(names):
        for _, curve in table[table["task"] == name].groupby("seed"):
            for ax, value, style in zip(axes[[0, 0, 1], column], ("accuracy", "smooth", "margin"),
                                        ("o-", "--", "s-"), strict=True):  # fmt: skip
                colour = figures.COLOURS[("accuracy", "smooth", "margin").index(value)]
                ax.plot(curve["step"], curve[value], style, color=colour, markersize=3,
                        linewidth=1)  # fmt: skip
        axes[0, column].axhline(0.5, color="black", linewidth=0.6, linestyle=":")
        axes[1, column].axhline(0.0, color="black", linewidth=0.6, linestyle=":")
        axes[0, column].set_title(figures.label(name), fontsize=8)
    steps = np.array(sorted(table["step"].unique()))
    axes[1, 0].set_xscale("log", base=2)
    axes[1, 0].set_xticks(steps[[0, len(steps) // 2, -1]], steps[[0, len(steps) // 2, -1]])
    axes[0, 0].set(ylabel="accuracy", ylim=(-0.04, 1.04))
    axes[1, 0].set_ylabel("mean margin (nats)")
    fig.supxlabel("step of pre-training", fontsize=10)
    return fig
