"""Accuracy of each phenomenon over the steps of pre-training."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures
from taskspace_utils.figures.space import only
from taskspace_utils.store import Run


def load(run: Run, **where) -> pd.DataFrame:
    """Mean accuracy of a phenomenon's tasks at each step.

    Args:
        where: which models, such as scale="8M", seed=0.

    Returns:
        columns step, phenomenon, accuracy, tasks.
    """
    tasks = run.table("tasks").drop_duplicates("task").set_index("task")
    scores = only(run.table("accuracy"), where)
    scores = scores.assign(phenomenon=scores["task"].map(tasks["phenomenon"]))
    means = scores.groupby(["step", "phenomenon"], sort=True)["accuracy"].agg(["mean", "size"])
    return means.reset_index().rename(columns={"mean": "accuracy", "size": "tasks"})


def plot(table: pd.DataFrame) -> Figure:
    """A line a phenomenon, in its colour and marker; the mean of all in black."""
    fig, ax = figures.new(6.8, 4.0)
    for name, (colour, marker) in figures.look(table["phenomenon"]).items():
        some = table[table["phenomenon"] == name]
        ax.plot(some["step"], some["accuracy"], marker=marker, color=colour, markersize=4,
                linewidth=1, label=figures.readable(name))  # fmt: skip
    table = table.assign(sum=table["accuracy"] * table["tasks"])
    whole = table.groupby("step")[["sum", "tasks"]].sum()
    ax.plot(whole.index, whole["sum"] / whole["tasks"], color="black", linewidth=2.5, label="all")
    ax.axhline(0.5, color="black", linewidth=0.8, linestyle=":")
    steps = sorted(table["step"].unique())
    ax.set_xscale("symlog", linthresh=max(1, min([s for s in steps if s > 0], default=1)))
    ax.set_xticks(steps, [str(s) for s in steps], rotation=45)
    ax.minorticks_off()
    ax.set(xlabel="step of pre-training", ylabel="accuracy")
    fig.legend(loc="outside right center", fontsize=8)
    return fig
