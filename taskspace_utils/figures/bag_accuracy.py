"""How much of each task word counts give away: the bag-of-words accuracy, a mark a task."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures


def load(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The bag accuracy of every task that has one.

    Args:
        tables: what `check_table` gave, by the name that stands above its panel.

    Returns:
        columns panel, task, phenomenon, pairs, bag_accuracy.
    """
    shown = ["task", "phenomenon", "pairs", "bag_accuracy"]
    table = pd.concat([checks[shown].assign(panel=name) for name, checks in tables.items()])
    return table.dropna().reset_index(drop=True)[["panel", *shown]]


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """A panel a collection, a row a phenomenon, a mark a task; the dashed line is chance."""
    panels = list(dict.fromkeys(table["panel"]))
    rows = [table.loc[table["panel"] == panel, "phenomenon"].nunique() for panel in panels]
    fig, axes = figures.new(
        5.6, 0.24 * sum(rows) + 0.5 * len(panels) + 0.4, rows=len(panels), squeeze=False,
        sharex=True, height_ratios=rows,
    )  # fmt: skip
    looks = figures.look(table["phenomenon"])
    for ax, panel in zip(axes[:, 0], panels, strict=True):
        some = table[table["panel"] == panel]
        names = sorted(some["phenomenon"].unique(), reverse=True)
        for y, name in enumerate(names):
            values = some.loc[some["phenomenon"] == name, "bag_accuracy"].sort_values()
            shift = np.linspace(-0.2, 0.2, len(values)) if len(values) > 1 else [0]
            colour, marker = looks[name]
            ax.plot(values, y + np.array(shift), marker, color=colour, markersize=5, alpha=0.85)
        ax.axvline(0.5, color="black", linewidth=0.8, linestyle="--")
        ax.set_yticks(range(len(names)), [figures.readable(n) for n in names])
        left = min(0.25, table["bag_accuracy"].min() - 0.03)
        ax.set(xlim=(left, 1.03), ylim=(-0.6, len(names) - 0.4), title=panel)
        ax.tick_params(axis="y", length=0)
    ax.set_xlabel("bag-of-words accuracy on unseen pairs")
    return fig
