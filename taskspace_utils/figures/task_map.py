"""Tasks on a plane: close where their spaces say that they are alike."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures
from taskspace_utils.figures.space import only
from taskspace_utils.gradients import MIN_RELIABILITY
from taskspace_utils.spaces import square, symmetric, task_map
from taskspace_utils.tables import Run


def load(run: Run, value: str = "cosine", permutations: int = 20, **where) -> pd.DataFrame:
    """Places of tasks on a map of one gradient space.

    Args:
        value: a column of `gradient.csv` of values from −1 to 1.
        permutations: how many shuffled spaces are mapped for comparison.
        where: which model, such as scale="M", step=800.

    Returns:
        columns task, x, y, phenomenon, reliability, stress and stress_shuffled (the last two the
        same in all rows).
    """
    space = symmetric(square(only(run.table("gradient"), where), value))
    points, stress, shuffled = task_map(space, permutations=permutations)
    facts = only(run.table("tasks"), where).set_index("task")[["phenomenon", "reliability"]]
    table = points.rename_axis("task").join(facts).reset_index()
    return table.assign(stress=stress, stress_shuffled=shuffled)


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """A point a task, joined to the middle of its phenomenon; hollow if it is unreliable."""
    fig, ax = figures.new(6.8, 4.4)
    for name, (colour, marker) in figures.look(table["phenomenon"]).items():
        some = table[table["phenomenon"] == name]
        middle = some[["x", "y"]].mean()
        for _, row in some.iterrows():
            ax.plot([middle["x"], row["x"]], [middle["y"], row["y"]], color=colour, linewidth=0.6)
        ax.plot(some["x"], some["y"], marker, color=colour, label=figures.readable(name))
        weak = some[some["reliability"] < MIN_RELIABILITY]
        ax.plot(weak["x"], weak["y"], marker, color=colour, mfc="white")
    figures.even(ax)
    ax.set(xticks=[], yticks=[])
    ax.spines[["top", "right"]].set_visible(True)
    fig.legend(loc="outside right center", fontsize=8, frameon=False)
    return fig
