"""Accuracy on BLiMP by phenomenon: a run beside the results that BLiMP's authors published."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures
from taskspace_utils.figures.space import only
from taskspace_utils.store import Run, data_path, read_table

PUBLISHED = {
    "ngram": "5-gram",
    "lstm": "LSTM",
    "txl": "Transformer-XL",
    "gpt2": "GPT-2",
    "human": "people",
}


def load(run: Run, **where) -> pd.DataFrame:
    """Mean accuracy of the tasks of each phenomenon, over the tasks that the run has.

    Args:
        where: which model, such as scale="8M", step=3200.

    Returns:
        columns phenomenon, who ("this run" or a published model), accuracy, tasks.
    """
    own = only(run.table("accuracy"), where)[["task", "accuracy"]]
    published = read_table(data_path("published", "blimp_models.csv")).rename(columns=PUBLISHED)
    together = own.rename(columns={"accuracy": "this run"}).merge(published, on="task")
    labels = read_table(data_path("hypotheses", "blimp.csv"))
    long = together.merge(labels[["task", "phenomenon"]], on="task").melt(
        ["task", "phenomenon"], var_name="who", value_name="accuracy"
    )
    means = long.groupby(["phenomenon", "who"], sort=True)["accuracy"].agg(["mean", "size"])
    return means.reset_index().rename(columns={"mean": "accuracy", "size": "tasks"})


def plot(table: pd.DataFrame) -> Figure:
    """A row a phenomenon, the best known of the run on top; chance is dotted."""
    own = table[table["who"] == "this run"].sort_values("accuracy")
    rows = {name: i for i, name in enumerate(own["phenomenon"])}
    fig, ax = figures.new(6.5, 1.4 + 0.32 * len(rows))
    for i, who in enumerate(["this run", *PUBLISHED.values()]):
        some = table[table["who"] == who]
        size, colour = (60, figures.COLOURS[1]) if i == 0 else (26, "#666666")
        ax.scatter(some["accuracy"], some["phenomenon"].map(rows), marker="Do^v*P"[i], s=size,
                   color=colour, zorder=3 if i == 0 else 2, label=who,
                   facecolors=colour if i in (0, 5) else "white")  # fmt: skip
    ax.axvline(0.5, color="black", linewidth=0.8, linestyle=":")
    ax.hlines(range(len(rows)), 0, 1, color="#dddddd", linewidth=0.6, zorder=0)
    ax.set_yticks(range(len(rows)), [figures.readable(n) for n in rows])
    ax.set(xlabel="accuracy (mean over a phenomenon's tasks)", xlim=(0, 1.02))
    ax.tick_params(axis="y", length=0)
    fig.legend(loc="outside upper center", ncols=3, fontsize=8)
    return fig
