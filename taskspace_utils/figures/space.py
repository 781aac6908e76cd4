"""A task space as a heat map: every task with every task, phenomena side by side."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures, tables
from taskspace_utils.spaces import ordered, square, transfer
from taskspace_utils.tables import Run


def load(run: Run, value: str = "cosine", tuning: str | None = None, **where) -> pd.DataFrame:
    """Cells of one space, phenomena in alphabetical order.

    Args:
        value: a column of `gradient.csv`; or "transfer" (Δm, nats) or "relative" (τ).
        tuning: which tuning, for a transfer space; the run's first by default.
        where: which model, such as scale="M", step=800.

    Returns:
        columns source, target, value, phenomenon (of source), name.
    """
    name = "transfer" if value in ("transfer", "relative") else "gradient"
    table = only(run.table(name), where)
    tasks = run.table("tasks").drop_duplicates("task")
    if name == "transfer":
        tuning = tuning or sorted(table["tuning"].unique())[0]
        space = transfer(table[table["tuning"] == tuning], relative=value == "relative")
    else:
        space = square(table, value)
    space = ordered(space, tasks)
    long = space.stack(future_stack=True).rename("value").reset_index()
    long.columns = ["source", "target", "value"]
    phenomenon = tasks.set_index("task")["phenomenon"]
    return long.assign(phenomenon=long["source"].map(phenomenon), name=value)


def only(table: pd.DataFrame, where: dict) -> pd.DataFrame:
    """As `tables.only`; a ValueError where there are none, for then there is nothing to draw."""
    table = tables.only(table, where)
    if table.empty:
        raise ValueError(f"the run has no rows with {where}")
    return table


LABELS = {
    "cosine": "cosine",
    "cosine_corrected": "corrected cosine",
    "cosine_blocks": "cosine in the blocks",
    "overlap": "overlap of the top k",
    "overlap_lift": "overlap ÷ chance",
    "energy": "share of energy",
    "transfer": "change of margin (nats)",
    "relative": "relative transfer",
}


@figures.drawn
def plot(table: pd.DataFrame, limit: float | None = None) -> Figure:
    """Heat map with sources as rows; colours go from −limit to limit."""
    names = list(dict.fromkeys(table["source"]))
    space = table.pivot(index="source", columns="target", values="value").loc[names, names]
    values = space.to_numpy()
    off = values[~np.eye(len(values), dtype=bool)]
    limit = limit or float(np.nanmax(np.abs(off))) or 1.0
    many = len(names) > 40  # then a label a task is too small to read: one a phenomenon
    side = 7.0 if many else max(4.2, 0.16 * len(names) + 2.2)
    fig, ax = figures.new(side + 1.0, side)
    image = ax.imshow(values, cmap=figures.DIVERGING, vmin=-limit, vmax=limit)
    phenomena = table.drop_duplicates("source")["phenomenon"].tolist()
    edges = [i for i in range(1, len(names)) if phenomena[i] != phenomena[i - 1]]
    for edge in edges:
        ax.axhline(edge - 0.5, color="black", linewidth=0.6)
        ax.axvline(edge - 0.5, color="black", linewidth=0.6)
    starts = [0, *edges, len(names)]
    middles = [(i + j - 1) / 2 for i, j in pairwise(starts)]
    places = middles if many else range(len(names))
    labels = [phenomena[i] for i in starts[:-1]] if many else names
    labels = [figures.label(label) for label in labels]
    ax.set_yticks(places, labels, fontsize=8)
    ax.set_xticks(places, labels, rotation=90, fontsize=8)
    ax.set(ylabel="source task (a)", xlabel="target task (b)")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    label = LABELS.get(table["name"].iloc[0], table["name"].iloc[0])
    fig.colorbar(image, ax=ax, label=label, shrink=0.7)
    return fig
