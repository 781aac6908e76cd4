"""Accuracy on BLiMP by phenomenon: the results that its authors published, and a run beside."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures
from taskspace_utils.figures.space import only
from taskspace_utils.store import InputError, data_path
from taskspace_utils.tables import Run, read_table

PUBLISHED = {
    "ngram": "5-gram",
    "lstm": "LSTM",
    "txl": "Transformer-XL",
    "gpt2": "GPT-2",
    "human": "people",
}


def load(run: Run | None = None, **where) -> pd.DataFrame:
    """Mean accuracy of the tasks of each phenomenon, over the tasks that the run has.

    Args:
        run: without one, the published results of all tasks.
        where: which model, such as scale="8M", step=3200.

    Returns:
        columns phenomenon, who ("this run" or a published model), accuracy, tasks.

    Raises:
        InputError: the run's scores are pseudo-likelihoods; the published ones are log P.
    """
    if run is not None and run.scoring != "causal":
        raise InputError(
            f"{run.folder} holds pseudo-likelihoods, and the published models are causal: these "
            "are different quantities, and are never drawn together"
        )
    together = read_table(data_path("published", "blimp_models.csv")).rename(columns=PUBLISHED)
    if run is not None:
        own = only(run.table("accuracy"), where)[["task", "accuracy"]]
        together = own.rename(columns={"accuracy": "this run"}).merge(together, on="task")
    labels = read_table(data_path("hypotheses", "blimp.csv"))
    long = together.merge(labels[["task", "phenomenon"]], on="task").melt(
        ["task", "phenomenon"], var_name="who", value_name="accuracy"
    )
    means = long.groupby(["phenomenon", "who"], sort=True)["accuracy"].agg(["mean", "size"])
    return means.reset_index().rename(columns={"mean": "accuracy", "size": "tasks"})


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """A row a phenomenon, sorted by the run, or without one by GPT-2; chance is dotted."""
    looks = {"this run": "D"} | dict(zip(PUBLISHED.values(), "o^v*P", strict=True))
    there = [who for who in looks if who in set(table["who"])]
    by = table[table["who"] == ("this run" if "this run" in there else "GPT-2")]
    rows = {name: i for i, name in enumerate(by.sort_values("accuracy")["phenomenon"])}
    fig, ax = figures.new(6.5, 1.4 + 0.32 * len(rows))
    for who in there:
        some = table[table["who"] == who]
        size, colour = (60, figures.COLOURS[1]) if who == "this run" else (26, "#666666")
        ax.scatter(some["accuracy"], some["phenomenon"].map(rows), marker=looks[who], s=size,
                   color=colour, zorder=3 if who == "this run" else 2, label=who,
                   facecolors=colour if who in ("this run", "people") else "white")  # fmt: skip
    ax.axvline(0.5, color="black", linewidth=0.8, linestyle=":")
    ax.hlines(range(len(rows)), 0, 1, color="#dddddd", linewidth=0.6, zorder=0)
    ax.set_yticks(range(len(rows)), [figures.readable(n) for n in rows])
    ax.set(xlabel="accuracy (mean over a phenomenon's tasks)", xlim=(0, 1.02))
    ax.tick_params(axis="y", length=0)
    fig.legend(loc="outside upper center", ncols=3, fontsize=8)
    return fig
