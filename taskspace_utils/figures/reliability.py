"""How reliable the tasks' gradients are at each step of pre-training."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures
from taskspace_utils.gradients import MIN_RELIABILITY
from taskspace_utils.tables import Run


def load(run: Run, value: str = "reliability") -> pd.DataFrame:
    """Quartiles over tasks of a column of `tasks.csv`.

    Args:
        value: reliability, participation, norm, or another number of a task.

    Returns:
        columns scale, seed, step, low, middle, high (quartiles), name.
    """
    groups = run.table("tasks").groupby(["scale", "seed", "step"], sort=True)[value]
    table = groups.quantile([0.25, 0.5, 0.75]).unstack().reset_index()
    table.columns = ["scale", "seed", "step", "low", "middle", "high"]
    return table.assign(name=value)


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """Median over tasks with the middle half as a band, a line a scale and seed."""
    steps = sorted(table["step"].unique())
    fig, ax = figures.new(6.2, 3.6)
    for number, ((scale, seed), some) in enumerate(table.groupby(["scale", "seed"], sort=False)):
        colour = figures.COLOURS[number % len(figures.COLOURS)]
        marker = figures.MARKERS[number % len(figures.MARKERS)]
        x = [steps.index(step) for step in some["step"]]
        ax.plot(x, some["middle"], color=colour, marker=marker, label=f"{scale}, seed {seed}")
        ax.fill_between(x, some["low"], some["high"], color=colour, alpha=0.12, linewidth=0)
    if table["name"].iloc[0] == "reliability":
        ax.axhline(MIN_RELIABILITY, color="black", linewidth=0.8, linestyle=":")
    ax.set_xticks(range(len(steps)), steps)
    ax.set(xlabel="step of pre-training", ylabel=table["name"].iloc[0])
    fig.legend(loc="outside upper center", ncols=4, frameon=False)
    return fig
