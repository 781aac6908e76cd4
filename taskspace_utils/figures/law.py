"""A scaling law: regret over tokens read, and over parameters, with the fitted law as lines."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures

BUDGETS = 4  # steps that the right panel shows
BADGE = ["run", "profile", "seed"]


def load(table: pd.DataFrame, law, profile: str) -> pd.DataFrame:
    """One row a checkpoint.

    Args:
        table: columns run ("live" or "reference"), width, parameters, seed, step, tokens, regret.
        law: a `studies.laws.Law`.
        profile: the live run's.

    Returns:
        the same with law, the regret that it gives (nats a token), and profile.
    """
    said = law.loss(table["parameters"], table["tokens"]) - law.floor
    profiles = table["run"].map({"live": profile}).fillna("laws")
    return table.assign(law=said, profile=profiles).reset_index(drop=True)


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """Left: a colour a width. Right: a colour a number of steps. Rings are the live run's."""
    fig, axes = figures.new(8.0, 3.9, 2, sharey=True)
    steps = sorted(table["step"].unique())
    chosen = {steps[i] for i in np.linspace(0, len(steps) - 1, BUDGETS).round().astype(int)}
    panels = (("tokens", "width", table), ("parameters", "step", table[table["step"].isin(chosen)]))
    for ax, (x, group, some) in zip(axes, panels, strict=True):
        groups = sorted(some[group].unique())
        colours = mpl.colormaps["viridis"](np.linspace(0, 0.75, len(groups)))
        for colour, name in zip(colours, groups, strict=True):
            own = some[some[group] == name].sort_values(x)
            line = own.groupby(x)["law"].mean()
            ax.plot(line.index, line, color=colour, linewidth=1, label=f"{group} {name}")
            live = own["run"] == "live"
            ax.plot(own[x][~live], own["regret"][~live], "o", color=colour, markersize=3, mew=0)
            ax.plot(own[x][live], own["regret"][live], "o", color=colour, mfc="none", markersize=8)
        ax.set(xscale="log", yscale="log")
        ax.legend(fontsize=7, ncols=2, loc="lower left", frameon=False)
    axes[0].set(xlabel="tokens read", ylabel="regret (nats a token)")
    axes[1].set(xlabel="parameters without embeddings")
    axes[0].set_ylim(table["regret"].min() / 4, None)  # room for the legends
    return fig
