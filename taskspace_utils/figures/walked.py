"""Lessons stopped on their way: how a prediction goes wrong as the gain grows."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures

KEYS = ["scale", "step", "k", "by", "gain"]
LOOKS = {"first": ("everything from the start", "-"), "on_way": ("on the way as walked", "--")}


def load(walks: pd.DataFrame) -> pd.DataFrame:
    """Relative errors and rank correlations of predictions of single lessons, and their medians.

    One lesson that goes astray would make a mean, or a sum over all cells, by itself.

    Args:
        walks: columns scale, seed, step, k, asked, source, target, real, and those of `LOOKS`.

    Returns:
        columns scale, step, k, by (a key of `LOOKS`), gain (asked, nats), error (root mean square
        of what is missed over that of what was measured) and rho, medians over sources and seeds.
    """
    apart, rows = walks[walks["source"] != walks["target"]], []
    for keys, some in apart.groupby(["scale", "step", "k", "asked", "seed", "source"]):
        for by in LOOKS:
            error = np.sqrt(((some[by] - some["real"]) ** 2).sum() / (some["real"] ** 2).sum())
            rows.append((*keys, by, error, some[by].rank().corr(some["real"].rank())))
    table = pd.DataFrame(
        rows, columns=[*KEYS[:3], "gain", "seed", "source", *KEYS[3:4], "error", "rho"]
    )
    return table.groupby(KEYS, as_index=False)[["error", "rho"]].median()


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """Left: relative errors, on logarithmic axes with a slope of one. Right: rank correlations."""
    fig, (left, right) = figures.new(8.2, 3.8, 2)
    models = table[["scale", "step"]].drop_duplicates().sort_values("step").to_numpy().tolist()
    for i, (scale, step) in enumerate(models):
        colour = figures.COLOURS[i % len(figures.COLOURS)]
        for by, (label, line) in LOOKS.items():
            some = table[(table["scale"] == scale) & (table["step"] == step) & (table["by"] == by)]
            some = some.sort_values("gain")
            for ax, column in ((left, "error"), (right, "rho")):
                ax.plot(some["gain"], some[column], line, color=colour, marker="o", markersize=4,
                        label=f"{scale}, step {step:g}, {label}")  # fmt: skip
    gains, lowest = np.sort(table["gain"].unique()), table["error"].min()
    left.plot(gains, lowest * gains / gains[0], ":", color="black", linewidth=1, label="slope 1")
    left.axhline(1, color="black", linewidth=0.5)
    for ax in (left, right):
        ax.set(xscale="log", xlabel="gain asked of the source (nats)")
        ax.set_xticks(gains, [f"{gain:g}" for gain in gains])
        ax.minorticks_off()
    left.set(yscale="log", ylabel="error, relative to the change")
    right.set(ylabel="ρ of predicted and measured")
    fig.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2,
               frameon=False, fontsize=8)  # fmt: skip
    return fig
