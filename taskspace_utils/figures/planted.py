"""How well the planted truth is found again: against training, number of pairs, and seeds."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures

COLUMNS = ["panel", "line", "x", "auc", "low", "high"]


def load(rows: list[tuple]) -> pd.DataFrame:
    """What a chapter found.

    Args:
        rows: name of the panel (and of its x axis), name of the line, x, area under the curve,
            ends of its interval (NaN where there is none).

    Returns:
        columns panel, line, x, auc, low, high; panels and lines in the order given.
    """
    return pd.DataFrame(rows, columns=COLUMNS)


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """A panel for each x axis, values evenly spaced (seeds unconnected); chance is dotted."""
    panels = list(table["panel"].unique())
    fig, axes = figures.new(2.7 * len(panels), 3.4, len(panels), sharey=True, squeeze=False)
    for ax, panel in zip(axes[0], panels, strict=True):
        some = table[table["panel"] == panel]
        ticks = sorted(some["x"].unique())
        lines = list(some["line"].unique())
        for number, line in enumerate(lines):
            points = some[some["line"] == line]
            shift = 0.12 * (number - (len(lines) - 1) / 2)  # so that bars don't hide each other
            x = [ticks.index(value) + shift for value in points["x"]]
            reach = [points["auc"] - points["low"], points["high"] - points["auc"]]
            reach = pd.DataFrame(reach).clip(lower=0).to_numpy()
            ax.errorbar(x, points["auc"], reach, color=figures.COLOURS[number], capsize=2,
                        marker=figures.MARKERS[number], markersize=4, linewidth=1, label=line,
                        linestyle="" if panel.startswith("seed") else "-")  # fmt: skip
        ax.axhline(0.5, color="black", linewidth=0.8, linestyle=":")
        ax.set_xticks(range(len(ticks)), ticks)
        ax.set(xlabel=panel, ylim=(0, 1.02))
        ax.legend(fontsize=7, loc="lower right")
    axes[0, 0].set_ylabel("area under the curve")
    return fig
