"""Hypotheses beside a measured space: square tables in one order of tasks, side by side."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures
from taskspace_utils.spaces import ordered


def load(spaces: dict[str, pd.DataFrame], tasks: pd.DataFrame) -> pd.DataFrame:
    """The cells of several spaces over the tasks that all of them have.

    Args:
        spaces: square tables by the name that stands above their panel.
        tasks: columns task and phenomenon; gives the order.

    Returns:
        columns panel, source, target, value, phenomenon (of source).
    """
    names = set.intersection(*(set(space.index) for space in spaces.values()))
    some = tasks[tasks["task"].isin(names)]
    phenomenon = some.set_index("task")["phenomenon"]
    parts = []
    for panel, space in spaces.items():
        long = ordered(space, some).stack(future_stack=True).rename("value").reset_index()
        long.columns = ["source", "target", "value"]
        parts.append(long.assign(panel=panel, phenomenon=long["source"].map(phenomenon)))
    return pd.concat(parts)[["panel", "source", "target", "value", "phenomenon"]]


@figures.drawn
def plot(table: pd.DataFrame, side: float = 2.5) -> Figure:
    """One panel a space, `side` inches wide, colours from −1 to 1, lines between phenomena."""
    panels = list(dict.fromkeys(table["panel"]))
    names = list(dict.fromkeys(table["source"]))
    groups = table.drop_duplicates("source").set_index("source")["phenomenon"].loc[names]
    starts = [i for i in range(len(names)) if i == 0 or groups.iloc[i] != groups.iloc[i - 1]]
    middles = np.diff([*starts, len(names)]) / 2 + np.array(starts) - 0.5
    fig, axes = figures.new(side * len(panels) + 1.6, side + 0.8, len(panels), squeeze=False)
    for ax, panel in zip(axes[0], panels, strict=True):
        cells = table[table["panel"] == panel].pivot(
            index="source", columns="target", values="value"
        )
        image = ax.imshow(cells.loc[names, names], cmap=figures.DIVERGING, vmin=-1, vmax=1)
        for edge in starts[1:]:
            ax.axhline(edge - 0.5, color="black", linewidth=0.4)
            ax.axvline(edge - 0.5, color="black", linewidth=0.4)
        labels = [figures.readable(g) for g in groups.iloc[starts]] if panel == panels[0] else []
        ax.set_yticks(middles if labels else [], labels, fontsize=8)
        ax.set_xticks([])
        ax.set_title(panel)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    fig.colorbar(image, ax=axes[0], shrink=0.8, label="similarity")
    return fig
