"""The rungs of the ladder at one gain: what each costs, task by task, with intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures, ladder
from taskspace_utils.equal_gain import at_gain, comparable, interval
from taskspace_utils.tables import Run

VALUES = {
    "harm_kl": "KL (nats a token)",
    "harm_loss": "rise of the loss (nats a token)",
    "spread": "change of other tasks (nats)",
}


def load(run: Run, target: float = 1.0, by: str = "gain") -> pd.DataFrame:
    """What each rung had cost at a gain, over the tasks that got there on every rung kept.

    Args:
        by: see `equal_gain.at_gain`.

    Returns:
        columns value (a name), text, rung, label, source, cost.
    """
    rows, _ = comparable(at_gain(run.table("ladder"), target, by))
    long = rows.melt(["rung", "source", "text"], list(VALUES), "value", "cost")
    labels = {name: rung.label for name, rung in ladder.RUNGS.items()}
    return long.assign(label=long["rung"].map(labels))


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """A row a rung, a point a task, and the mean with its bootstrap interval; a colour a text."""
    fig, axes = figures.new(7.6, 3.6, columns=3, sharey=True)
    rungs = [rung for rung in ladder.RUNGS if rung in set(table["rung"])]
    texts = sorted(table["text"].unique())
    for ax, value in zip(axes, VALUES, strict=True):
        shown = texts[:1] if value == "spread" else texts  # a spread is the same for every text
        for number, text in enumerate(shown):
            some = table[(table["value"] == value) & (table["text"] == text)]
            colour = "black" if value == "spread" else figures.COLOURS[number]
            shift = 0.0 if len(shown) == 1 else (number - (len(shown) - 1) / 2) * 0.35
            for place, rung in enumerate(rungs):
                costs = some.loc[some["rung"] == rung, "cost"].to_numpy()
                height = np.full(len(costs), place + shift)
                ax.plot(costs, height, ".", color=colour, markersize=4, alpha=0.5)
                low, high = interval(costs)
                ax.plot([low, high], height[:2] if len(costs) > 1 else [place + shift] * 2,
                        color=colour, linewidth=1.5)  # fmt: skip
                ax.plot(costs.mean(), place + shift, "o", color=colour, markersize=5,
                        label=None if place else text)  # fmt: skip
        ax.set_xlabel(VALUES[value], fontsize=8)
        ax.tick_params(axis="x", labelsize=8)
    labels = table.drop_duplicates("rung").set_index("rung")["label"]
    axes[0].set_yticks(range(len(rungs)), [labels[rung] for rung in rungs], fontsize=8)
    axes[0].invert_yaxis()
    axes[0].set_xscale("log")
    axes[2].set_xscale("log")
    axes[1].set_xscale("symlog", linthresh=0.01)
    if rungs:
        names = axes[0].get_legend_handles_labels()
        fig.legend(*names, loc="outside upper center", ncols=2, frameon=False)
    return fig
