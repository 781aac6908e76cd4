"""How far a tuning goes before the first order fails: residuals against the size of the lesson."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures


def load(changes: pd.DataFrame) -> pd.DataFrame:
    """Root mean squares over targets, by the gain that was asked for.

    Args:
        changes: a row a gain and target, with the columns gain, real and predicted (nats).

    Returns:
        columns gain, change and residual (root mean squares, nats).
    """
    squares = changes.assign(
        change=changes["real"] ** 2, residual=(changes["real"] - changes["predicted"]) ** 2
    )
    return np.sqrt(squares.groupby("gain")[["change", "residual"]].mean()).reset_index()


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """Both on logarithmic axes, with lines of slope one and two through the first points."""
    fig, ax = figures.new(5.2, 3.8)
    for number, (column, power) in enumerate((("change", 1), ("residual", 2))):
        colour = figures.COLOURS[number]
        ax.plot(table["gain"], table[column], figures.MARKERS[number], color=colour, label=column)
        straight = table[column].iloc[0] * (table["gain"] / table["gain"].iloc[0]) ** power
        ax.plot(table["gain"], straight, color=colour, linewidth=0.8, linestyle=":")
    ax.set(xscale="log", yscale="log", xlabel="gain asked of the source (nats)")
    ax.set_xticks(table["gain"], [f"{gain:g}" for gain in table["gain"]], minor=False)
    ax.xaxis.minorticks_off()
    ax.set_ylabel("root mean square over targets (nats)")
    fig.legend(loc="outside upper center", ncols=2, frameon=False)
    return fig
