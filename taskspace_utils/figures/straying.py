"""Lessons one by one: how far a prediction is off, over how far the weights have moved."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from taskspace_utils import figures

STOP = ["scale", "seed", "step", "k", "source", "asked"]


def load(walks: pd.DataFrame) -> pd.DataFrame:
    """A row a stop of a lesson: what its prediction misses of the changes of the other tasks.

    Args:
        walks: as `studies.walks.walks` gives them.

    Returns:
        columns scale, seed, step, k, source, asked (nats), displacement, own_turn, error (root mean
        square of real − first_train over targets, relative to that of real).
    """
    apart = walks[walks["source"] != walks["target"]]
    squares = apart.assign(missed=(apart["real"] - apart["first_train"]) ** 2,
                           changed=apart["real"] ** 2).groupby(STOP)  # fmt: skip
    table = squares[["displacement", "own_turn"]].first()
    sums = squares[["missed", "changed"]].sum()
    return table.assign(error=np.sqrt(sums["missed"] / sums["changed"])).reset_index()


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """Both on logarithmic axes; a colour a gain, a marker a step, and a line of slope one."""
    fig, ax = figures.new(6.8, 4.4)
    gains, steps = (sorted(table[column].unique()) for column in ("asked", "step"))
    for i, gain in enumerate(gains):
        for j, step in enumerate(steps):
            part = table[(table["asked"] == gain) & (table["step"] == step)]
            look = {"color": figures.COLOURS[i % len(figures.COLOURS)], "alpha": 0.6, "mew": 0}
            sign = figures.MARKERS[j % len(figures.MARKERS)]
            ax.plot(part["displacement"], part["error"], sign, markersize=4, **look)
    ends = np.quantile(table["displacement"], [0.02, 0.98])
    middle = np.exp(np.log(table["error"]).median() - np.log(table["displacement"]).median())
    ax.plot(ends, middle * ends, ":", color="black", linewidth=1)
    ax.axhline(1, color="black", linewidth=0.5)
    ax.set(xscale="log", yscale="log", xlabel="displacement, share of the weights' norm",
           ylabel="error, relative to the change")  # fmt: skip
    signs = [Line2D([], [], color=figures.COLOURS[i % len(figures.COLOURS)], marker="o", lw=0,
                    label=f"{gain:g} nats") for i, gain in enumerate(gains)]  # fmt: skip
    signs += [Line2D([], [], color="#777777", marker=figures.MARKERS[j % len(figures.MARKERS)],
                     lw=0, label=f"step {step:g}") for j, step in enumerate(steps)]  # fmt: skip
    ax.legend(handles=signs, loc="upper left", fontsize=8)
    return fig
