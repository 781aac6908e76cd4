"""Accuracy over pre-training, a small panel a phenomenon, a line a task."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures
from taskspace_utils.figures.space import only
from taskspace_utils.tables import Run


def load(run: Run, accuracy: pd.DataFrame | None = None, **where) -> pd.DataFrame:
    """Accuracy of each task at each step.

    Args:
        accuracy: of more checkpoints than the run has, in the columns of its table.
        where: which models, such as scale="M", seed=0.

    Returns:
        columns phenomenon, task, step, n, accuracy.
    """
    phenomenon = run.table("tasks").drop_duplicates("task").set_index("task")["phenomenon"]
    scores = only(run.table("accuracy") if accuracy is None else accuracy, where)
    scores = scores.assign(phenomenon=scores["task"].map(phenomenon))
    columns = ["phenomenon", "task", "step", "n", "accuracy"]
    return scores[columns].sort_values(columns[:3]).reset_index(drop=True)


@figures.drawn
def plot(table: pd.DataFrame, columns: int = 4) -> Figure:
    """Thin lines are tasks, the thick one their mean, the grey band what a coin would give."""
    looks = figures.look(table["phenomenon"])
    rows = -(-len(looks) // columns)
    steps = sorted(table["step"].unique())
    wide = 2 / np.sqrt(table["n"].median()) / 2  # two standard errors of a coin's accuracy
    fig, axes = figures.new(
        8.0, 1.75 * rows + 0.3, columns, rows, squeeze=False, sharex=True, sharey=True
    )
    for ax, name in zip(axes.flat, looks, strict=False):
        some = table[table["phenomenon"] == name].pivot(
            index="step", columns="task", values="accuracy"
        )
        colour, marker = looks[name]
        ax.axhspan(0.5 - wide, 0.5 + wide, color="#dddddd", linewidth=0)
        ax.plot(some.index, some, color=colour, linewidth=0.8, alpha=0.6)
        ax.plot(some.index, some.mean(axis=1), color=colour, marker=marker, markersize=4)
        ax.set_title(figures.readable(name), fontsize=8)
        ax.set(ylim=(-0.02, 1.04), xticks=[steps[0], steps[-1]])
    for ax in list(axes.flat)[len(looks) :]:
        ax.set_visible(False)
    fig.supxlabel("step of pre-training", fontsize=10)
    fig.supylabel("accuracy", fontsize=10)
    return fig
